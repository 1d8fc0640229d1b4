"""The settings of a training as a short table for the model card: the main ones, and those that differ from the recipe.

Long lists, such as those of labels in a split, are shown by their length; `manifest.json` has every value.
"""

import json
from collections.abc import Iterator, Mapping
from itertools import islice

from distill.bundle.card.facts import escape, section, table
from distill.config.recipes import RECIPES
from distill.config.train_config import FREE_FIELDS
from distill.json_types import JSONObject, JSONValue

MAIN = (
    "data.protocol",
    "data.view",
    "objective.temperature",
    "optimizer.name",
    "optimizer.lr",
    "optimizer.weight_decay",
    "schedule.epochs",
    "schedule.passes_per_epoch",
    "schedule.batch_size",
    "schedule.kind",
    "weight_average.kind",
    "system.precision",
    "system.seed",
)
LOSSES = "objective.losses."
MAX_ITEMS = 6
MAX_ROWS = 40
MAX_LENGTH = 120


def settings_markdown(made_from: JSONObject) -> str:
    """The table; a sentence if the settings are not recorded."""
    values = dict(_flat(section(made_from, "config")))
    recipe = str(made_from.get("recipe", ""))
    if not values:
        return "The settings of the training are not recorded."
    defaults = dict(_flat(RECIPES[recipe]().model_dump(mode="json"))) if recipe in RECIPES else values
    changed = {name for name, value in values.items() if value != defaults.get(name) and not _is_free(name)}
    shown = [name for name in values if name in changed or name in MAIN or _is_used_loss(name, values)]
    rows = [["setting", "value", f"recipe {escape(recipe)}".strip()]]
    rows += [
        [f"`{name}`", _shown(values[name]), _shown(defaults.get(name)) if name in changed else ""]
        for name in islice(shown, MAX_ROWS)
    ]
    note = f"\n\n{len(shown) - MAX_ROWS:,} more settings differ." if len(shown) > MAX_ROWS else ""
    return table(rows) + note + _split_note(section(made_from, "dataset").get("split"))


def _is_free(name: str) -> bool:
    """Whether the setting does not change the weights, such as the device."""
    return name.rpartition(".")[2] in FREE_FIELDS


def _is_used_loss(name: str, values: Mapping[str, JSONValue]) -> bool:
    return name.startswith(LOSSES) and bool(values[name])


def _flat(tree: JSONObject, prefix: str = "") -> Iterator[tuple[str, JSONValue]]:
    """Nested values by dotted name, in order."""
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _shown(value: JSONValue) -> str:
    """A value as JSON; a long list or text by its length."""
    if isinstance(value, list | tuple) and len(value) > MAX_ITEMS:
        return f"{len(value):,} values"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return escape(text if len(text) <= MAX_LENGTH else text[: MAX_LENGTH - 1] + "…")


def _split_note(split: JSONValue) -> str:
    """How the images were divided; a list of labels by its length."""
    if not isinstance(split, Mapping) or not split:
        return ""
    given = [(name, value) for name, value in _flat(split) if value not in ([], (), None)]  # "measure []" says nothing
    shown = "; ".join(f"{escape(name)} {_shown(value)}" for name, value in given)
    return f"\n\nDivision of the images: {shown}."
