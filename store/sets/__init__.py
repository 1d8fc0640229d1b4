"""Attribute sets and caption sets: content, drafts, comparison, search, reports."""
