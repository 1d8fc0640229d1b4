"""Our client with LLM servers of other projects, which serve tiny models of random weights."""
