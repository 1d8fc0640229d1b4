"""Attribute file formats: one file each."""
