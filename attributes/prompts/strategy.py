"""Strategies: named, versioned prompts with the JSON Schema of their responses. Each is a TOML file, in this folder or
in a folder of the user:

    name, version     identify the strategy in jobs and provenance; any change below requires a new version
    says              one line of description for people
    about             the subject of one question: "label", "pair" (differences between two labels) or "image"
    system, user      the prompts; in `user`, `$subject` is replaced by one line of JSON with label, sense and domain
                      (for a pair also `other` and `other_sense`), and `$question` by one of the questions
    questions         several question texts, each sent in its own request (about = "label" only)
    samples           the number of responses per question (default 1); more than 1 requires a temperature
    temperature       overrides the temperature of the job
    max_tokens        overrides the token limit of the job
    [limits]          word and item limits; a response beyond them is requested once more, then kept with flags
    [schema]          the JSON Schema of the response

The fields of the response define the lines. About a label: `label` (required), and `sentence`, `phrases` or `answer`.
About a pair: `label`, `other`, `differences`. About an image: `caption`. For strict structured output, a schema must
require every property and must not limit the length of strings.
"""

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Literal, NotRequired, TypedDict, cast, get_args

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from limbeck.shared.labels import text_fault

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

_LABEL_FIELDS: Mapping[About, tuple[str, ...]] = {"label": ("label",), "pair": ("label", "other"), "image": ()}
_FieldType = type | tuple[type, ...]
_REQUIRED: Mapping[str, _FieldType] = {
    "name": str,
    "version": int,
    "says": str,
    "about": str,
    "system": str,
    "user": str,
    "schema": dict,
}
_OPTIONAL: Mapping[str, _FieldType] = {
    "questions": list,
    "samples": int,
    "temperature": (int, float),
    "max_tokens": int,
    "limits": dict,
}
_TYPE_NAMES: Mapping[_FieldType, str] = {
    str: "a string",
    int: "a whole number",
    (int, float): "a number",
    dict: "a table",
    list: "a list",
}


class FieldSchema(TypedDict, total=False):
    """The JSON Schema of a field of a response, or of the items of a list; further keywords are passed on."""

    type: str
    enum: list[str]
    items: "FieldSchema"
    properties: "dict[str, FieldSchema]"
    required: list[str]


class ObjectSchema(TypedDict):
    """The JSON Schema of a response; further keywords are passed on."""

    type: Literal["object"]
    properties: dict[str, FieldSchema]
    required: list[str]


class StrategyFile(TypedDict):
    """The content of a strategy file."""

    name: str
    version: int
    says: str
    about: About
    system: str
    user: str
    schema: ObjectSchema
    questions: NotRequired[list[str]]
    samples: NotRequired[int]
    temperature: NotRequired[float]
    max_tokens: NotRequired[int]
    limits: NotRequired[dict[str, int]]


class StrategyError(ValueError):
    """An unknown strategy or an invalid strategy file. The message names the strategy, the reason and the fix."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of one response: words per sentence (also answer, caption) and per phrase; number of phrases or
    differences."""

    sentence_words: int = 60
    phrase_words: int = 15
    min_phrases: int = 0
    max_phrases: int = 32


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """A prompt with the schema of its response. `digest` is the sha256 of its file, hex.

    `language`: the language that a job asks for (`attributes.prompts.customize`); empty if it asks for none.
    """

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
    schema: ObjectSchema = field(repr=False)
    limits: Limits
    digest: str
    language: str = ""

    @property
    def ref(self) -> str:
        """Name and version, as used by jobs and provenance: `describe@1`."""
        return f"{self.name}@{self.version}"

    @property
    def response_fields(self) -> frozenset[str]:
        """The fields of the response that become lines, a subset of `RESPONSE_FIELDS[about]`."""
        return frozenset(self.schema["properties"]) & RESPONSE_FIELDS[self.about]

    @property
    def num_questions(self) -> int:
        """Number of questions per label, pair or image."""
        return max(1, len(self.questions)) * self.samples

    @cached_property
    def schema_digest(self) -> str:
        """sha256 of the schema, hex."""
        return hashlib.sha256(json.dumps(self.schema, sort_keys=True, ensure_ascii=False).encode()).hexdigest()

    @cached_property
    def validator(self) -> Draft202012Validator:
        """Validates a response against the schema."""
        return Draft202012Validator(self.schema)


