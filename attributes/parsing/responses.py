"""Parse the text of an LLM response into lines, or into a fault with a correction for the next prompt.

The JSON object is found in surrounding prose and validated here, even if the server promised valid JSON. If no object
is valid, those that are nearly valid JSON or nearly fit the schema are repaired (`attributes.parsing.repair`,
`attributes.parsing.shapes`), because another call costs money. A correction is worded in this module and never quotes
the response or a server error, because it is sent to the LLM as an instruction.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Literal, TypedDict, cast

from jsonschema.exceptions import ValidationError

from attributes.flags import flags_of
from attributes.json_types import JSONObject, JSONValue
from attributes.meta_text import META_KINDS, MetaKind, is_no_answer
from attributes.parsing.json_texts import decoded_texts, object_at_start, objects_in
from attributes.parsing.label_echo import echo_score, is_swapped
from attributes.parsing.loops import MIN_SPACE_CHARS, is_stuck
from attributes.parsing.refusals import is_refusal, is_refusal_object
from attributes.parsing.repair import repaired_objects
from attributes.parsing.shapes import fitted_objects
from attributes.parsing.thinking import without_thinking
from attributes.prompts.contrast import PairLines, lines_for_pair
from attributes.prompts.questions import Question
from attributes.prompts.strategy import Limits
from attributes.types import Entry, Label, Line, LineKind
from limbeck.shared.text import clean

SentenceField = Literal["sentence", "answer", "caption"]
ResponseFault = Literal[
    "empty_answer", "refused", "truncated_answer", "degenerate_answer", "invalid_answer", "wrong_label"
]

MAX_SENTENCE_CHARS = 1_000
MAX_PHRASE_CHARS = 200
MAX_PHRASES = 32
SENTENCES: Mapping[SentenceField, LineKind] = {"sentence": "sentence", "answer": "answer", "caption": "caption"}
_TOO_FEW = {"too_few_phrases", "too_few_differences"}
_FLAGGED = {"minItems", "maxItems"}  # flagged, not refused: a response with four phrases is better than none
_IGNORED = {"additionalProperties"}  # an additional field is harmless and is not read


class PhraseJSON(TypedDict, total=False):
    """A phrase in a response, with the components that the schema of the strategy asks for."""

    phrase: str
    part: str
    value: str


class ResponseJSON(TypedDict, total=False):
    """The fields that are read from a response. The schema of the strategy says which are required."""

    label: str
    other: str
    sentence: str
    answer: str
    caption: str
    phrases: list[str | PhraseJSON]
    differences: list[dict[str, str]]


@dataclass(frozen=True, kw_only=True)
class ParsedResponse:
    """The lines of a response, possibly with flags, or its fault.

    `correction` is sent to the LLM with the next attempt; `detail` describes the fault to a person. `other_lines` are
    the lines of the question's other label. `repaired`: the response was not valid as it came.
    """

    lines: tuple[Line, ...] = ()
    other_lines: tuple[Line, ...] = ()
    flags: tuple[str, ...] = ()
    fault: ResponseFault | None = None
    detail: str = ""
    correction: str = ""
    repaired: bool = False


def parse_response(text: str | None, question: Question, *, cut_off: bool = False) -> ParsedResponse:
    """Parse a response to `question`. `text` is None or blank if the server sent none.

    If the text has several JSON objects, the last valid one is used. `cut_off`: the server stopped at its token limit;
    only an object with which the answer begins is then used, and nothing is repaired: any other can be a draft.
    """
    if text is None or not text.strip():
        if text is not None and len(text) >= MIN_SPACE_CHARS:
            return _stuck()
        return _failed("empty_answer", "the response is empty", "The last answer was empty.")
    answer, in_thinking = without_thinking(text)
    found = object_at_start(answer) if cut_off else objects_in(answer)
    results = [_parse_object(candidate, question) for candidate in reversed(found.objects)]
    if valid := _first_valid(results):
        return valid
    if valid := _first_valid(_fitted(found.objects, question)):
        return replace(valid, repaired=True)
    repaired: ParsedResponse | None = None
    if not cut_off:
        repaired = _repaired(answer, question)
        if repaired is not None and repaired.fault is None:
            return repaired
    if (in_thinking or found.incomplete or not found.objects) and is_stuck(text):
        return _stuck()
    if any(map(is_refusal_object, found.objects)):
        return _failed("refused", "the model refused", "")
    if repaired is not None:
        return repaired
    if results and not found.incomplete:
        return results[0]
    return _no_object(answer, found.incomplete or in_thinking)


def _first_valid(results: Iterable[ParsedResponse]) -> ParsedResponse | None:
    return next((result for result in results if result.fault is None), None)


def _fitted(objects: Sequence[JSONObject], question: Question) -> Iterator[ParsedResponse]:
    """The results of objects that nearly fit the schema, the last object first, and of the objects inside them."""

    def names_label(text: str) -> bool:
        about_label = question.strategy.about == "label"
        return about_label and echo_score(text, question.label, question.domain) > 0

    for data in reversed(objects):
        for fitted in fitted_objects(data, question.strategy.schema, names_label):
            yield _parse_object(fitted, question)


def _repaired(answer: str, question: Question) -> ParsedResponse | None:
    """The result of the first object that repairs make valid, or of one that fits the schema and names another label.

    A list without its end must have as many items as the schema asks for: it may be cut.
    """
    wrong_label: ParsedResponse | None = None
    for text in (answer, *decoded_texts(answer)):
        decoded = objects_in(text).objects if text is not answer else []
        complete = ((data, False) for data in reversed(decoded))
        for data, unclosed in chain(complete, ((found.data, found.unclosed) for found in repaired_objects(text))):
            for result in (_parse_object(data, question), *_fitted([data], question)):
                if result.fault is None and not (unclosed and _TOO_FEW & {*result.flags}):
                    return replace(result, repaired=True)
                if result.fault == "wrong_label":
                    wrong_label = result
    return wrong_label


def _no_object(text: str, incomplete: bool) -> ParsedResponse:
    if is_refusal(text) and "{" not in text:
        return _failed("refused", "the model refused, without a JSON object", "")
    if incomplete:
        correction = "The last answer broke off before its JSON object was complete, or its JSON has a fault."
        return _failed("truncated_answer", "the JSON object is not complete", correction)
    return _failed("invalid_answer", "no JSON object in the response", "The last answer held no JSON object.")


def _stuck() -> ParsedResponse:
    detail = "the response ends in white space or in one text again and again"
    return _failed("degenerate_answer", detail, "The last answer repeated itself and did not end.")


def _parse_object(data: JSONObject, question: Question) -> ParsedResponse:
    errors = [e for e in question.strategy.validator.iter_errors(data) if e.validator not in _IGNORED | _FLAGGED]
    if errors:
        fault = "; ".join(dict.fromkeys(_describe_error(error) for error in errors[:5]))
        return _failed("invalid_answer", fault, f"The last answer did not fit the schema: {fault}.")
    response = cast(ResponseJSON, data)  # it fits the schema
    if wrong_label := _wrong_label(response, question):
        return wrong_label
    if excess := _excess(data):
        return _failed("invalid_answer", excess, f"The last answer was far too long: {excess}.")
    parsed = _lines(response, question)
    flags = flags_of(
        Entry(question.label.name, question.label.sense, (*parsed.lines, *parsed.other_lines)),
        question.strategy.limits,
        required=question.strategy.response_fields,
    )
    if {"empty", "no_sentence"} & {*flags}:
        fault = parsed.empty_reason or "nothing is said where a description was asked for"
        return _failed("invalid_answer", fault, f"In the last answer {fault}.")
    if no_answer := next((kind for line in parsed.lines if (kind := _no_answer(line, question.label))), None):
        fault = f"the text is {META_KINDS[no_answer]}, not a description"
        return _failed("refused" if no_answer == "refusal" else "invalid_answer", fault, f"In the last answer {fault}.")
    flags += parsed.flags
    requests = "; ".join(_request_for(flag, question.strategy.limits) for flag in flags)
    correction = f"The last answer can be better: {requests}." if requests else ""
    return ParsedResponse(lines=parsed.lines, other_lines=parsed.other_lines, flags=flags, correction=correction)


def _no_answer(line: Line, label: Label) -> MetaKind | None:
    """The kind of meta text of a line that has nothing else; None for a phrase, which is only flagged."""
    return is_no_answer(line.text, label.name) if line.kind in SENTENCES.values() else None


def _wrong_label(data: ResponseJSON, question: Question) -> ParsedResponse | None:
    """The fault of a response that names other labels than the question; None if the labels match."""
    if question.strategy.about == "image":
        return None
    given = [str(data["label"])]
    if question.other is not None:
        given.append(str(data["other"]))
        is_same = is_swapped((question.label, question.other), given, question.domain) is not None
    else:
        is_same = echo_score(given[0], question.label, question.domain) > 0
    if is_same:
        return None
    correction = "The last answer was about another label; answer about the given one, and repeat it exactly."
    if question.other is not None:
        correction = "The last answer was about other labels; answer about the two given ones, and repeat both exactly."
    return _failed("wrong_label", f"the response names {clean(' and '.join(given), 120)!r}", correction)


def _lines(data: ResponseJSON, question: Question) -> PairLines:
    strategy = question.strategy
    if question.other is not None:
        pair = (question.label, question.other)
        # A response that swaps the two labels is equally valid.
        swapped = bool(is_swapped(pair, (data["label"], data["other"]), question.domain))
        cleaned = [{key: _noun_phrase(str(value)) for key, value in item.items()} for item in data["differences"]]
        return lines_for_pair(
            cleaned[:MAX_PHRASES], pair, swapped=swapped, strategy=strategy.ref, language=strategy.language
        )
    lines = []
    for name, kind in SENTENCES.items():
        if name in strategy.response_fields and (text := clean(data.get(name, ""), MAX_SENTENCE_CHARS)):
            lines.append(Line(kind, text, about=question.text, strategy=strategy.ref))
    if "phrases" in strategy.response_fields:
        lines += [_parse_phrase(item, strategy.ref) for item in data.get("phrases", ())[:MAX_PHRASES]]
    return PairLines(tuple(lines))


def _parse_phrase(item: str | PhraseJSON, ref: str) -> Line:
    if isinstance(item, str):
        return Line("phrase", _noun_phrase(item), strategy=ref)
    part = clean(item.get("part", ""), MAX_PHRASE_CHARS)
    value = clean(item.get("value", ""), MAX_PHRASE_CHARS)
    return Line("phrase", _noun_phrase(item.get("phrase", "")), part, value, strategy=ref)


def _noun_phrase(text: str) -> str:
    return clean(text, MAX_PHRASE_CHARS).rstrip(" .")


def _excess(data: JSONObject) -> str | None:
    """Which text or list is far too long, or None. It is refused and not cut, because a cut text is not a response."""
    for name in SENTENCES:
        if isinstance(text := data.get(name), str) and len(text) > MAX_SENTENCE_CHARS:
            return f"the {name} has more than {MAX_SENTENCE_CHARS} characters"
    for list_name in ("phrases", "differences"):
        items = data.get(list_name, ())
        if not isinstance(items, list):
            continue
        if len(items) > MAX_PHRASES:
            return f"there are more than {MAX_PHRASES} {list_name}"
        texts: Iterable[JSONValue] = (
            text for item in items for text in (item.values() if isinstance(item, dict) else [item])
        )
        if any(len(text) > MAX_PHRASE_CHARS for text in texts if isinstance(text, str)):
            return f"a phrase has more than {MAX_PHRASE_CHARS} characters"
    return None


def _describe_error(error: ValidationError) -> str:
    """Describe a schema error without quoting the response; the message of the library quotes it."""
    place = ".".join("[]" if isinstance(step, int) else str(step) for step in error.absolute_path) or "the object"
    if error.validator == "required":
        required, given = cast(Sequence[str], error.validator_value), cast(JSONObject, error.instance)
        return f"{place} lacks {', '.join(name for name in required if name not in given)}"
    if error.validator == "type":
        return f"{place} must be of type {error.validator_value}"
    return f"{place} breaks the schema's {error.validator!r}"


def _request_for(flag: str, limits: Limits) -> str:
    """The clause of a correction that asks the LLM for a response without this flag."""
    return {
        "too_few_phrases": f"give at least {limits.min_phrases} phrases",
        "too_many_phrases": f"give at most {limits.max_phrases} phrases",
        "too_few_differences": f"give at least {limits.min_phrases} differences",
        "too_many_differences": f"give at most {limits.max_phrases} differences",
        "duplicate_phrase": "give no phrase twice",
        "empty_phrase": "leave no phrase empty",
        "long_sentence": f"use at most {limits.sentence_words} words in the sentence",
        "long_phrase": f"use at most {limits.phrase_words} words in a phrase",
        "meta_text": "say only how the class looks: no error message, refusal, placeholder or words about the task",
        "leaking_difference": "in each phrase say only what its own class looks like, without comparing, without "
        "negation and without naming the other class or its value",
        "no_difference": "leave out parts that look the same in both classes",
    }[flag]


def _failed(fault: ResponseFault, detail: str, correction: str) -> ParsedResponse:
    return ParsedResponse(fault=fault, detail=detail, correction=correction)
