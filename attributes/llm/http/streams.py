"""Responses that come as a stream although none was requested: Server-Sent Events, and JSON lines.

The pieces of a completion are joined to the object that a server without a stream sends.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping

_FIELD = re.compile(r"(data|event|id|retry)?:")
_REASONING = ("reasoning_content", "reasoning", "thinking")


class UnfinishedStream(Exception):
    """The stream ends before the completion does."""


def joined_stream(text: str) -> object | None:
    """The completion, or the error, in a stream of events or JSON lines; None if the text is neither.

    Raises UnfinishedStream.
    """
    is_sse = _FIELD.match(text) is not None
    pieces = list(_sse_data(text) if is_sse else text.splitlines())
    objects = [value for piece in pieces if isinstance(value := _json(piece), dict)]
    if not objects or (not is_sse and len(objects) < len([piece for piece in pieces if piece.strip()])):
        if is_sse and pieces and pieces != ["[DONE]"]:
            return {"error": {"message": " ".join(pieces)}}
        return None
    for one in objects:
        if one.get("error") or one.get("object") == "error" or one.get("type") == "error":
            return one
    if not any(_delta_of(one) is not None for one in objects):
        return objects[-1]  # a whole response, or an error of another shape, as one event
    return _joined(objects, is_done="[DONE]" in pieces)


def _sse_data(text: str) -> Iterator[str]:
    """The data of each event."""
    for event in re.split(r"(?:\r?\n|\r){2,}", text):
        lines = [line[5:].removeprefix(" ") for line in re.split(r"\r?\n|\r", event) if line.startswith("data:")]
        if lines and (data := "\n".join(lines).strip()):
            # Some servers separate events by a single line feed.
            yield from [data] if len(lines) == 1 or _json(data) is not None else lines


def _joined(objects: Iterable[Mapping[str, object]], *, is_done: bool) -> dict[str, object]:
    """A completion of the pieces of its first choice."""
    whole: dict[str, object] = {}
    choice: dict[str, object] = {}
    texts: dict[str, str] = {}
    arguments: list[str] = []
    for one in objects:
        whole |= {name: value for name, value in one.items() if name != "choices" and value is not None}
        first = _first_choice(one)
        choice |= {name: value for name, value in first.items() if name != "delta" and value is not None}
        delta = _delta_of(one) or {}
        for name in ("content", "refusal", *_REASONING):
            if isinstance(piece := delta.get(name), str):
                texts[name] = texts.get(name, "") + piece
        arguments += _argument_pieces(delta)
    if not is_done and not choice.get("finish_reason"):
        raise UnfinishedStream
    message: dict[str, object] = {"role": "assistant", "content": None, **texts}
    if arguments:
        message["tool_calls"] = [{"function": {"arguments": "".join(arguments)}}]
    return whole | {"choices": [choice | {"message": message}]}


def _argument_pieces(delta: Mapping[str, object]) -> Iterator[str]:
    calls = delta.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) and not call.get("index") else None
        if isinstance(function, dict) and isinstance(piece := function.get("arguments"), str):
            yield piece


def _first_choice(data: Mapping[str, object]) -> Mapping[str, object]:
    choices = data.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else {}


def _delta_of(data: Mapping[str, object]) -> Mapping[str, object] | None:
    """The piece of the message in one event."""
    first = _first_choice(data)
    delta = first.get("delta")
    if isinstance(delta, dict):
        return delta
    if "text" in first and "message" not in first:  # pieces of a plain completion
        return {"content": first["text"]}
    return None


def _json(text: str) -> object:
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None
