"""Words: lemmas and word lists."""
