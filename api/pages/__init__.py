"""HTML pages served by the API."""
