"""Readers and writers of attribute files, one module per format.

    limbeck_json   all fields; described by `set_schema.json`; one entry per line
    dclip          JSON of label -> list of phrases
    cupl           JSON of label -> list of sentences
    jsonl          one entry per line; tables of labels and texts
    parquet        the rows of CSV as Parquet
    huggingface    a folder for Hugging Face datasets, zipped
    csv            one row per line of a label; `tables` has the columns
    label2text     `folder number label` lines, and a file with one sentence per line

Imported texts are normalised (`limbeck.shared.attribute_files.cleaning`), and the changes are counted. A `FormatError`
has all faults of a file with their lines.
"""
