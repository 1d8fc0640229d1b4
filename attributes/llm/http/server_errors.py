"""The error in a response, in every known shape: OpenAI's object, a text, FastAPI's list, Google's list, an error
inside the text of another one (OpenRouter, LiteLLM), codes of Chinese servers under status 200.

    error = error_in({"code": "1301", "msg": "sensitive"})   # message "sensitive", codes {"1301"}
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

Path = tuple[str, ...]

MAX_FACTS, MAX_DEPTH, MAX_TEXT_CHARS = 300, 8, 4_000
_CODE_FIELDS = frozenset(
    ("code", "type", "status", "reason", "error_code", "errorcode", "__type", "error_type", "errortype")
    + ("status_code", "statuscode", "blockreason")
)
_STATUS_FIELDS = frozenset(("code", "status", "status_code", "statuscode", "http_status", "error_code", "errorcode"))
_MESSAGE_FIELDS = frozenset(
    ("message", "msg", "detail", "error", "error_description", "error_message", "errormessage", "error_msg")
    + ("faultstring", "description", "title", "raw", "status_msg", "statusmsg", "errmsg", "err_msg", "err")
    + ("failed_generation", "reason_message", "blockreasonmessage")
)
_NO_ERROR = ("", "0", "200", "ok", "success", "none", "null")


@dataclass(frozen=True, slots=True)
class ServerError:
    """An error as its server describes it.

    `text` has every sentence of it, `message` those worth showing, `codes` every code and type in lower case. `status`
    is the HTTP status that the body names. `facts` are all its values by their path, also of JSON inside texts.
    """

    message: str = ""
    text: str = ""
    codes: frozenset[str] = frozenset()
    status: int | None = None
    param: str = ""
    reasons: tuple[str, ...] = ()
    facts: tuple[tuple[Path, object], ...] = field(default=(), repr=False)


def is_error(data: object) -> bool:
    """Whether the body of a response with status 200 describes an error."""
    if isinstance(data, list):
        return bool(data) and all(is_error(one) for one in data)
    if not isinstance(data, dict):
        return False
    if data.get("choices") or data.get("output"):
        return bool(data.get("error")) and not _has_content(data)
    if data.get("error") or data.get("errors") or data.get("detail") or data.get("fault"):
        return True
    if data.get("object") == "error" or data.get("type") == "error" or data.get("success") is False:
        return True
    base = data.get("base_resp")
    if isinstance(base, dict) and str(base.get("status_code", "0")) != "0":  # MiniMax
        return True
    if isinstance(data.get("promptFeedback"), dict) and "blockReason" in data["promptFeedback"]:
        return True
    code = next((data[name] for name in ("code", "error_code", "status_code", "statusCode") if name in data), None)
    has_text = any(isinstance(data.get(name), str) for name in ("message", "msg", "error_msg", "errmsg", "Message"))
    return has_text and (code is not None or "message" in data) and str(code).lower() not in _NO_ERROR[1:4]


def error_in(data: object) -> ServerError:
    """The error that a body describes; empty if it describes none."""
    facts = tuple(_facts(data))
    texts = list(dict.fromkeys(_messages(facts)))
    codes = frozenset(
        code for path, value in facts if _name(path) in _CODE_FIELDS and (code := str(value).lower()) not in _NO_ERROR
    )
    reasons = tuple(dict.fromkeys(_reasons(facts)))
    param, shown = _param(facts), _shown(texts, reasons)
    return ServerError(
        message=(f"{param}: {shown}" if param and param not in shown else shown) or " ".join(sorted(codes)),
        text=" \n".join([*texts, *reasons])[:MAX_TEXT_CHARS],
        codes=codes,
        status=_status(facts),
        param=param,
        reasons=reasons,
        facts=facts,
    )


def _has_content(data: Mapping[str, object]) -> bool:
    choices = data.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, dict) else None
    return isinstance(message, dict) and bool(message.get("content"))


def _facts(data: object) -> Iterator[tuple[Path, object]]:
    """Every value with its path, outer ones first; a text that is JSON is read like an object at its place."""
    level: list[tuple[Path, object]] = [((), data)]
    num_facts = 0
    for _ in range(MAX_DEPTH):
        following: list[tuple[Path, object]] = []
        for path, value in level:
            inner = _inner_json(value) if isinstance(value, str) else value
            if isinstance(inner, dict):
                following += [((*path, str(name)), one) for name, one in inner.items()]
            elif isinstance(inner, list):
                following += [(path, one) for one in inner]
            is_whole = not isinstance(value, str) or value.lstrip().startswith(("{", "["))
            if not (isinstance(inner, dict | list) and is_whole):
                yield path, value
                num_facts += 1
            if num_facts >= MAX_FACTS:
                return
        level = following[:MAX_FACTS]


def _inner_json(text: str) -> object:
    """The JSON that a text is, or that ends it (`OpenrouterException - {"error": …}`); the text itself without one."""
    start = min((at for at in (text.find("{"), text.find("[")) if at >= 0), default=-1)
    if start < 0 or '"' not in text:
        return text
    try:
        value, _ = json.JSONDecoder(strict=False).raw_decode(text[start:])
    except (ValueError, RecursionError):
        return text
    is_object = isinstance(value, dict) or (isinstance(value, list) and any(isinstance(one, dict) for one in value))
    return value if is_object else text


def _name(path: Path) -> str:
    return path[-1].lower() if path else ""


def _messages(facts: tuple[tuple[Path, object], ...]) -> Iterator[str]:
    for path, value in facts:
        if isinstance(value, str) and value.strip() and (not path or _name(path) in _MESSAGE_FIELDS):
            yield value.strip()


def _shown(texts: list[str], reasons: tuple[str, ...]) -> str:
    """The texts without those that another one repeats, and the reasons."""
    distinct = [text for i, text in enumerate(texts) if not any(text in other for other in texts[:i] + texts[i + 1 :])]
    shown = "; ".join(distinct or texts[:1])
    missing = [reason for reason in reasons if reason not in shown]
    return f"{shown} ({', '.join(missing)})" if shown and missing else shown or ", ".join(missing)


def _reasons(facts: tuple[tuple[Path, object], ...]) -> Iterator[str]:
    """Why content was filtered: OpenRouter's `reasons`, and the categories of Azure's filter."""
    for path, value in facts:
        if _name(path) in ("reasons", "flagged_categories", "categories") and isinstance(value, str):
            yield value
        filtered = len(path) > 1 and "content_filter" in "".join(path[:-1]) and path[-1] in ("filtered", "detected")
        if filtered and value is True:
            yield path[-2]
        if _name(path) == "blockreason" and isinstance(value, str):
            yield value


def _status(facts: tuple[tuple[Path, object], ...]) -> int | None:
    for path, value in facts:
        is_code = _name(path) in _STATUS_FIELDS and type(value) in (int, str) and str(value).isdecimal()
        if is_code and 400 <= int(str(value)) < 600:
            return int(str(value))
    return None


def _param(facts: tuple[tuple[Path, object], ...]) -> str:
    """The parameter that the error names: `param`, or the last name in FastAPI's `loc`."""
    for path, value in facts:
        if _name(path) in ("param", "parameter") and isinstance(value, str) and value:
            return value
    names = [str(value) for path, value in facts if _name(path) == "loc" and isinstance(value, str)]
    names = names[1:] if names[:1] == ["body"] else names
    return names[0] if names else ""
