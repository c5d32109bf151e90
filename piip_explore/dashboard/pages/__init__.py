"""One module per page; `show(context)` draws it."""
