"""Data sets of Hugging Face `datasets`: Parquet files as on the Hub, and what `save_to_disk` writes.

They are read with pyarrow (the extra `datasets`); the library `datasets` is not needed. The images stay in these files
(`distill.data.image_files`). `files` finds them, `features` the names of classes, `rows` the images.
"""
