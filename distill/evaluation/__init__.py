"""Evaluation: accuracy, calibration, bootstrap intervals, agreement, Tip-Adapter."""
