"""From the text of an LLM's answer to lines, or to a list of what is wrong with it.

The JSON is looked for in whatever stands around it, then checked here, whatever the server promised. What is wrong is
said in words of our own making: they go into the next prompt, where nothing of the answer, nor of a server's error,
may be repeated as if it were ours.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from jsonschema.exceptions import ValidationError

from attributes.flags import flags_of
from attributes.prompts.contrast import PairLines, lines_for_pair
from attributes.prompts.questions import Question
from attributes.prompts.strategy import Limits
from attributes.text import clean, same_name
from attributes.types import Entry, Label, Line, LineKind

ResponseFault = Literal["empty_answer", "refused", "truncated_answer", "invalid_answer", "wrong_label"]

MAX_SENTENCE_CHARS = 1_000
MAX_PHRASE_CHARS = 200
MAX_PHRASES = 32
SENTENCES: Mapping[str, LineKind] = {"sentence": "sentence", "answer": "answer", "caption": "caption"}
_MAX_OBJECTS_TRIED = 64
_NUMBERS = {"minItems", "maxItems"}  # flagged, not refused: a fourth-best answer is better than none
_TOLERATED = {"additionalProperties"}  # a field more than asked for does no harm; it is not read
_THINKING = re.compile(r"<think>.*?(</think>|\Z)", re.DOTALL)
_REFUSAL = re.compile(
    r"^\W*(sorry\b|i( a|[’']?)m (sorry|unable)|i (can(no|[’'])?t|won[’']?t|will not|must decline))",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class ParsedResponse:
    """What an answer came to: lines (perhaps with flags that ask for another try), or a fault.

    `correction` says in our words what to do better; `detail` the same for a person. `other_lines` are said of the
    ask's other label.
    """

    lines: tuple[Line, ...] = ()
    other_lines: tuple[Line, ...] = ()
    flags: tuple[str, ...] = ()
    fault: ResponseFault | None = None
    detail: str = ""
    correction: str = ""


def parse_response(text: str | None, ask: Question) -> ParsedResponse:
    """Read an answer to `ask`; `text` is None or blank where the server gave none."""
    if text is None or not text.strip():
        return _failed("empty_answer", "the answer is empty", "The last answer was empty.")
    found, unfinished = _objects_in(text)
    if not found:
        return _nothing_found(text, unfinished)
    read = [_read_object(candidate, ask) for candidate in reversed(found)]
    if good := next((reading for reading in read if reading.fault is None), None):
        return good
    return _nothing_found(text, unfinished) if unfinished else read[0]


def _nothing_found(text: str, unfinished: bool) -> ParsedResponse:
    if unfinished:
        said = "The last answer broke off before its JSON object was complete, or its JSON has a fault."
        return _failed("truncated_answer", "the JSON object is not complete", said)
    if _REFUSAL.match(_THINKING.sub("", text)):
        return _failed("refused", "the model declined in prose", "")
    return _failed("invalid_answer", "no JSON object in the answer", "The last answer held no JSON object.")


def _objects_in(text: str) -> tuple[list[Mapping[str, Any]], bool]:
    """The outermost JSON objects in a text, in order, and whether a brace was opened that none of them closes."""
    text = _THINKING.sub("", text)
    decoder = json.JSONDecoder(strict=False)
    found: list[Mapping[str, Any]] = []
    unfinished = False
    start = text.find("{")
    for _ in range(_MAX_OBJECTS_TRIED):
        if start < 0:
            break
        try:
            value, end = decoder.raw_decode(text, start)
            found.append(value)
        except (ValueError, RecursionError):
            unfinished, end = True, start + 1
        start = text.find("{", end)
    return found, unfinished


def _read_object(data: Mapping[str, Any], ask: Question) -> ParsedResponse:
    errors = [e for e in ask.strategy.validator.iter_errors(data) if e.validator not in _TOLERATED]
    hard = [error for error in errors if error.validator not in _NUMBERS]
    if hard:
        said = "; ".join(dict.fromkeys(_in_our_words(error) for error in hard[:5]))
        return _failed("invalid_answer", said, f"The last answer did not fit the schema: {said}.")
    if wrong := _another_label(data, ask):
        return wrong
    if too_much := _too_much(data):
        return _failed("invalid_answer", too_much, f"The last answer was far too long: {too_much}.")
    sides = _sides(data, ask)
    flags = flags_of(
        Entry(ask.label.name, ask.label.sense, (*sides.lines, *sides.other_lines)),
        ask.strategy.limits,
        required=ask.strategy.response_fields,
    )
    if {"empty", "no_sentence"} & {*flags}:
        said = sides.nothing or "nothing is said where a description was asked for"
        return _failed("invalid_answer", said, f"In the last answer {said}.")
    flags += sides.flags
    wishes = "; ".join(_wish(flag, ask.strategy.limits) for flag in flags)
    better = f"The last answer can be better: {wishes}." if wishes else ""
    return ParsedResponse(lines=sides.lines, other_lines=sides.other_lines, flags=flags, correction=better)


def _another_label(data: Mapping[str, Any], ask: Question) -> ParsedResponse | None:
    """The fault of an answer that names other labels than those asked about."""
    if ask.strategy.about == "image":
        return None
    asked, given = [ask.label], [str(data["label"])]
    if ask.other is not None:
        asked, given = [ask.label, ask.other], [*given, str(data["other"])]
    if _names(asked, given) or _names(asked[::-1], given):
        return None
    said = "The last answer was about another label; answer about the given one, and repeat it exactly."
    if ask.other is not None:
        said = "The last answer was about other labels; answer about the two given ones, and repeat both exactly."
    return _failed("wrong_label", f"the answer names {clean(' and '.join(given), 120)!r}", said)


def _names(labels: Sequence[Label], given: Sequence[str]) -> bool:
    return all(
        any(same_name(text, name) for name in (label.name, str(label)))
        for label, text in zip(labels, given, strict=True)
    )


def _sides(data: Mapping[str, Any], ask: Question) -> PairLines:
    strategy = ask.strategy
    if ask.other is not None:
        pair = (ask.label, ask.other)
        # A model that answers the other way round says the same.
        swapped = not _names(pair, (data["label"], data["other"]))
        cleaned = [{key: _noun_phrase(str(value)) for key, value in item.items()} for item in data["differences"]]
        return lines_for_pair(cleaned[:MAX_PHRASES], pair, swapped=swapped, strategy=strategy.ref)
    lines = []
    for name, kind in SENTENCES.items():
        if name in strategy.response_fields and (text := clean(data.get(name, ""), MAX_SENTENCE_CHARS)):
            lines.append(Line(kind, text, about=ask.text, strategy=strategy.ref))
    if "phrases" in strategy.response_fields:
        lines += [_phrase_from(item, strategy.ref) for item in data.get("phrases", ())[:MAX_PHRASES]]
    return PairLines(tuple(lines))


def _phrase_from(item: str | Mapping[str, str], ref: str) -> Line:
    if isinstance(item, str):
        return Line("phrase", _noun_phrase(item), strategy=ref)
    part, value = (clean(item.get(key, ""), MAX_PHRASE_CHARS) for key in ("part", "value"))
    return Line("phrase", _noun_phrase(item.get("phrase", "")), part, value, strategy=ref)


def _noun_phrase(text: str) -> str:
    return clean(text, MAX_PHRASE_CHARS).rstrip(" .")


def _too_much(data: Mapping[str, Any]) -> str | None:
    """What is beyond any use; to keep a cut piece of it would be to keep what nobody wrote."""
    for name in SENTENCES:
        if isinstance(text := data.get(name), str) and len(text) > MAX_SENTENCE_CHARS:
            return f"the {name} has more than {MAX_SENTENCE_CHARS} characters"
    for name in ("phrases", "differences"):
        items: Any = data.get(name, ())
        if not isinstance(items, list):
            continue
        if len(items) > MAX_PHRASES:
            return f"there are more than {MAX_PHRASES} {name}"
        texts: Iterable[Any] = (
            text for item in items for text in (item.values() if isinstance(item, dict) else [item])
        )
        if any(len(text) > MAX_PHRASE_CHARS for text in texts if isinstance(text, str)):
            return f"a phrase has more than {MAX_PHRASE_CHARS} characters"
    return None


def _in_our_words(error: ValidationError) -> str:
    """The schema's side of an error; the library's own message quotes the answer."""
    place = ".".join("[]" if isinstance(step, int) else str(step) for step in error.absolute_path) or "the object"
    if error.validator == "required":
        wanted, given = cast(Sequence[str], error.validator_value), cast(Mapping[str, Any], error.instance)
        return f"{place} lacks {', '.join(name for name in wanted if name not in given)}"
    if error.validator == "type":
        return f"{place} must be of type {error.validator_value}"
    return f"{place} breaks the schema's {error.validator!r}"


def _wish(flag: str, limits: Limits) -> str:
    return {
        "too_few_phrases": f"give at least {limits.min_phrases} phrases",
        "too_many_phrases": f"give at most {limits.max_phrases} phrases",
        "too_few_differences": f"give at least {limits.min_phrases} differences",
        "too_many_differences": f"give at most {limits.max_phrases} differences",
        "duplicate_phrase": "give no phrase twice",
        "empty_phrase": "leave no phrase empty",
        "long_sentence": f"use at most {limits.sentence_words} words in the sentence",
        "long_phrase": f"use at most {limits.phrase_words} words in a phrase",
        "leaking_difference": "in each phrase say only what its own class looks like, without comparing, without "
        "negation and without naming the other class or its value",
        "no_difference": "leave out parts that look the same in both classes",
    }[flag]


def _failed(fault: ResponseFault, detail: str, correction: str) -> ParsedResponse:
    return ParsedResponse(fault=fault, detail=detail, correction=correction)
