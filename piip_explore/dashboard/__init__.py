"""The dashboard: Streamlit pages over studies, spaces and published results.

launch      starts the server; `options` is what it was started with
app         the frame around every page: navigation, study, messages
view        what the URL holds: the study, the selected designs, the accounting
studies     which studies there are, and their columns, read incrementally
trials      a study's trials as columns that charts and tables use; filters
runs        searches started, paused and resumed from a page
figures/    pure functions from columns to Plotly figures
pages/      one module per page
text        numbers and foreign text as they may be shown
"""
