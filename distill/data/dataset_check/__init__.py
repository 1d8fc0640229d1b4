"""The check of a dataset: its images are opened, unusable ones and copies leave the index, and a report says so."""
