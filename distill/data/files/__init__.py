"""Files of a dataset: which are left out (`exclusion`), and how they are opened and recognised (`regular_files`)."""
