"""WebDataset shards: their members (`members`), grouped into samples with labels (`samples`)."""
