"""docker-compose.yml as `docker compose` reads it with a `.env`: variables replaced, and environments of services."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from dotenv import dotenv_values

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docker-compose.yml"
_VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?:(:-|:\?)([^}]*))?\})")


def load(env: Mapping[str, str]) -> dict[str, Any]:
    """The compose file with its variables replaced by those of `env`. Raises KeyError for a required one."""
    content: dict[str, Any] = _replaced(yaml.safe_load(FILE.read_text()), env)
    return content


def _replaced(node: Any, env: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        return {key: _replaced(value, env) for key, value in node.items()}
    if isinstance(node, list):
        return [_replaced(value, env) for value in node]
    return _VARIABLE.sub(lambda match: _value(match, env), node) if isinstance(node, str) else node


def _value(match: "re.Match[str]", env: Mapping[str, str]) -> str:
    dollar, name, operator, word = match.groups()
    if dollar:
        return "$"
    if not env.get(name) and operator == ":?":
        raise KeyError(name, word)
    return env.get(name) or (word or "" if operator else "")


def read_env(path: Path) -> dict[str, str]:
    """The variables of a `.env` file; text in single quotes is literal, and other text may name variables."""
    return {name: value or "" for name, value in dotenv_values(path, interpolate=True).items()}


def environment(service: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """The environment of a service: its `env_file`s, which are in `folder`, and over them its `environment`."""
    from_files: dict[str, str] = {}
    for file in service.get("env_file", []):
        from_files |= read_env(folder / file)
    return {**from_files, **service.get("environment", {})}
