"""What must stand in the environment before a process that trains begins."""

import os
import sys
from collections.abc import Mapping

KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(10**11)}
"""For glibc, which reads them once, at the start. It gives the memory of large tensors back to the system when they are
freed, and the next step faults it in page by page: some 7% of a step of a ResNet-18 on a CPU (`docs/log.md`). Told so,
it keeps what it had at its peak until the process ends."""


def environment(base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """`base` with what a process that trains wants; what stands there already is left."""
    return KEEP_MEMORY | dict(base)


def begin_again() -> None:
    """Put this process in the place of itself, with that environment, unless it has it."""
    if sys.platform == "linux" and not KEEP_MEMORY.keys() <= os.environ.keys():
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment())
