"""The dashboard: Streamlit pages over studies, spaces and published results.

server/     starts the server; `options` is what it was started with
app         the frame around every page: navigation, study, messages
context     what every page gets: the options, the study as this browser pinned it
view        what the address holds on every page: the selected designs
selection   the selected designs, and the field to write one
studies     which studies there are, kept open and read incrementally
trials      a study's trials as columns that charts and tables use; filters
spaces      a space counted for the page that browses it
validity    results of validations, and what they say of the proxy
scene       what the Front page shows, before it is drawn
references  published designs as marks beside a study
runs        searches started, paused and resumed from a page
control     the controls of a search, as the Study page draws them
exports     the exports of a design, as its page offers them
figures/    pure functions from columns to Plotly figures
pages/      one module per page
text        numbers and foreign text as they may be shown
"""
