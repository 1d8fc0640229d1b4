"""The checkpoint bundle: writing, verification, model card and plots."""
