"""Generate visual attributes for a list of labels with an LLM, check them, and read and write them as files.

    python -m attributes labels.txt --domain birds --base-url URL --model NAME --out set.json
    python -m attributes.cli.check_gates set.json

The package can be used alone: it needs no database, no web framework and no torch. Only `attributes.llm.transport`
imports the openai library, and only for the first call, so that importing the package is fast.

    types      labels, lines, entries                      text       cleaning and limits of short untrusted texts
    prompts/   strategies (TOML files), questions          llm/       requests, retries, limits, batches, costs
    parsing/   from an LLM response to lines               flags      faults of a single response or entry
    gates/     quality checks of a whole set               editing    edits of a label's lines by a person
    formats/   file formats                                cli/       command-line programs
"""

from attributes.types import Entry, Label, Line

__all__ = ["Entry", "Label", "Line"]
