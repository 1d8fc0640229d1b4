"""Routes, one file per resource: `/v1/datasets` is in `datasets.py`, with the schemas `DatasetIn` and `DatasetOut`."""
