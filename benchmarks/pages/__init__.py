"""How fast the web pages are over a full database: `python -m benchmarks.pages`."""
