"""Memory that is free goes back to the system: glibc keeps an arena for each thread, and what one part has let go of in
its thread would stand beside what the next one takes in another."""

import ctypes
from collections.abc import Callable
from functools import cache


def give_back() -> None:
    """Give back what nobody holds; does nothing where the C library has no such call."""
    if (trim := _trim()) is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library, as on Alpine or macOS
        return None
    return found
