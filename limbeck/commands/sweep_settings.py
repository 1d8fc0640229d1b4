"""The combinations of settings of a sweep, from `--set lr=0.001,0.003 --set epochs=10,20`."""

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from limbeck.commands.common import BadInput, assignments
from limbeck.shared.text import counted

MAX_SWEPT, MAX_COMBINATIONS = 3, 64


@dataclass(frozen=True)
class Combination:
    """One training. `changed`: the settings that differ between the trainings. `config`: all that are given."""

    changed: Mapping[str, object]
    config: Mapping[str, object]

    def __str__(self) -> str:
        return " ".join(f"{name}={shown(value)}" for name, value in self.changed.items())


def combinations(given: Sequence[str], fixed: Mapping[str, object]) -> list[Combination]:
    """Every combination of the values, the last setting changing fastest. `fixed`: settings of other options.

    Raises BadInput for less than one or more than three settings with several values, and for too many combinations.
    """
    named = [_values(text) for text in given]
    names = [name for name, _ in named]
    if twice := next((name for name in names if names.count(name) > 1 or name in fixed), None):
        raise BadInput(f"--set {twice} is given twice: write its values once, separated by commas")
    swept = [name for name, values in named if len(values) > 1]
    if not 1 <= len(swept) <= MAX_SWEPT:
        raise BadInput(
            f"--set: {counted(len(swept), 'setting has', 'settings have')} several values: give one to "
            f"{MAX_SWEPT}, such as --set lr=0.001,0.003"
        )
    found = []
    for chosen in itertools.product(*(values for _, values in named)):
        texts = [f"{name}={value}" for name, value in zip(names, chosen, strict=True)]
        changed = {name: _parsed(value) for name, value in zip(names, chosen, strict=True) if name in swept}
        found.append(Combination(changed, {**assignments(texts, "--set"), **fixed}))
    if len(found) > MAX_COMBINATIONS:
        raise BadInput(f"--set: {counted(len(found), 'combination')}, and a sweep has at most {MAX_COMBINATIONS}")
    return found


def shown(value: object) -> str:
    """A value as it is written in `--set`."""
    return value if isinstance(value, str) else json.dumps(value)


def _values(text: str) -> tuple[str, list[str]]:
    """`("lr", ["0.001", "0.003"])` of `lr=0.001,0.003`; commas within brackets, braces or quotes separate nothing."""
    name, equals, values = text.partition("=")
    if not equals or not name.strip():
        raise BadInput(f"--set {text!r}: write it as setting=value,value")
    parts, depth, quoted = [""], 0, False
    for character in values:
        if character == '"':
            quoted = not quoted
        depth += 0 if quoted else (character in "[{") - (character in "]}")
        if character == "," and depth == 0 and not quoted:
            parts.append("")
        else:
            parts[-1] += character
    stripped = [part.strip() for part in parts]
    if "" in stripped:
        raise BadInput(f"--set {text!r}: a value is empty")
    parsed = [_parsed(value) for value in stripped]
    if any(value in parsed[:at] for at, value in enumerate(parsed)):  # 0.001 and 1e-3 are one value
        raise BadInput(f"--set {text!r}: a value is given twice")
    return name.strip(), stripped


def _parsed(text: str) -> object:
    try:
        value: object = json.loads(text)
    except ValueError:
        return text
    return value
