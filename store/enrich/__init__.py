"""Enrichment: results, single-flight locks, usage, batches, assembly, repair rounds."""
