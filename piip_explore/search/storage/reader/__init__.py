"""The one place that knows how Optuna lays out studies: journal lines and database tables, read as columns.

journal    operations of a journal file
names      the studies of a journal, without replaying it
tables     Optuna's tables in PostgreSQL
study      what reading a journal and tables have in common; `notes` on trials
"""
