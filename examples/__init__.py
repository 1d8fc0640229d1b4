"""Examples that run offline: the demo and the field guide."""
