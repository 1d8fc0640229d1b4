"""Evaluation of images with several labels: average precision, and a threshold of the cosine."""
