"""The child process of a GPU part, as its parent sees it: start, end it with all that it started, and where it stands.

A process that is suspended or hangs in C code does not react to SIGTERM, so SIGKILL follows. A process in an
uninterruptible wait (a hung driver, a stalled mount) does not even end then. Its parent does not wait for it.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import structlog

from distill.training.process_environment import training_environment
from workers.runtime.attempt_traces import STACK_SIGNAL, innermost_frames

log = structlog.get_logger()
_STACK_WAIT_S = 0.3
_KILL_WAIT_S = 3.0
_ODD_STATES = {"stopped": "the process was suspended", "disk-sleep": "the process waited for a device or a mount"}


class ChildProcess:
    """A running `python -m PROGRAM PART_ID`, in its own process group."""

    def __init__(self, part_id: str, program: str) -> None:
        handle, stack_file = tempfile.mkstemp(prefix="limbeck-stack-")
        os.close(handle)
        self._stack_file = Path(stack_file)
        command = [sys.executable, "-m", program, part_id, "--parent", str(os.getpid())]
        # Not as a context manager, which would wait for a process that cannot be killed.
        self._process = subprocess.Popen([*command, "--stack", stack_file], process_group=0, env=training_environment())
        self.pid = self._process.pid

    @property
    def code(self) -> int | None:
        """The exit code, or minus the number of the signal that ended the process; None while it runs."""
        return self._process.returncode

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end of the process. Returns whether it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
        return self._process.returncode is not None

    def terminate(self) -> None:
        """Ask the process to save its state, release its part and exit."""
        self._process.terminate()

    def end(self, grace_s: float | None) -> bool:
        """SIGTERM, and SIGKILL after `grace_s` to the process and all that it started; None: without SIGTERM.

        Returns whether the process has ended.
        """
        started = _descendants(self.pid)
        if grace_s is not None:
            self.terminate()
            self.wait(grace_s)
        self.kill_rest([*started, *_descendants(self.pid)])
        if self.wait(_KILL_WAIT_S):
            return True
        log.error("child_unkillable", pid=self.pid, state=_state(self.pid))
        threading.Thread(target=self._process.wait, name=f"reap {self.pid}", daemon=True).start()
        return False

    def kill_rest(self, started: Sequence[psutil.Process] = ()) -> None:
        """SIGKILL to what is left of the process group, and to `started`: a rank has a process group of its own."""
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)
        for process in started:
            with contextlib.suppress(psutil.Error):
                process.kill()

    def close(self) -> None:
        """Delete the file of stacks."""
        self._stack_file.unlink(missing_ok=True)

    def stands_at(self) -> str:
        """Where the main thread stands, innermost call first, for an error message; empty if it cannot be found out."""
        state = _state(self.pid)
        if state in _ODD_STATES:
            return _ODD_STATES[state]
        with contextlib.suppress(OSError):
            self._process.send_signal(STACK_SIGNAL)
        time.sleep(_STACK_WAIT_S)
        dump = self._stack_file.read_text(encoding="utf-8", errors="replace")
        log.warning("child_stack", pid=self.pid, stack=dump)
        return innermost_frames(dump)


def _state(pid: int) -> str:
    with contextlib.suppress(psutil.Error):
        return str(psutil.Process(pid).status())
    return ""


def _descendants(pid: int) -> list[psutil.Process]:
    """The processes that a process started, and those that they started."""
    with contextlib.suppress(psutil.Error):
        return list(psutil.Process(pid).children(recursive=True))
    return []
