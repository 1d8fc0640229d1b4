"""Strategies: named, versioned prompts, each a readable TOML file in `prompts/` or of the user's own.

    name, version     how jobs and provenance call it; a change to anything below wants a new version
    says              one line for people
    about             what one question is about: "label", "pair" (what tells two labels apart), "image"
    system, user      the prompts; in `user`, `$subject` becomes one line of JSON with label, sense and domain (of a
                      pair also `other` and `other_sense`), and `$question` one of the questions
    questions         several questions, each asked by itself (label only)
    samples           how many answers to the same question (default 1); more than one wants a temperature
    temperature       of its own, whatever the job's is
    max_tokens        of its own, likewise
    [limits]          words and numbers beyond which an answer is asked for again once, then kept and flagged
    [schema]          the JSON Schema of the answer

The answer's fields say what its lines are. About a label: `label` (always), and `sentence`, `phrases`, or `answer` to
a question. About a pair: `label`, `other`, `differences`. About an image: `caption`. Schemas keep to what strict
structured output accepts: every property required, no lengths of strings.
"""

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from attributes.text import fault_of

STRATEGY_FOLDER = Path(__file__).parent
DEFAULT_STRATEGY = "describe@1"
MAX_QUESTION_CHARS = 300
MAX_QUESTIONS = 20
MAX_SAMPLES = 50

About = Literal["label", "pair", "image"]
RESPONSE_FIELDS: Mapping[About, frozenset[str]] = {
    "label": frozenset({"sentence", "phrases", "answer"}),
    "pair": frozenset({"differences"}),
    "image": frozenset({"caption"}),
}
DIFFERENCE_FIELDS = ("part", "target_value", "other_value", "target_phrase", "other_phrase")

_ALWAYS: Mapping[About, tuple[str, ...]] = {"label": ("label",), "pair": ("label", "other"), "image": ()}
_NEEDED: dict[str, Any] = {
    "name": str,
    "version": int,
    "says": str,
    "about": str,
    "system": str,
    "user": str,
    "schema": dict,
}
_OPTIONAL: dict[str, Any] = {
    "questions": list,
    "samples": int,
    "temperature": (int, float),
    "max_tokens": int,
    "limits": dict,
}
_TYPES: dict[Any, str] = {
    str: "a string",
    int: "a whole number",
    (int, float): "a number",
    dict: "a table",
    list: "a list",
}


class StrategyError(ValueError):
    """A strategy that is not there or whose file cannot be used; the message names it, the fault and the mend."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one answer should keep to: words per sentence (answer, caption) and phrase; number of phrases or
    differences."""

    sentence_words: int = 60
    phrase_words: int = 15
    min_phrases: int = 0
    max_phrases: int = 32


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """A prompt with the schema it expects. `digest` is the sha256 of its file."""

    name: str
    version: int
    says: str
    about: About = "label"
    system: str
    user: str
    questions: tuple[str, ...] = ()
    samples: int = 1
    temperature: float | None = None
    max_tokens: int | None = None
    schema: Mapping[str, Any] = field(repr=False)
    limits: Limits
    digest: str

    @property
    def ref(self) -> str:
        """Name and version, as jobs and provenance give it: `describe@1`."""
        return f"{self.name}@{self.version}"

    @property
    def response_fields(self) -> frozenset[str]:
        """What the answer gives: some of `FIELDS[about]`."""
        return frozenset(self.schema["properties"]) & RESPONSE_FIELDS[self.about]

    @property
    def num_questions(self) -> int:
        """Calls per label, pair or image."""
        return max(1, len(self.questions)) * self.samples

    @cached_property
    def schema_digest(self) -> str:
        """sha256 of the schema, hex."""
        return hashlib.sha256(json.dumps(self.schema, sort_keys=True, ensure_ascii=False).encode()).hexdigest()

    @cached_property
    def validator(self) -> Draft202012Validator:
        """Checks an answer against the schema."""
        return Draft202012Validator(self.schema)


def load_strategy(ref: str | Path = DEFAULT_STRATEGY, folder: Path | None = None) -> Strategy:
    """The strategy of this name (`describe`: its newest version; `describe@1`), or in this `.toml` file.

    `folder` holds strategies of the user's own. Raises StrategyError.
    """
    if isinstance(ref, Path) or ref.endswith(".toml"):
        return read_strategy(Path(ref))
    name, _, version = ref.partition("@")
    there = available_strategies(folder)
    known = [strategy for strategy in there if strategy.name == name and version in ("", str(strategy.version))]
    if not known:
        refs = ", ".join(strategy.ref for strategy in there)
        raise StrategyError(f"strategy {ref!r} is not known; there are {refs}, or give the path of a .toml file")
    return max(known, key=lambda strategy: strategy.version)


