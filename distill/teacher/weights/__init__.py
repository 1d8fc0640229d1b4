"""Weights of a teacher: which files of a folder, the tensors in them, and how they fit a model."""
