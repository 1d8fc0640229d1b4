"""Alembic's revisions. `limbeck db upgrade` applies them; a test holds the head against `store.models`."""
