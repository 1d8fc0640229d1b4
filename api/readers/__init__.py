"""Parsing and validation of request content: label files, attribute files, draft changes, teachers, folders."""
