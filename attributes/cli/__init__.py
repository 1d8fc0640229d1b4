"""The command-line programs of this package."""
