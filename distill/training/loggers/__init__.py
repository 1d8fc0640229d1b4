"""Loggers of a training run: TensorBoard, Weights & Biases and MLflow.

`run_log` opens the chosen ones; `record` says what is logged, once for all of them. A logger only writes rows.
"""
