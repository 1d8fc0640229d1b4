"""Identifiers with a prefix for their kind that sort by creation time: `voc_01jd9v...`.

48 bits of milliseconds and 80 random bits in lower-case Crockford base 32 (the layout of ULID,
https://github.com/ulid/spec). Ids that one process makes in the same millisecond ascend, so lists keep the creation
order.
"""

import secrets
import threading
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_RANDOM_BITS = 80
_lock = threading.Lock()
_last = 0


def new_id(prefix: str) -> str:
    """A new id: `prefix`, an underscore and 26 characters."""
    global _last
    with _lock:
        value = (time.time_ns() // 1_000_000) << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
        # Same millisecond, or the clock was set back: increment the last id.
        if value >> _RANDOM_BITS <= _last >> _RANDOM_BITS:
            value = _last + 1
        _last = value
    return _text(prefix, value)


def first_id_at(prefix: str, at: float) -> str:
    """The smallest id of this prefix that is made at this time, in seconds since 1970: a bound for ranges of ids."""
    return _text(prefix, max(0, int(at * 1000)) << _RANDOM_BITS)


def _text(prefix: str, value: int) -> str:
    return f"{prefix}_{''.join(_ALPHABET[value >> shift & 31] for shift in range(125, -1, -5))}"
