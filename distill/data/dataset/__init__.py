"""From a folder to an image index: how images are given, matched to labels, checked and split into parts.

`scan` reads names only; `check` also opens the images, by `inspection`, `duplicates` and `duplicate_policy`, and makes
the `report`.
"""
