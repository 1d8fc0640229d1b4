"""The Batch API of a server."""
