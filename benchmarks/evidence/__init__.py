"""The effect of each part of the method, measured on the field guide: `python -m benchmarks.evidence --help`."""
