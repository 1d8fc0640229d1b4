"""Named endpoints of LLM servers, their prices and limits, and the probe of an endpoint."""
