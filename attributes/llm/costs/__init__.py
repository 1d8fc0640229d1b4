"""Prices of models, and estimates of tokens."""
