"""Beetles: a harder world than the field guide, to choose by. See README.md."""
