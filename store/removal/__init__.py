"""Deletion of resources: what uses one, the transaction that deletes it, and the rows that are purged after it."""
