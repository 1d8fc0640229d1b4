"""Parts of enrich jobs."""
