"""The LLM client: requests, retries, response formats, limits, prices and the Batch API."""
