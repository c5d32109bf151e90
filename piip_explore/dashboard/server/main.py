"""What Streamlit runs at every interaction: it only calls the app."""

from piip_explore.dashboard import app

app.run()
