"""From the text of an LLM's answer to an entry, or to a list of what is wrong with it.

The JSON is looked for in whatever stands around it, then checked here, whatever the server promised. What is wrong is
said in words of our own making: they go into the next prompt, where nothing of the answer, nor of a server's error,
may be repeated as if it were ours.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from jsonschema.exceptions import ValidationError

from attributes.checks import flags_of
from attributes.strategy import Limits, Strategy
from attributes.text import clean, same_name
from attributes.types import Entry, Label, Line

Fault = Literal["empty_answer", "refused", "truncated_answer", "invalid_answer", "wrong_label"]

MAX_SENTENCE_CHARS = 1_000
MAX_PHRASE_CHARS = 200
MAX_PHRASES = 32
_MAX_OBJECTS_TRIED = 64
_NUMBERS = {"minItems", "maxItems"}  # flagged, not refused: a fourth-best answer is better than none
_TOLERATED = {"additionalProperties"}  # a field more than asked for does no harm; it is not read
_THINKING = re.compile(r"<think>.*?(</think>|\Z)", re.DOTALL)
_REFUSAL = re.compile(
    r"^\W*(sorry\b|i( a|[’']?)m (sorry|unable)|i (can(no|[’'])?t|won[’']?t|will not|must decline))",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What an answer came to: an entry (perhaps with flags that ask for another try), or a fault.

    `correction` says in our words what to do better; `detail` the same for a person.
    """

    entry: Entry | None = None
    fault: Fault | None = None
    detail: str = ""
    correction: str = ""


def read_answer(text: str | None, strategy: Strategy, label: Label) -> Reading:
    """Read an answer about `label`; `text` is None or blank where the server gave none."""
    if text is None or not text.strip():
        return _failed("empty_answer", "the answer is empty", "The last answer was empty.")
    found, unfinished = _objects_in(text)
    if not found:
        return _nothing_found(text, unfinished)
    read = [_read_object(candidate, strategy, label) for candidate in reversed(found)]
    if good := next((reading for reading in read if reading.entry), None):
        return good
    return _nothing_found(text, unfinished) if unfinished else read[0]


def _nothing_found(text: str, unfinished: bool) -> Reading:
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


def _read_object(data: Mapping[str, Any], strategy: Strategy, label: Label) -> Reading:
    errors = [e for e in strategy.validator.iter_errors(data) if e.validator not in _TOLERATED]
    hard = [error for error in errors if error.validator not in _NUMBERS]
    if hard:
        said = "; ".join(dict.fromkeys(_in_our_words(error) for error in hard[:5]))
        return _failed("invalid_answer", said, f"The last answer did not fit the schema: {said}.")
    if not any(same_name(data["label"], name) for name in (label.name, str(label))):
        said = "The last answer was about another label; answer about the given one, and repeat it exactly."
        return _failed("wrong_label", f"the answer names {clean(data['label'], 60)!r}", said)
    if too_much := _too_much(data):
        return _failed("invalid_answer", too_much, f"The last answer was far too long: {too_much}.")
    entry = _entry_from(data, strategy, label)
    entry = replace(entry, flags=flags_of(entry, strategy.limits, wants=strategy.wants))
    if "empty" in entry.flags or "no_sentence" in entry.flags:
        said = "nothing is said where a description was asked for"
        return _failed("invalid_answer", said, f"In the last answer {said}.")
    wishes = "; ".join(_wish(flag, strategy.limits) for flag in entry.flags)
    return Reading(entry=entry, correction=f"The last answer can be better: {wishes}." if wishes else "")


def _entry_from(data: Mapping[str, Any], strategy: Strategy, label: Label) -> Entry:
    lines = [_phrase_from(item, strategy) for item in data.get("phrases", ())[:MAX_PHRASES]]
    if sentence := clean(data.get("sentence", ""), MAX_SENTENCE_CHARS):
        lines.insert(0, Line("sentence", sentence, strategy=strategy.ref))
    return Entry(label.name, label.sense, tuple(lines))


def _phrase_from(item: str | Mapping[str, str], strategy: Strategy) -> Line:
    if isinstance(item, str):
        return Line("phrase", _noun_phrase(item), strategy=strategy.ref)
    part, value = (clean(item.get(key, ""), MAX_PHRASE_CHARS) for key in ("part", "value"))
    return Line("phrase", _noun_phrase(item.get("phrase", "")), part, value, strategy=strategy.ref)


def _noun_phrase(text: str) -> str:
    return clean(text, MAX_PHRASE_CHARS).rstrip(" .")


def _too_much(data: Mapping[str, Any]) -> str | None:
    """What is beyond any use; to keep a cut piece of it would be to keep what nobody wrote."""
    phrases: Sequence[Any] = data.get("phrases", ())
    texts: Iterable[str] = (value for item in phrases for value in ([item] if isinstance(item, str) else item.values()))
    if len(data.get("sentence", "")) > MAX_SENTENCE_CHARS:
        return f"the sentence has more than {MAX_SENTENCE_CHARS} characters"
    if len(phrases) > MAX_PHRASES:
        return f"there are more than {MAX_PHRASES} phrases"
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
        "duplicate_phrase": "give no phrase twice",
        "empty_phrase": "leave no phrase empty",
        "long_sentence": f"use at most {limits.sentence_words} words in the sentence",
        "long_phrase": f"use at most {limits.phrase_words} words in a phrase",
    }[flag]


def _failed(fault: Fault, detail: str, correction: str) -> Reading:
    return Reading(fault=fault, detail=detail, correction=correction)
