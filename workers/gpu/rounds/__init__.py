"""Trainings on several machines: rounds in which the parts of a job train together."""
