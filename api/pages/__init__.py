"""HTML pages of the service: what there is, what runs, the review of attributes, and the API reference."""
