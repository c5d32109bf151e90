"""Pure functions from columns to Plotly figures.

Streamlit remounts a chart whose figure changes, which loses its zoom and selection: a figure here depends on the data
and the filters alone, never on what is selected, the theme or the time.

`contents` and `palette` are what figures are made of, and need no Plotly: what decides on a chart imports them alone.
"""