def available_strategies(folder: Path | None = None) -> tuple[Strategy, ...]:
    """The shipped strategies and those in the user's folder, by name and version.

    Raises StrategyError for a folder that is not there, a file in it that cannot be used, a name of ours, and a name
    and version that stand twice.
    """
    if folder is None:
        return shipped_strategies()
    if not folder.is_dir():
        raise StrategyError(f"strategy folder {folder}: there is no such folder")
    ours = {strategy.name for strategy in shipped_strategies()}
    found: dict[str, Path] = {}
    own = []
    for path in sorted(folder.glob("*.toml")):
        strategy = read_strategy(path)
        if strategy.name in ours:
            fault = f"'name' is {strategy.name!r}, which comes with Limbeck; give yours a name of its own"
            raise StrategyError(f"strategy file {path}: {fault}")
        if (first := found.setdefault(strategy.ref, path)) != path:
            raise StrategyError(f"strategy file {path}: {strategy.ref} is also in {first.name}; raise its version")
        own.append(strategy)
    return tuple(sorted([*shipped_strategies(), *own], key=_order))


@cache
def shipped_strategies() -> tuple[Strategy, ...]:
    """The strategies that come with Limbeck, by name and version."""
    return tuple(sorted(map(read_strategy, STRATEGY_FOLDER.glob("*.toml")), key=_order))


def read_strategy(path: Path) -> Strategy:
    """Read and check a strategy file. Raises StrategyError, with the line of the fault where it has one."""
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8")
        data = tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise StrategyError(f"strategy file {path} cannot be read: {error}") from error
    try:
        return _strategy_from(data, hashlib.sha256(raw).hexdigest())
    except _Fault as fault:
        place = f", line {line}" if (line := _line_of(text, fault.path)) else ""
        raise StrategyError(f"strategy file {path}{place}: {fault}") from None


class _Fault(Exception):
    """What is wrong with the value at `path`."""

    def __init__(self, said: str, *path: str) -> None:
        super().__init__(said)
        self.path = path


def _strategy_from(data: Mapping[str, Any], digest: str) -> Strategy:
    for key in data:
        if key not in _NEEDED and key not in _OPTIONAL:
            raise _Fault(f"{key!r} is not a field; there are {', '.join([*_NEEDED, *_OPTIONAL])}", key)
    for key, kind in [*_NEEDED.items(), *_OPTIONAL.items()]:
        if key in data and (not isinstance(data[key], kind) or isinstance(data[key], bool)):
            raise _Fault(f"{key!r} must be {_TYPES[kind]}", key)
        if key not in data and key in _NEEDED:
            raise _Fault(f"{key!r} is missing; it must be {_TYPES[kind]}")
    _check_head(data)
    about: About = data["about"]
    questions = _questions(data, about)
    _check_sampling(data)
    _check_schema(data["schema"], about, bool(questions))
    return Strategy(
        **{key: data[key] for key in ("name", "version", "says", "about", "schema")},
        **{key: data[key] for key in ("samples", "temperature", "max_tokens") if key in data},
        questions=questions,
        system=data["system"].strip(),
        user=data["user"].strip(),
        limits=_limits(data.get("limits", {})),
        digest=digest,
    )


def _check_head(data: Mapping[str, Any]) -> None:
    if not data["name"].replace("-", "").replace("_", "").isalnum() or len(data["name"]) > 60:
        raise _Fault("'name' must be letters, digits, - and _, at most 60", "name")
    if data["version"] < 1:
        raise _Fault("'version' must be 1 or more", "version")
    if data["about"] not in get_args(About):
        raise _Fault(f"'about' must be one of {', '.join(get_args(About))}", "about")
    if "$subject" not in data["user"] and "${subject}" not in data["user"]:
        raise _Fault("'user' must hold $subject, where the label is put", "user")


