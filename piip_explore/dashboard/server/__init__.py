"""Starting the server. Apart from the pages: Streamlit would take a folder `pages` beside its script for its own."""
