"""Strategies: named, versioned prompts, each a readable TOML file in `strategies/` or of the user's own.

A file gives `name`, `version`, `about`, the `system` and `user` prompts (`$subject` in `user` becomes one line of
JSON with the label, its sense and the domain), the `schema` of the answer, and `limits`. The answer's fields are
those of an entry: `label` (always), `sentence`, `phrases`; a strategy asks for one or both of the latter. Schemas
keep to what strict structured output accepts: every property required, no lengths of strings.
"""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from string import Template
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from attributes.text import MAX_DOMAIN_CHARS, MAX_LABEL_CHARS, MAX_SENSE_CHARS, clean
from attributes.types import Label

STRATEGY_FOLDER = Path(__file__).with_name("strategies")
DEFAULT_STRATEGY = "describe@1"
_FIELDS = {"name": str, "version": int, "about": str, "system": str, "user": str, "schema": dict}


class StrategyError(ValueError):
    """A strategy that is not there or whose file cannot be used; the message names it, the fault and the mend."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one label's text should keep to: words per sentence and phrase, number of phrases."""

    sentence_words: int = 60
    phrase_words: int = 15
    min_phrases: int = 0
    max_phrases: int = 32


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """A prompt with the schema it expects. `digest` is the sha256 of its file."""

    name: str
    version: int
    about: str
    system: str
    user: str
    schema: Mapping[str, Any] = field(repr=False)
    limits: Limits
    digest: str

    @property
    def ref(self) -> str:
        """Name and version, as jobs and provenance give it: `describe@1`."""
        return f"{self.name}@{self.version}"

    @property
    def wants(self) -> frozenset[str]:
        """Which parts of an entry the answer gives: `sentence`, `phrases`, or both."""
        return frozenset(self.schema["properties"]) & {"sentence", "phrases"}

    @cached_property
    def validator(self) -> Draft202012Validator:
        """Checks an answer against the schema."""
        return Draft202012Validator(self.schema)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked for one label, before it takes the form that a server understands."""

    messages: tuple[Mapping[str, str], ...]
    schema: Mapping[str, Any] = field(repr=False)
    schema_name: str
    version: int

    def with_schema_in_prompt(self) -> "Request":
        """The same request for a server that does not hold answers to a schema."""
        schema = json.dumps(self.schema, ensure_ascii=False)
        return self.adding(f"Answer with one JSON object that fits this JSON Schema, and nothing else:\n{schema}")

    def adding(self, text: str) -> "Request":
        """The same request with a paragraph of ours at the end of its last message."""
        last = {**self.messages[-1], "content": f"{self.messages[-1]['content']}\n\n{text}"}
        return replace(self, messages=(*self.messages[:-1], last))


def load_strategy(ref: str | Path = DEFAULT_STRATEGY) -> Strategy:
    """The strategy of this name (`describe`: its newest version; `describe@1`), or in this `.toml` file.

    Raises StrategyError.
    """
    if isinstance(ref, Path) or ref.endswith(".toml"):
        return read_strategy(Path(ref))
    name, _, version = ref.partition("@")
    known = [strategy for strategy in shipped() if strategy.name == name and version in ("", str(strategy.version))]
    if not known:
        refs = ", ".join(strategy.ref for strategy in shipped())
        raise StrategyError(f"strategy {ref!r} is not known; there are {refs}, or give the path of a .toml file")
    return max(known, key=lambda strategy: strategy.version)


@cache
def shipped() -> tuple[Strategy, ...]:
    """The strategies that come with Limbeck, by name and version."""
    found = [read_strategy(path) for path in STRATEGY_FOLDER.glob("*.toml")]
    return tuple(sorted(found, key=lambda strategy: (strategy.name, strategy.version)))


def read_strategy(path: Path) -> Strategy:
    """Read and check a strategy file. Raises StrategyError."""
    try:
        raw = path.read_bytes()
        data = tomllib.loads(raw.decode("utf-8"))
    except (OSError, ValueError) as error:
        raise StrategyError(f"strategy file {path} cannot be read: {error}") from error
    unknown = sorted(set(data) - set(_FIELDS) - {"limits"})
    wrong = [key for key, kind in _FIELDS.items() if type(data.get(key)) is not kind]
    if unknown or wrong:
        faults = [f"{key!r} is not a field" for key in unknown]
        faults += [f"{key!r} must be given as {_FIELDS[key].__name__}" for key in wrong]
        raise StrategyError(f"strategy file {path}: {'; '.join(faults)}")
    _check_schema(path, data["schema"])
    if "$subject" not in data["user"] and "${subject}" not in data["user"]:
        raise StrategyError(f"strategy file {path}: 'user' must hold $subject, where the label is put")
    return Strategy(
        **{key: data[key] for key in ("name", "version", "about", "schema")},
        system=data["system"].strip(),
        user=data["user"].strip(),
        limits=_limits(path, data.get("limits", {})),
        digest=hashlib.sha256(raw).hexdigest(),
    )


def request_for(strategy: Strategy, label: Label, domain: str = "") -> Request:
    """What to ask about this label.

    Label, sense and domain are data: cleaned, capped, and quoted as JSON strings on one line of their own, which
    nothing in them can end.
    """
    subject = {
        "label": clean(label.name, MAX_LABEL_CHARS),
        "sense": clean(label.sense or "", MAX_SENSE_CHARS),
        "domain": clean(domain, MAX_DOMAIN_CHARS),
    }
    quoted = json.dumps({key: value for key, value in subject.items() if value}, ensure_ascii=False)
    return Request(
        messages=(
            {"role": "system", "content": strategy.system},
            {"role": "user", "content": Template(strategy.user).safe_substitute(subject=quoted)},
        ),
        schema=strategy.schema,
        schema_name=strategy.name,
        version=strategy.version,
    )


def cache_key(
    request: Request, *, model: str, base_url: str, temperature: float, max_tokens: int, sample: int = 0
) -> str:
    """sha256 (hex) over everything that shapes the answer; equal keys may share one call and its answer.

    `sample` tells several answers to the same request apart. Label, sense and domain count as the messages render them.
    """
    shaping = {
        "messages": [dict(message) for message in request.messages],
        "schema": request.schema,
        "schema_name": request.schema_name,
        "version": request.version,
        "model": model,
        "base_url": base_url.rstrip("/"),
        "temperature": float(temperature),
        "max_tokens": max_tokens,
        "sample": sample,
    }
    return hashlib.sha256(json.dumps(shaping, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _check_schema(path: Path, schema: Mapping[str, Any]) -> None:
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise StrategyError(f"strategy file {path}: 'schema' is no JSON Schema: {error.message}") from error
    properties = schema.get("properties", {})
    if schema.get("type") != "object" or "label" not in schema.get("required", ()):
        raise StrategyError(f"strategy file {path}: 'schema' must be an object that requires 'label'")
    if not {"sentence", "phrases"} & set(properties):
        raise StrategyError(f"strategy file {path}: 'schema' must ask for 'sentence', 'phrases' or both")
    item = properties.get("phrases", {}).get("items", {"type": "string"})
    parts = item.get("properties", {}) if item.get("type") == "object" else {"phrase": item}
    texts = [properties[key] for key in ("label", "sentence") if key in properties] + list(parts.values())
    if "phrase" not in parts or any(text.get("type") != "string" for text in texts):
        fault = "'label', 'sentence' and what 'phrases' holds must be of type string (or objects with a 'phrase')"
        raise StrategyError(f"strategy file {path}: {fault}")


def _limits(path: Path, data: Mapping[str, Any]) -> Limits:
    try:
        limits = Limits(**data)
    except TypeError as error:
        raise StrategyError(f"strategy file {path}: 'limits' may give {', '.join(vars(Limits()))}") from error
    if any(type(value) is not int or value < 0 for value in vars(limits).values()):
        raise StrategyError(f"strategy file {path}: 'limits' must be whole numbers, 0 or more")
    return limits