def _questions(data: Mapping[str, Any], about: About) -> tuple[str, ...]:
    questions = data.get("questions", [])
    asked = "$question" in data["user"] or "${question}" in data["user"]
    if questions and about != "label":
        raise _Fault("'questions' go with about = \"label\" only", "questions")
    if not all(isinstance(one, str) and fault_of(one, MAX_QUESTION_CHARS) is None for one in questions):
        raise _Fault(f"'questions' must be strings of 1 to {MAX_QUESTION_CHARS} characters on one line", "questions")
    if len(set(questions)) < len(questions) or len(questions) > MAX_QUESTIONS:
        raise _Fault(f"'questions' must differ, and be at most {MAX_QUESTIONS}", "questions")
    if bool(questions) != asked:
        raise _Fault("'user' must hold $question where there are 'questions', and only there", "user")
    return tuple(questions)


def _check_sampling(data: Mapping[str, Any]) -> None:
    samples, temperature = data.get("samples", 1), data.get("temperature")
    if not 1 <= samples <= MAX_SAMPLES:
        raise _Fault(f"'samples' must be 1 to {MAX_SAMPLES}", "samples")
    if temperature is not None and not 0 <= temperature <= 2:
        raise _Fault("'temperature' must be 0 to 2", "temperature")
    if samples > 1 and not temperature:
        raise _Fault("'samples' would all be the same; give a 'temperature' above 0", "samples")
    if data.get("max_tokens", 16) < 16:
        raise _Fault("'max_tokens' must be 16 or more", "max_tokens")


def _check_schema(schema: Mapping[str, Any], about: About, has_questions: bool) -> None:
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise _Fault(f"'schema' is no JSON Schema: {error.message}", "schema", *map(str, error.path)) from None
    properties: Mapping[str, Any] = schema.get("properties", {})
    needed = [name for name in _ALWAYS[about] if name not in schema.get("required", ())]
    if schema.get("type") != "object" or needed:
        names = "".join(f" that requires {name!r}" for name in needed[:1])
        raise _Fault(f"'schema' must be an object{names}", "schema")
    found = RESPONSE_FIELDS[about] & set(properties)
    if not found:
        raise _Fault(
            f"'schema' must ask for one of {', '.join(sorted(RESPONSE_FIELDS[about]))} (about = {about!r})", "schema"
        )
    if ("answer" in found) != has_questions:
        raise _Fault("'schema' must ask for 'answer' where there are 'questions', and only there", "schema")
    for name in (*_ALWAYS[about], *found - {"phrases", "differences"}):
        if properties.get(name, {}).get("type") != "string":
            raise _Fault(f"{name!r} must be of type string", "schema", "properties", name)
    if "phrases" in found:
        _check_items(properties, "phrases", ("phrase",), bare=True)
    if "differences" in found:
        _check_items(properties, "differences", DIFFERENCE_FIELDS, bare=False)


def _check_items(properties: Mapping[str, Any], name: str, needed: Sequence[str], *, bare: bool) -> None:
    items = properties[name].get("items", {})
    parts = items.get("properties", {})
    if bare and items.get("type") == "string":
        return
    strings = all(part.get("type") == "string" for part in parts.values())
    if items.get("type") != "object" or not strings or not set(needed) <= set(items.get("required", ())) & set(parts):
        either = "strings, or " if bare else ""
        said = f"{name!r} must hold {either}objects of strings that require {', '.join(needed)}"
        raise _Fault(said, "schema", "properties", name)


def _limits(data: Mapping[str, Any]) -> Limits:
    for key, value in data.items():
        if key not in vars(Limits()):
            raise _Fault(f"'limits' may give {', '.join(vars(Limits()))}, not {key!r}", "limits", key)
        if type(value) is not int or value < 0:
            raise _Fault(f"'limits' must be whole numbers, 0 or more; {key!r} is not", "limits", key)
    return Limits(**data)


def _line_of(text: str, path: Sequence[str]) -> int | None:
    """The line of the key at `path` in a TOML document, or of the innermost table around it that has a line."""
    table: list[str] = []
    best: tuple[int, int] | None = None  # how much of the path is there, and the line
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("["):
            table = [part.strip().strip("\"'") for part in line.strip("[] \t").split(".")]
            here = table
        else:
            here = [*table, line.partition("=")[0].strip().strip("\"'")]
        if here == list(path[: len(here)]) and (best is None or len(here) > best[0]):
            best = len(here), number
    return best[1] if best else None


def _order(strategy: Strategy) -> tuple[str, int]:
    return strategy.name, strategy.version
