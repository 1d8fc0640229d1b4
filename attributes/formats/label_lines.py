"""Plain text with one label per line, and its sense after a tab."""

from attributes.formats.common import FormatError, duplicate_message
from attributes.types import Label
from limbeck.shared.labels import duplicates, label_fault, missing_senses, normalize, numbered_lines


def read_label_lines(text: str) -> list[Label]:
    """The labels of a text file. Raises FormatError."""
    labels: list[Label] = []
    for line, content in numbered_lines(text):
        name, _, sense = (normalize(part) for part in content.partition("\t"))
        if fault := label_fault(name, sense):
            raise FormatError(fault, line=line)
        labels.append(Label(name, sense or None))
    if not labels:
        raise FormatError("has no labels")
    pairs = [(label.name, label.sense) for label in labels]
    for position, other in (*duplicates(pairs), *missing_senses(pairs)):
        detail = f"{duplicate_message(labels[position], other + 1)}; give each a sense after a tab"
        raise FormatError(detail, line=position + 1)
    return labels
