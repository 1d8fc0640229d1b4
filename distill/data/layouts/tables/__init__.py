"""Tables of images and labels: CSV, TSV, JSON, JSON Lines, Parquet and lists with one image per line.

`files` chooses the tables of a folder, `rows` parses them, `columns` finds the columns, `paths` the image files, and
`layout` makes the listing.
"""
