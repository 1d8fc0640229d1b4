"""Child processes that do not outlive their parent."""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
_POLL_S = 1.0


def end_with_parent(number: signal.Signals = signal.SIGTERM) -> Callable[[], None] | None:
    """A `preexec_fn` that makes Linux send the child a signal when its parent is killed; None on other systems.

    Called in a process, it does so for this process. The parent's thread that started the process must live as long.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, number)


def exit_after_parent(grace_s: float) -> None:
    """Kill this process `grace_s` after its parent is gone, in case it does not react to the signal of
    `end_with_parent`: a call in C, such as one that waits for another GPU, delays Python's signal handlers for ever."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_POLL_S)
        time.sleep(grace_s)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="exit-after-parent", daemon=True).start()
