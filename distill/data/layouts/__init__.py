"""Readers of dataset layouts: each lists the images of a folder with the labels and parts that the layout gives.

One module per layout; `registry` holds them all. The published layouts of single datasets are in `published`.
"""