def load_strategy(ref: str | Path = DEFAULT_STRATEGY, folder: Path | None = None) -> Strategy:
    """The strategy with this name (`describe` for the newest version, or `describe@1`), or of this `.toml` file.

    `folder` has strategies of the user. Raises StrategyError.
    """
    if isinstance(ref, Path) or ref.endswith(".toml"):
        return read_strategy(Path(ref))
    name, _, version = ref.partition("@")
    available = available_strategies(folder)
    matching = [strategy for strategy in available if strategy.name == name and version in ("", str(strategy.version))]
    if not matching:
        refs = ", ".join(strategy.ref for strategy in available)
        raise StrategyError(f"strategy {ref!r} is unknown; choose one of {refs}, or give the path of a .toml file")
    return max(matching, key=lambda strategy: strategy.version)


def available_strategies(folder: Path | None = None) -> tuple[Strategy, ...]:
    """The shipped strategies and those in the folder of the user, sorted by name and version.

    Raises StrategyError for a missing folder, an invalid file, the name of a shipped strategy, and a duplicate name and
    version.
    """
    if folder is None:
        return shipped_strategies()
    if not folder.is_dir():
        raise StrategyError(f"strategy folder {folder} does not exist")
    shipped_names = {strategy.name for strategy in shipped_strategies()}
    paths: dict[str, Path] = {}
    custom = []
    for path in sorted(folder.glob("*.toml")):
        strategy = read_strategy(path)
        if strategy.name in shipped_names:
            fault = f"'name' is {strategy.name!r}, the name of a shipped strategy; choose another name"
            raise StrategyError(f"strategy file {path}: {fault}")
        if (first := paths.setdefault(strategy.ref, path)) != path:
            raise StrategyError(f"strategy file {path}: {strategy.ref} is also in {first.name}; raise its version")
        custom.append(strategy)
    return tuple(sorted([*shipped_strategies(), *custom], key=_sort_key))


@cache
def shipped_strategies() -> tuple[Strategy, ...]:
    """The shipped strategies, sorted by name and version."""
    return tuple(sorted(map(read_strategy, STRATEGY_FOLDER.glob("*.toml")), key=_sort_key))


def read_strategy(path: Path) -> Strategy:
    """Read and validate a strategy file. Raises StrategyError; its message names the line of the fault if known."""
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8")
        data = tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise StrategyError(f"strategy file {path} cannot be read: {error}") from error
    try:
        return _parse_strategy(data, hashlib.sha256(raw).hexdigest())
    except _Fault as fault:
        place = f", line {line}" if (line := _line_of(text, fault.path)) else ""
        raise StrategyError(f"strategy file {path}{place}: {fault}") from None


class _Fault(Exception):
    """Why the value at `path` is invalid."""

    def __init__(self, message: str, *path: str) -> None:
        super().__init__(message)
        self.path = path


def _parse_strategy(content: Mapping[str, object], digest: str) -> Strategy:
    for key in content:
        if key not in _REQUIRED and key not in _OPTIONAL:
            raise _Fault(f"{key!r} is not a field; the fields are {', '.join([*_REQUIRED, *_OPTIONAL])}", key)
    for key, kind in [*_REQUIRED.items(), *_OPTIONAL.items()]:
        if key in content and (not isinstance(content[key], kind) or isinstance(content[key], bool)):
            raise _Fault(f"{key!r} must be {_TYPE_NAMES[kind]}", key)
        if key not in content and key in _REQUIRED:
            raise _Fault(f"{key!r} is missing; it must be {_TYPE_NAMES[kind]}")
    data = cast(StrategyFile, content)
    _check_identity(data)
    about = data["about"]
    questions = _parse_questions(data, about)
    _check_sampling(data)
    _check_schema(data["schema"], about, bool(questions))
    return Strategy(
        name=data["name"],
        version=data["version"],
        says=data["says"],
        about=about,
        schema=data["schema"],
        samples=data.get("samples", 1),
        temperature=data.get("temperature"),
        max_tokens=data.get("max_tokens"),
        questions=questions,
        system=data["system"].strip(),
        user=data["user"].strip(),
        limits=_parse_limits(data.get("limits", {})),
        digest=digest,
    )


def _check_identity(data: StrategyFile) -> None:
    if not data["name"].replace("-", "").replace("_", "").isalnum() or len(data["name"]) > 60:
        raise _Fault("'name' must be 1 to 60 letters, digits, - and _", "name")
    if data["version"] < 1:
        raise _Fault("'version' must be 1 or more", "version")
    if data["about"] not in get_args(About):
        raise _Fault(f"'about' must be one of {', '.join(get_args(About))}", "about")
    if "$subject" not in data["user"] and "${subject}" not in data["user"]:
        raise _Fault("'user' must hold $subject, which is replaced by the label", "user")


