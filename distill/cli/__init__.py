"""The command line of `python -m distill`."""
