"""Return free memory to the operating system.

glibc keeps one arena per thread. Without a trim, memory that a part freed in one thread stays with the process while
the next part allocates in another thread.
"""

import ctypes
from collections.abc import Callable
from functools import cache


def release_free_memory() -> None:
    """Return unused heap memory to the system. Does nothing if the C library has no `malloc_trim`."""
    if (trim := _malloc_trim()) is not None:
        trim(0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library, for example on Alpine or macOS
        return None
    return trim
