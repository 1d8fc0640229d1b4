"""Command-line programs of this package: `describe` (`python -m attributes`) and `check_gates`."""
