"""Upkeep by the operator: checks when a process starts, and the removal of what nothing refers to any more."""
