"""Commands of `python -m distill` beside a run: `evaluate`, `export` and `report`."""
