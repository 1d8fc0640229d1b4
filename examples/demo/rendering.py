"""The Jinja environment of the demo: the templates of its report and of the charts, with autoescape."""

import base64
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

TEMPLATES = Environment(
    loader=PackageLoader("examples.demo"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def _base64(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()


def _place(coordinate: float) -> str:
    return f"{coordinate:.1f}"


def _short(label: str) -> str:
    return label if len(label) <= 26 else label[:25] + "…"


TEMPLATES.filters |= {"base64": _base64, "place": _place, "short": _short}
