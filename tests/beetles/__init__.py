"""The beetles."""
