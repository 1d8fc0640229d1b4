"""Settings that a worker chooses for its device and for a time budget: device facts, measured rates, the choice."""
