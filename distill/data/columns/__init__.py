"""Columns of an image index beside the one label of each image."""
