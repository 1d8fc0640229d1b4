"""Which parts of the method earn their keep, measured on the field guide: `python -m benchmarks.evidence --help`."""
