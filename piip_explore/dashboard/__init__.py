"""The dashboard: Streamlit pages over studies, spaces and published results.

server/     starts the server; `options` is what it was started with
app         the frame around every page: navigation, study, messages
context     what every page gets: the options, the study as this browser pinned it
view        what the address holds on every page: the selected designs
studies     which studies there are, kept open and read incrementally
trials      a study's trials as columns that charts and tables use; filters
spaces      a space counted for the page that browses it
references  published designs as marks beside a study
runs        searches started, paused and resumed from a page
figures/    pure functions from columns to Plotly figures
pages/      one module per page
text        numbers and foreign text as they may be shown
"""