def _parse_questions(data: StrategyFile, about: About) -> tuple[str, ...]:
    questions = data.get("questions", [])
    has_placeholder = "$question" in data["user"] or "${question}" in data["user"]
    if questions and about != "label":
        raise _Fault("'questions' require about = \"label\"", "questions")
    if not all(isinstance(one, str) and text_fault(one, MAX_QUESTION_CHARS) is None for one in questions):
        raise _Fault(f"'questions' must be strings of 1 to {MAX_QUESTION_CHARS} characters on one line", "questions")
    if len(set(questions)) < len(questions) or len(questions) > MAX_QUESTIONS:
        raise _Fault(f"'questions' must be unique, and at most {MAX_QUESTIONS}", "questions")
    if bool(questions) != has_placeholder:
        raise _Fault("'user' must hold $question if, and only if, 'questions' are given", "user")
    return tuple(questions)


def _check_sampling(data: StrategyFile) -> None:
    samples, temperature = data.get("samples", 1), data.get("temperature")
    if not 1 <= samples <= MAX_SAMPLES:
        raise _Fault(f"'samples' must be 1 to {MAX_SAMPLES}", "samples")
    if temperature is not None and not 0 <= temperature <= 2:
        raise _Fault("'temperature' must be 0 to 2", "temperature")
    if samples > 1 and not temperature:
        raise _Fault("'samples' would all be identical; give a 'temperature' above 0", "samples")
    if data.get("max_tokens", 16) < 16:
        raise _Fault("'max_tokens' must be 16 or more", "max_tokens")


def _check_schema(schema: ObjectSchema, about: About, has_questions: bool) -> None:
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise _Fault(f"'schema' is not a JSON Schema: {error.message}", "schema", *map(str, error.path)) from None
    properties = schema.get("properties", {})
    missing = [name for name in _LABEL_FIELDS[about] if name not in schema.get("required", ())]
    if schema.get("type") != "object" or missing:
        names = "".join(f" that requires {name!r}" for name in missing[:1])
        raise _Fault(f"'schema' must be an object{names}", "schema")
    response_fields = RESPONSE_FIELDS[about] & set(properties)
    if not response_fields:
        raise _Fault(
            f"'schema' must have one of {', '.join(sorted(RESPONSE_FIELDS[about]))} (about = {about!r})", "schema"
        )
    if ("answer" in response_fields) != has_questions:
        raise _Fault("'schema' must have 'answer' if, and only if, 'questions' are given", "schema")
    for name in (*_LABEL_FIELDS[about], *response_fields - {"phrases", "differences"}):
        if properties.get(name, {}).get("type") != "string":
            raise _Fault(f"{name!r} must be of type string", "schema", "properties", name)
    if "phrases" in response_fields:
        _check_items(properties, "phrases", ("phrase",), allow_strings=True)
    if "differences" in response_fields:
        _check_items(properties, "differences", DIFFERENCE_FIELDS, allow_strings=False)


def _check_items(
    properties: Mapping[str, FieldSchema], name: str, required: Sequence[str], *, allow_strings: bool
) -> None:
    items = properties[name].get("items", {})
    fields = items.get("properties", {})
    if allow_strings and items.get("type") == "string":
        return
    all_strings = all(field_schema.get("type") == "string" for field_schema in fields.values())
    has_required = set(required) <= set(items.get("required", ())) & set(fields)
    if items.get("type") != "object" or not all_strings or not has_required:
        strings = "strings, or " if allow_strings else ""
        message = f"{name!r} must hold {strings}objects of strings that require {', '.join(required)}"
        raise _Fault(message, "schema", "properties", name)


def _parse_limits(data: Mapping[str, int]) -> Limits:
    for key, value in data.items():
        if key not in vars(Limits()):
            raise _Fault(f"'limits' can have {', '.join(vars(Limits()))}, not {key!r}", "limits", key)
        if type(value) is not int or value < 0:
            raise _Fault(f"'limits' must be whole numbers, 0 or more; {key!r} is not", "limits", key)
    return Limits(**data)


def _line_of(text: str, path: Sequence[str]) -> int | None:
    """The line of the key at `path` in a TOML document, or of its innermost enclosing table that is found."""
    table: list[str] = []
    best: tuple[int, int] | None = None  # number of path steps that match, line number
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("["):
            table = [part.strip().strip("\"'") for part in line.strip("[] \t").split(".")]
            key_path = table
        else:
            key_path = [*table, line.partition("=")[0].strip().strip("\"'")]
        if key_path == list(path[: len(key_path)]) and (best is None or len(key_path) > best[0]):
            best = len(key_path), number
    return best[1] if best else None


def _sort_key(strategy: Strategy) -> tuple[str, int]:
    return strategy.name, strategy.version
