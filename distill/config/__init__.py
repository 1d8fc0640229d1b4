"""Configuration: the training config, recipes, the loss registry and model names. Imports no torch."""
