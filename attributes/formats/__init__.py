"""Readers and writers of attribute files, one module per format.

    limbeck_json   all fields; described by `set_schema.json`; one entry per line
    dclip          JSON of label -> list of phrases
    cupl           JSON of label -> list of sentences
    csv            one row per line of a label
    label2text     `folder number label` lines, and a file with one sentence per line

Imported texts are never changed. Every `FormatError` names the line.
"""
