"""HTML pages of the service: the overview, the API reference and the attribute editor."""
