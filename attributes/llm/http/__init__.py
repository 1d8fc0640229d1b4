"""HTTP under the LLM client: connections to a server, and what its responses mean. No questions, no retries."""
