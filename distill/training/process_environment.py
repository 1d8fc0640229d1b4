"""Environment variables that a training process needs from its start."""

import os
import sys
from collections.abc import Mapping

MALLOC_SETTINGS = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(10**11)}
"""Settings that glibc reads once, at the start of a process. By default it returns the memory of freed large tensors to
the system, and the next step faults the pages in again: about 7% of a step of a ResNet-18 on a CPU (`docs/log.md`).
With these settings the process keeps its peak memory until it ends."""


def training_environment(base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """`base` with the settings of a training process; variables that `base` sets are kept."""
    return MALLOC_SETTINGS | dict(base)


def restart_with_environment() -> None:
    """Replace this process by itself with the training environment, unless that is set."""
    if sys.platform == "linux" and not MALLOC_SETTINGS.keys() <= os.environ.keys():
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], training_environment())
