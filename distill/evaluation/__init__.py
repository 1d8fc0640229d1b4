"""Evaluation: accuracy, calibration, bootstrap intervals, agreement with the teacher, Tip-Adapter."""
