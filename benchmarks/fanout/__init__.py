"""Benchmark of work on millions of images: `python -m benchmarks.fanout features`."""
