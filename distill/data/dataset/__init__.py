"""From a folder to an image index: how images are given, matched to labels, checked and split into parts.

`scan` reads names only; `distill.data.dataset_check` also opens the images.
"""
