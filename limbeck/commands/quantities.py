"""Durations, sizes and times in the words of the commands: `90d`, `20GB`, local times."""

import re
from datetime import UTC, datetime

from limbeck.commands.common import BadInput

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 7 * 86_400.0}
_BYTES = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def duration_s(text: str, option: str) -> float:
    """`30m`, `12h`, `90d` or `52w` in seconds. Raises BadInput."""
    match = re.fullmatch(r"(\d{1,6})([smhdw])", text.strip())
    if match is None:
        raise BadInput(f"{option} {text!r}: write 30m, 12h, 90d or 52w")
    return int(match[1]) * _SECONDS[match[2]]


def bytes_of(text: str, option: str) -> int:
    """`500MB` or `20 GB` in bytes; units are powers of 1,000. Raises BadInput."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?", text.strip(), re.IGNORECASE)
    if match is None:
        raise BadInput(f"{option} {text!r}: write 500MB, 20GB or a number of bytes")
    return int(float(match[1]) * _BYTES[match[2].upper()])


def size_text(num_bytes: float) -> str:
    """`1.5 GB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 1000:
            return f"{num_bytes:.0f} B" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.1f} TB"


def local_time(at: datetime | float | None) -> str:
    """A time in the time zone of this machine; "" for none."""
    if at is None:
        return ""
    moment = at if isinstance(at, datetime) else datetime.fromtimestamp(at, UTC)
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"
