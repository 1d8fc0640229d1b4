"""Alembic revisions. `limbeck db upgrade` applies them; a test compares the newest revision with `store.models`."""
