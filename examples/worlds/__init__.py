"""What the generated worlds of the examples share: drawing, and the training of their tiny teachers."""
