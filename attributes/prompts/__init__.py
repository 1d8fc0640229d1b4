"""Prompt strategies: one TOML file each, with the code that loads and chains them."""
