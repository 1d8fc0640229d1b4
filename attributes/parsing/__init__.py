"""Parsing of LLM responses."""
