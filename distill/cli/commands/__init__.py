"""Commands of `python -m distill` beside a run: `evaluate` and `report`."""
