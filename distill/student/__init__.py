"""The student: model, features, and the initial student of a fine-tuning run."""
