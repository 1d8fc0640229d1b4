"""The sections of the training config, one model each; `distill.config.train_config` puts them together."""
