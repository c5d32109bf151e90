"""Pure functions from columns to Plotly figures.

Streamlit remounts a chart whose figure changes, which loses its zoom and selection: a figure here depends on the data
and the filters alone, never on what is selected, the theme or the time.
"""
