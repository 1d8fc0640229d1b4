"""What a training writes while it runs, besides its state: its log in the loggers, and checkpoints of epochs."""
