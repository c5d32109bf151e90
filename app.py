"""The dashboard, for `streamlit run app.py -- --study NAME`; `piip-explore dashboard` starts the same."""

from streamlit.starlette import App

from piip_explore.dashboard.server.application import MAIN, MIDDLEWARE, ROUTES, lifespan

app = App(MAIN, routes=ROUTES, middleware=MIDDLEWARE, lifespan=lifespan)
