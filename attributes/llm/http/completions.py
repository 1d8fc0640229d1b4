"""The answer in a completion: its text, and why it ended, in the dialects of the servers."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Ending = Literal["complete", "cut_off", "filtered", "error", "malformed", "unknown"]

_CUT_OFF = re.compile(
    r"length|max_?(output_|new_|completion_)?tokens?|token_?limit|limit_reached|truncat|context_window"
    r"|error_limit|^(limit|incomplete)$"
)
_FILTERED = re.compile(
    r"content_?filter|safety|recitation|prohibited|blocklist|blocked|spii|sensitive|refus|guardrail|moderat|"
    r"content_policy|inappropriate|violation|toxic|risk"
)
_MALFORMED = re.compile(r"malformed|unexpected_tool|invalid_(output|response|tool)|too_many_tool")
_ERROR = re.compile(r"error|fail|insufficient_system_resource|abort|cancel|timeout|interrupt|unavailable|exception")
_COMPLETE = re.compile(r"stop|end_?turn|eos|complete|finish|done|tool_?(calls?|use)|function_call|success|normal")
_ENDINGS: tuple[tuple[Ending, re.Pattern[str]], ...] = (
    ("filtered", _FILTERED),
    ("cut_off", _CUT_OFF),
    ("malformed", _MALFORMED),
    ("error", _ERROR),
    ("complete", _COMPLETE),
)
_FINISH_FIELDS = frozenset(
    ("finish_reason", "native_finish_reason", "finishReason", "stop_reason", "done_reason", "status")
)
_FINISH_DETAILS = frozenset(("incomplete_details", "finish_details"))
_NOT_THE_ANSWER = re.compile(r"think|reason|thought|tool|redacted|image|audio", re.IGNORECASE)
_REASONING = ("reasoning_content", "reasoning", "reasoning_text", "thinking", "thinking_content", "thought", "thoughts")


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """`text` of the answer, `reasoning` if there is no text, and how it ended. `refusal` is the model's own words."""

    text: str | None
    reasoning: str
    ending: Ending
    refusal: str = ""


def read_completion(data: Mapping[str, object], choice: Mapping[str, object]) -> ModelAnswer:
    """The answer in the first choice of a response."""
    message = choice.get("message", choice.get("delta"))
    message = message if isinstance(message, dict) else {"content": choice.get("text", message)}
    refusal = message.get("refusal")
    text, ending = text_of(message.get("content")), _ending(data, choice)
    if (text is None or not text.strip()) and ending != "cut_off":
        text = next(_other_texts(choice, message), text)
    reasoning = ""
    if text is None or not text.strip():  # the text of an answer has precedence
        reasoning = next((found for found in _reasoning_texts(message) if found.strip()), "")
    return ModelAnswer(text, reasoning, ending, str(refusal) if refusal else "")


def text_of(content: object) -> str | None:
    """The text of a message's content: a text, a list of parts, or an object. Parts that are thinking are left out."""
    if isinstance(content, str):
        return content
    if isinstance(content, dict):
        return _part_text(content) if "text" in content or "type" in content else json.dumps(content)
    if isinstance(content, list):
        return "".join(text for text in map(_part_text, content) if text is not None)
    return None


def _part_text(part: object) -> str | None:
    if not isinstance(part, dict):
        return part if isinstance(part, str) else None
    if _NOT_THE_ANSWER.search(str(part.get("type", ""))) or part.get("thought") is True:
        return None
    text = part.get("text", part.get("content"))
    if isinstance(text, dict):
        text = text.get("value")
    return text if isinstance(text, str) else None


def _other_texts(choice: Mapping[str, object], message: Mapping[str, object]) -> Iterator[str]:
    """Where an answer is if the content is empty: a tool call, a parsed object, the field of plain completions."""
    calls = message.get("tool_calls")
    first = calls[0] if isinstance(calls, list) and calls else None
    functions = [first.get("function") if isinstance(first, dict) else None, message.get("function_call")]
    arguments = [function.get("arguments") for function in functions if isinstance(function, dict)]
    for value in (message.get("parsed"), *arguments, message.get("text"), choice.get("text")):
        if isinstance(value, dict) and value:
            yield json.dumps(value)
        elif isinstance(value, str) and value.strip():
            yield value


def _reasoning_texts(message: Mapping[str, object]) -> Iterator[str]:
    for name in _REASONING:
        value = message.get(name)
        yield value if isinstance(value, str) else _joined_parts(value)
    yield _joined_parts(message.get("reasoning_details"))
    content = message.get("content")
    yield _joined_parts([part for part in content if isinstance(part, dict)] if isinstance(content, list) else None)


def _joined_parts(value: object) -> str:
    """The texts of a list of reasoning parts (`{"type": "reasoning.text", "text": …}`), also nested ones."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        names = ("text", "thinking", "content", "summary")
        return _joined_parts(next((value[name] for name in names if value.get(name)), None))
    return "".join(_joined_parts(part) for part in value) if isinstance(value, list) else ""


def _ending(data: Mapping[str, object], choice: Mapping[str, object]) -> Ending:
    """How the answer ended, by the worst reason that the response names."""
    reasons = [holder[name] for holder in (choice, data) for name in _FINISH_FIELDS & holder.keys()]
    for name in _FINISH_DETAILS & (choice.keys() | data.keys()):
        details = choice.get(name) or data.get(name)
        reasons.append(details.get("reason", details.get("type")) if isinstance(details, dict) else None)
    types = [reason.get("type") if isinstance(reason, dict) else reason for reason in reasons]
    return _ending_of(tuple(one for one in types if isinstance(one, str)))


@lru_cache(maxsize=256)
def _ending_of(reasons: tuple[str, ...]) -> Ending:
    normal = [_normal(reason) for reason in reasons]
    for ending, pattern in _ENDINGS:
        if any(pattern.search(reason) for reason in normal):
            return ending
    return "unknown"


def _normal(reason: str) -> str:
    """A reason in lower case with underscores: `MAX_TOKENS`, `maxTokens` and `FINISH_REASON_MAX_TOKENS` are one."""
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", reason)
    return re.sub(r"[-. ]+", "_", snake).lower().removeprefix("finish_reason_")
