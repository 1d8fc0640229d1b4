"""Texts: templates, text targets, prompt learning, captions, nearest labels."""
