"""The model card of a bundle, with its plots."""
