"""The dashboard: Streamlit pages over studies, spaces and published results.

server/         starts the server; `application` is what it serves, `options` what it was started with
app             the frame around every page: menu, study, accounting, search, address
context         what every page gets: the options, the study as this browser keeps it
address         the one store of what is looked at, and the address that names it
pins            the pinned designs, on every page
selection       the selected designs, and the field to write one
studies         which studies there are, kept open and read incrementally
trials          a study's trials as columns that charts and tables use; filters
spaces          a space counted for the page that browses it
validity        results of validations, and what they say of the proxy
tradeoff        what the Explore page shows, before it is drawn
filters         the choices that decide it
limits          limits on other costs, and what each of them costs
choices         designs by their choices: axes, and what is within ranges of them
brush           designs drawn as lines over these axes, and the ranges that a brush keeps
sentence        the sentence that opens the Explore page
inspector       what the Explore page says of one trial
comparison      what there is to compare of several designs
expected        what full training is expected to give, as `piip_explore.predict` has it
notes           notes on trials, and the tags in them
published_marks published designs as marks beside a study
runs            searches started, paused and resumed from a page
fleet           who runs a study's trials, when, and what waits
control         the controls of a search, as the Search page draws them
exports         the exports of a design, as its page offers them
report          a study as one HTML file
plot/           charts in the browser: a Streamlit component around plotly.js
tables          tables whose ticks are the selection
figures/        pure functions from columns to Plotly figures
pages/          one module per page
text            numbers and foreign text as they may be shown
"""
