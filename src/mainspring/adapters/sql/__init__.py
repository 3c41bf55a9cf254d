"""The ledger and the version numbers in SQLite or PostgreSQL, through SQLAlchemy core: the same SQL for both."""
