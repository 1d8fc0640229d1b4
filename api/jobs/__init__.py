"""Job requests: checked, planned and estimated before a job is created."""
