"""Worked examples that run offline."""
