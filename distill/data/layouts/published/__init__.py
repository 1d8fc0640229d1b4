"""Readers of the published layouts of single datasets, by the files that their archives contain.

Each module gives `recognises(root)` and `read(root, source)`. The folder of a dataset is found in the root or up to two
levels below it.
"""
