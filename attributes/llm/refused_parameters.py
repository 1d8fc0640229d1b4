"""Which parameter of a request a server refuses, read from the words of its error.

Servers say it in many ways: OpenAI names it in `param`; others write "`temperature` is deprecated for this model",
"don't support temperature=0.0. Only temperature=1 is supported", "System role not supported", "Unrecognized request
argument supplied: seed", "extra fields not permitted: response_format".
"""

import re
from collections.abc import Collection

_REFUSAL = re.compile(
    r"not (be )?(support|allow|permit|accept|compatib|available|implement|valid|recogni[sz]|provid|set\b|specif|work)"
    r"|un(support|recogni[sz]|know|expect|permitted)|(do|does|did|must|can|is|are|should)(n[o']?t| not)\b"
    r"|cannot|deprecat|invalid|extra|forbidden|only\b|must be|disallow|refus|reject|illegal|no longer|instead|remove"
    r"|incompatib|removed|ignored",
    re.IGNORECASE,
)
_SYSTEM = re.compile(
    r"(system|developer)[\s'\"`_-]*(role|message|prompt|instruction)"
    r"|roles?\b[^.]{0,60}['\"`]?(system|developer)\b|['\"`](system|developer)['\"`]"
    r"|roles? must alternate|alternate user/assistant|only (user|'user').{0,20}assistant",
    re.IGNORECASE,
)
_RESPONSE_FORMAT = re.compile(
    r"response[_ ]format|json[_ ]schema|json[_ ](mode|object)|structured[_ ]outputs?|guided[_ ](json|decoding|grammar)"
    r"|grammar|output[_ ]config|response[_ ](json[_ ])?schema|\bstrict\b",
    re.IGNORECASE,
)
_LIMIT = {
    "max_tokens": re.compile(r"\bmax_tokens\b", re.IGNORECASE),
    "max_completion_tokens": re.compile(r"\bmax_completion_tokens\b", re.IGNORECASE),
}
# A number that is refused, not the parameter: a smaller limit would be accepted.
_TOO_LARGE = re.compile(
    r"too (large|high|big|long|many)|exceed|maximum (context|allowed|value)|context (length|window|size)|at most"
    r"|less than|<=|greater than|upper|larger than|range|between",
    re.IGNORECASE,
)
_MIN_LIMIT = 64  # a smaller number in a message is not a token limit


def refused_parameter(param: str, message: str, sent: Collection[str]) -> str:
    """The parameter that an error refuses, of those that were `sent`; empty if it names none.

    `param` is the error's own field, `message` its text, `sent` the names in the body, with `system` for a system
    message. `response_format` is returned for every kind of structured output.
    """
    named = param.split(".")[0].split("[")[0].strip()
    if "system" in sent and _SYSTEM.search(message):
        return "system"
    if not _REFUSAL.search(message) and not named:
        return ""
    limit = _refused_limit(named, message, sent)
    if limit is not None:
        return limit
    if named in sent and named not in ("model", "messages"):
        return named
    words = set(re.findall(r"[A-Za-z_][A-Za-z0-9_]*", message))
    others = [name for name in sent if name in words and name not in ("model", "messages", "system", *_LIMIT)]
    others = [name for name in others if name != "response_format"]
    if others:
        # The one named first, since the text may list what it would accept.
        return min(others, key=lambda name: message.find(name))
    if "response_format" in sent and _RESPONSE_FORMAT.search(message):
        return "response_format"
    return ""


def _refused_limit(named: str, message: str, sent: Collection[str]) -> str | None:
    """The name of the token limit if the error refuses it; empty if it refuses only its number; None otherwise."""
    for name, other in (("max_tokens", "max_completion_tokens"), ("max_completion_tokens", "max_tokens")):
        if name not in sent:
            continue
        if named == other or (_LIMIT[other].search(message) and (named == name or not named)):
            return name  # the error names the other one, to be used instead
        if named == name or _LIMIT[name].search(message):
            return "" if _TOO_LARGE.search(message) else name
    return None


def largest_limit(message: str, limit: int) -> int | None:
    """The largest token limit that the server allows, if the error says that `limit` is too large; None otherwise.

    OpenAI: "max_tokens is too large: 8892. This model supports at most 4096 completion tokens".
    """
    if str(limit) not in message.replace(",", "") or not any(one.search(message) for one in _LIMIT.values()):
        return None
    if not _TOO_LARGE.search(message):
        return None
    numbers = [int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", message)]
    return max((number for number in numbers if _MIN_LIMIT <= number < limit), default=None)
