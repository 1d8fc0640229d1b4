"""The teacher: loading, tokenizer, image features and view features."""
