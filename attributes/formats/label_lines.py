"""Plain text with one label per line, and its sense after a tab."""

from attributes.formats.common import FormatError, LabelKey, duplicate_message, label_fault, label_key, numbered_lines
from attributes.types import Label


def read_label_lines(text: str) -> list[Label]:
    """The labels of a text file. Raises FormatError."""
    labels: list[Label] = []
    seen: dict[LabelKey, int] = {}
    for line, content in numbered_lines(text):
        name, _, sense = (part.strip() for part in content.partition("\t"))
        label = Label(name, sense or None)
        if fault := label_fault(label.name, label.sense):
            raise FormatError(fault, line=line)
        if (first := seen.setdefault(label_key(name, sense), line)) != line:
            raise FormatError(f"{duplicate_message(label, first)}; give each a sense after a tab", line=line)
        labels.append(label)
    if not labels:
        raise FormatError("has no labels")
    return labels
