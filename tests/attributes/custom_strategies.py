"""Strategy files for tests, and the shortest bytes that count as an image file."""

import json
from pathlib import Path
from typing import Any

from attributes.prompts.strategy import Strategy, read_strategy

PNG = b"\x89PNG\r\n\x1a\n" + b"not more than its head"
_FIELDS: dict[str, dict[str, Any]] = {
    "label": {"label": "string", "sentence": "string"},
    "questions": {"label": "string", "answer": "string"},
    "pair": {"label": "string", "other": "string", "differences": "differences"},
    "image": {"caption": "string"},
}
_DIFFERENCE = ("part", "target_value", "other_value", "target_phrase", "other_phrase")


def strategy_text(*, name: str = "mine", about: str = "label", questions: list[str] | None = None, **more: Any) -> str:
    """The text of a strategy file without limits; `more` are further fields."""
    fields = _FIELDS["questions" if questions else about]
    head = {"name": name, "version": 1, "says": "Ours.", "about": about, **more}
    if questions:
        head["questions"] = questions
    placeholder = "$question\n" if questions else ""
    lines = [f"{key} = {json.dumps(value)}" for key, value in head.items()]
    lines += ['system = "Answer in JSON."', f'user = """\n{placeholder}$subject\n"""', "[limits]", "[schema]"]
    lines += ['type = "object"', "additionalProperties = false", f"required = {json.dumps(list(fields))}"]
    for field, kind in fields.items():
        lines.append(f"[schema.properties.{field}]")
        lines.append('type = "string"' if kind == "string" else 'type = "array"')
        if kind == "differences":
            lines += ["[schema.properties.differences.items]", 'type = "object"', "additionalProperties = false"]
            lines.append(f"required = {json.dumps(_DIFFERENCE)}")
            lines.append("[schema.properties.differences.items.properties]")
            lines += [f'{part} = {{ type = "string" }}' for part in _DIFFERENCE]
    return "\n".join(lines) + "\n"


def custom_strategy(folder: Path, **fields: Any) -> Strategy:
    """Write a strategy file into `folder`, and return its strategy. `fields` are those of `strategy_text`."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{fields.get('name', 'mine')}.toml"
    path.write_text(strategy_text(**fields), encoding="utf-8")
    return read_strategy(path)
