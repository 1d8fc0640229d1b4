"""Large arrays outside the heap of the C library, whose holes ten million growing rows would triple. No torch."""

import ctypes
from functools import cache

_M_MMAP_THRESHOLD = -3  # malloc.h of glibc
_LARGE = 1 << 20


@cache
def map_large_blocks() -> None:
    """Make glibc map each block of at least a megabyte by itself, in the whole process; other C libraries do so anyway.

    Without this call it raises the limit to the size of each mapped block that is freed, up to 32 MB (`man mallopt`):
    an array that grows then leaves holes in the heap, which are not returned to the system.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGE)
