"""The settings of the service as a page: every field of `store.settings.Settings`."""

import types
import typing
from pathlib import Path

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from reference.tables import row
from store.settings import Settings

_HEAD = """# Settings of the service

Written by `python -m reference`; a test compares this page with the code.

Settings are environment variables. All processes of one service (API, workers, sweeper) need the same values. A
variable that is set but empty has its default. Durations are in seconds, sizes in bytes.

| variable | default | values | meaning |
|---|---|---|---|
"""
_SECRET = "secret"
_WORDS = {str: "text", int: "integer", float: "number", bool: "true or false", Path: "path", SecretStr: _SECRET}
_SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def markdown() -> str:
    """The whole page."""
    rows = [
        row(f"`LIMBECK_{name.upper()}`", _default(info), _values(info), info.description or "")
        for name, info in Settings.model_fields.items()
    ]
    return _HEAD + "".join(rows)


def _default(info: FieldInfo) -> str:
    value = info.default.get_secret_value() if isinstance(info.default, SecretStr) else info.default
    if value is None or value == "":
        return ""
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _values(info: FieldInfo) -> str:
    annotation = info.annotation
    if isinstance(annotation, types.UnionType):
        annotation = next(kind for kind in typing.get_args(annotation) if kind is not type(None))
    word = _WORDS.get(typing.cast(type, annotation), str(annotation))
    limits = [
        f"{sign} {getattr(part, name):,}"
        for part in info.metadata
        for name, sign in _SIGNS.items()
        if getattr(part, name, None) is not None
    ]
    return " ".join([word, ", ".join(limits)]).strip()
