"""Readers of request bodies: label files, attribute files, draft changes, teacher references."""
