"""Image files: which kinds are read (`kinds`), and the one decoder (`decode`)."""
