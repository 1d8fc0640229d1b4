"""How long a server asks to wait, from its headers, from the fields of its error, and from the words of its message.

    stated_wait_s(429, headers, error)   # 12.0 for `retryDelay: "12s"` and for "try again in 12s"

None for what cannot be meant: negative numbers, dates in the past, more than `MAX_WAIT_S`.
"""

import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone

from attributes.llm.http.server_errors import ServerError
from limbeck.shared.retry import retry_after_s

MAX_WAIT_S = 31 * 24 * 3600.0
_UNITS_S = {"ms": 0.001, "milli": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_UNIT = r"(?:ms|milli(?:second)?s?|s(?:ec(?:ond)?s?)?|m(?:in(?:ute)?s?)?|h(?:(?:ou)?rs?)?|d(?:ays?)?)(?![a-z])"
_PART = re.compile(rf"(\d+(?:\.\d+)?)\s*({_UNIT})", re.IGNORECASE)
_PARTS = rf"(?:\d+(?:\.\d+)?\s*{_UNIT}[\s,]*(?:and\s+)?)+"
_DURATION = re.compile(rf"\s*{_PARTS}", re.IGNORECASE)
_SPOKEN = re.compile(
    r"\b(?:try|retry\w*|wait\w*|again|resets?|resetting|available|back|cool[- ]?down)\b"
    + rf"[^\d.]{{0,40}}?({_PARTS})",
    re.IGNORECASE,
)
_SPOKEN_SECONDS = re.compile(r"\bretry[-_ ]?after\b\W{0,4}(\d+(?:\.\d+)?)\W*(?:$|[.,;)\"}])", re.IGNORECASE)
_SPOKEN_DATE = re.compile(
    r"(?:\bagain|\bretry|\breset\w*|\buntil|\bregain|\bavailable)\b\D{0,40}"
    r"(\d{4}-\d\d-\d\d)(?:T|\s+at\s+|\s)(\d\d:\d\d(?::\d\d)?(?:\.\d+)?)\s*(Z|UTC|GMT|[+-]\d\d:?\d\d)?",
    re.IGNORECASE,
)
# Fields of an error, without case and separators -> seconds per unit of their value.
_WAIT_FIELDS = {
    **dict.fromkeys(("retrydelay", "retryafter", "retryafterseconds", "retryaftersecs", "retryin", "waitseconds"), 1.0),
    **dict.fromkeys(("resetsinseconds", "resetseconds", "estimatedtime", "retryafters", "waittime", "resetafter"), 1.0),
    **dict.fromkeys(("retryafterms", "retrydelayms", "retryaftermilliseconds", "retryinms", "waitms"), 0.001),
    **dict.fromkeys(("resetsat", "resetat", "xratelimitreset", "ratelimitreset", "retryat"), 1.0),
}
_MS_HEADERS = ("x-ms-retry-after-ms", "retry-after-milliseconds")
_DAILY = re.compile(r"per[-_ ]?day|daily|\brpd\b|\btpd\b", re.IGNORECASE)
_GOOGLE_RESET = timezone(timedelta(hours=-8))  # daily quotas reset at midnight in California; in summer an hour earlier


def stated_wait_s(http_status: int, headers: Mapping[str, str], error: ServerError) -> float | None:
    """Seconds to wait by the response to a failed request; None if it names no plausible time."""
    if _is_daily_google_quota(error):
        return _until_midnight_s()
    waits = (
        _header_wait_s(headers),
        _first(_field_waits(error)),
        _spoken_wait_s(error.text),
        _first(_date_waits(error.text)),
    )
    wait_s = _first(waits)
    if wait_s is None and http_status == 429:
        wait_s = _rate_limit_wait_s(headers)
    return wait_s


def _header_wait_s(headers: Mapping[str, str]) -> float | None:
    wait_s = retry_after_s(headers)
    if wait_s is not None:
        return wait_s
    for name in _MS_HEADERS:
        if (value := _number(headers.get(name))) is not None:
            return value / 1000
    return _duration_s(headers.get("retry-after") or headers.get("x-retry-after") or "")


def _field_waits(error: ServerError) -> Iterator[float | None]:
    """The waits in fields such as `retryDelay`, `retry_after` and `X-RateLimit-Reset`, wherever they are."""
    for path, value in error.facts:
        if not path:
            continue
        factor = _WAIT_FIELDS.get(re.sub(r"[-_ ]", "", path[-1].lower()))
        if factor is None and path[-1] == "seconds" and len(path) > 1 and path[-2].lower() == "retrydelay":
            factor = 1.0
        if factor is None:
            continue
        yield _moment_s(str(value), factor)


def _rate_limit_wait_s(headers: Mapping[str, str]) -> float | None:
    """The longest wait until a limit resets that has nothing remaining (`x-ratelimit-reset-requests` and its kin)."""
    waits: list[float] = []
    for name, value in headers.items():
        lower = name.lower()
        if "ratelimit" not in lower.replace("-", ""):
            continue
        if "reset" in lower:
            remaining = _number(headers.get(re.sub(r"reset(-after)?", "remaining", lower)))
            waits += [wait for wait in [_moment_s(value, 1.0)] if wait is not None and not remaining]
        elif lower in ("ratelimit", "x-ratelimit"):
            waits += _combined_waits(value)
    return max(waits, default=None)


def _combined_waits(value: str) -> Iterator[float]:
    """The waits in the IETF's single header: `limit=100, remaining=0, reset=50`, or `"default";r=0;t=50`."""
    for policy in value.split('"') if '"' in value else [value]:
        fields = dict(re.findall(r"\b(remaining|reset|r|t)\s*=\s*(\d+)", policy))
        remaining, reset = fields.get("remaining", fields.get("r")), fields.get("reset", fields.get("t"))
        if remaining == "0" and reset is not None:
            yield float(reset)


def _moment_s(value: str, factor: float) -> float | None:
    """Seconds from a number of seconds, an epoch in seconds or milliseconds, a duration, or a date."""
    value = value.strip()
    number = _number(value)
    if number is None:
        return _date_s(value) if "-" in value else _duration_s(value)
    if number >= 1e12:
        number = number / 1000 - time.time()
    elif number >= 1e9:
        number -= time.time()
    else:
        number *= factor
    return number if 0 < number <= MAX_WAIT_S else None


def _duration_s(text: str) -> float | None:
    """Seconds of `1h2m3.5s`, `120ms`, `6m0s`, `2 hours`; None for another text."""
    match = _DURATION.match(text)
    return _sum_s(match[0]) if match else None


def _spoken_wait_s(text: str) -> float | None:
    """The wait in a sentence: "Please try again in 1m2.5s", "Please retry after 6 seconds"."""
    if spoken := _SPOKEN.search(text):
        return _sum_s(spoken[1])
    seconds = _SPOKEN_SECONDS.search(text)
    return float(seconds[1]) if seconds else None


def _sum_s(duration: str) -> float:
    total = 0.0
    for amount, unit in _PART.findall(duration):
        unit = unit.lower()
        key = "milli" if unit.startswith("milli") else "ms" if unit == "ms" else unit[0]
        total += float(amount) * _UNITS_S[key]
    return total


def _date_waits(text: str) -> Iterator[float | None]:
    """The time until a date in a sentence: "You will regain access on 2025-12-01 at 00:00 UTC"."""
    for day, clock, zone in _SPOKEN_DATE.findall(text):
        yield _date_s(f"{day}T{clock}{zone.upper().replace('UTC', 'Z').replace('GMT', 'Z') or 'Z'}")


def _date_s(text: str) -> float | None:
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - time.time()


def _is_daily_google_quota(error: ServerError) -> bool:
    """Whether Google names a daily quota. Its `retryDelay` is then that of a shorter limit."""
    return any(path[-1:] == ("quotaId",) and _DAILY.search(str(value)) for path, value in error.facts)


def _until_midnight_s() -> float:
    now = datetime.now(_GOOGLE_RESET)
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return (midnight - now).total_seconds()


def _first(waits: Iterable[float | None]) -> float | None:
    return next((wait for wait in waits if wait is not None and 0 <= wait <= MAX_WAIT_S), None)


def _number(value: str | None) -> float | None:
    try:
        number = float(value) if value is not None else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None
