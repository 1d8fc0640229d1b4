"""Our client against servers that others wrote, with tiny models of random weights."""
