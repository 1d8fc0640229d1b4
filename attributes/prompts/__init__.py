"""Prompt strategies, one TOML file each, and the questions that they define."""
