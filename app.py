"""The dashboard, for `streamlit run app.py -- --study NAME`; `piip-explore dashboard` starts the same."""

from piip_explore.dashboard import app

app.run()
