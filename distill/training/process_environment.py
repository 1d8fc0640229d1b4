"""The environment that a training process needs from its start, and a child process that has it. Imports no torch."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from types import FrameType

from limbeck.shared.child_process import end_with_parent

MALLOC_SETTINGS = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(10**11)}
"""Settings that glibc reads once, at the start of a process. By default it returns the memory of freed large tensors to
the system, and the next step faults the pages in again: about 7% of a step of a ResNet-18 on a CPU (`docs/log.md`).
With these settings the process keeps its peak memory until it ends."""
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def training_environment(base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """`base` with the settings of a training process; variables that `base` sets are kept."""
    return MALLOC_SETTINGS | dict(base)


def run_training_process(command: Sequence[str]) -> int:
    """Run a command in the training environment and return its exit code, 128 + n if signal n ended it.

    The child has its own process group: Ctrl-C in a terminal reaches only this process, which passes `STOP_SIGNALS` on
    one by one. The child starts with them blocked, so that it is not interrupted before it can handle them, and calls
    `unblock_stop_signals`. It shares the standard streams, is paused with this process (Ctrl-Z), and gets SIGTERM if
    this process is killed.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    previous = {}
    try:
        child = subprocess.Popen(command, env=training_environment(), process_group=0, preexec_fn=end_with_parent())

        def forward(number: int, frame: FrameType | None) -> None:
            child.send_signal(number)

        def pause(number: int, frame: FrameType | None) -> None:
            child.send_signal(signal.SIGSTOP)
            os.kill(os.getpid(), signal.SIGSTOP)  # returns when this process is continued
            child.send_signal(signal.SIGCONT)

        handlers = {**dict.fromkeys(STOP_SIGNALS, forward), signal.SIGTSTP: pause}
        previous = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        unblock_stop_signals()
        code = child.wait()
    finally:
        unblock_stop_signals()
        for number, handler in previous.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code


def unblock_stop_signals() -> None:
    """Deliver the signals that `run_training_process` blocked at the start of this process."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
