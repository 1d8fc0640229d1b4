"""Readers of label lists and attribute sets for `python -m distill`. Imports no torch.

Label list: a text file with one label per line. Attribute set: Limbeck's JSON (`{"entries": [{"label", "lines":
[{"kind", "text"}]}]}`) or DCLIP's JSON (label -> list of phrases). Entries of labels that are not listed are ignored.
"""

from pathlib import Path

from distill.json_types import JSONObject
from limbeck.shared.labels import duplicates, label_fault, normalize, numbered_lines, readings

Lines = tuple[JSONObject, ...]
"""The attribute lines of one label, each with at least `kind` and `text`."""


def read_labels(path: Path) -> list[str]:
    """The labels of a file, in order, without blank lines. Raises ValueError naming the line."""
    lines = [(number, label) for number, line in numbered_lines(_read_text(path)) if (label := normalize(line))]
    for number, label in lines:
        faults = [label_fault(name, sense) for name, sense in readings(label)]
        if all(faults):
            raise ValueError(f"{path} line {number}: {faults[0]}")
    for position, first in duplicates([(label, None) for _, label in lines]):
        number, label = lines[position]
        raise ValueError(
            f'{path} line {number}: "{label}" is also on line {lines[first][0]}; give each a sense: "{label} (sense)"'
        )
    if len(lines) < 2:
        raise ValueError(f"{path} holds {len(lines)} labels: at least two are needed")
    return [label for _, label in lines]


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text: {error}") from error
