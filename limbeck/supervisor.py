"""Keeps child processes running: a process that exits is restarted after a pause; all end with their supervisor.

The pause doubles with each consecutive exit, up to 30 s, and is reset after a process has run for a minute.
"""

import contextlib
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from limbeck.shared.child_process import end_with_parent
from limbeck.shared.retry import NO_JITTER, backoff_s

FIRST_PAUSE_S = 0.5
MAX_PAUSE_S = 30.0
STABLE_AFTER_S = 60.0
GRACE_S = 30.0
_POLL_INTERVAL_S = 0.1


@dataclass
class _Child:
    name: str
    command: Sequence[str]
    process: "subprocess.Popen[bytes] | None" = None
    started_at: float = 0.0
    start_at: float = 0.0
    num_exits: int = 0


class Supervisor:
    """Runs `commands` (name → argument list) until `stop()`; `log` is called with a message for each exit."""

    def __init__(
        self,
        commands: Mapping[str, Sequence[str]],
        *,
        env: Mapping[str, str],
        pass_fds: Sequence[int] = (),
        log: Callable[[str], None] = print,
    ) -> None:
        self._children = [_Child(name, command) for name, command in commands.items()]
        self._env = dict(env)
        self._pass_fds = tuple(pass_fds)
        self._log = log
        self._stopping = threading.Event()
        self._kill_now = threading.Event()

    def stop(self) -> None:
        """Terminate all processes; a second call kills them."""
        if self._stopping.is_set():
            self._kill_now.set()
        self._stopping.set()

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    def run(self, *, on_poll: Callable[[], None] | None = None) -> None:
        """Run the processes until `stop()`; returns after all have ended. `on_poll` is called ten times a second."""
        try:
            while not self._stopping.is_set():
                for child in self._children:
                    self._poll(child)
                if on_poll:
                    on_poll()
                self._stopping.wait(_POLL_INTERVAL_S)
        finally:
            self._terminate()

    def _poll(self, child: _Child) -> None:
        now = time.monotonic()
        if child.process is None:
            if now >= child.start_at:
                child.process, child.started_at = self._start(child.command), now
            return
        code = child.process.poll()
        if code is None:
            return
        if now - child.started_at > STABLE_AFTER_S:
            child.num_exits = 0
        child.num_exits += 1
        pause_s = backoff_s(child.num_exits, first_s=FIRST_PAUSE_S, max_s=MAX_PAUSE_S, jitter=NO_JITTER)
        child.process, child.start_at = None, now + pause_s
        self._log(f"the {child.name} process ended ({_exit_text(code)}); restarting it in {pause_s:g} s")

    def _start(self, command: Sequence[str]) -> "subprocess.Popen[bytes]":
        # A separate process group: Ctrl-C then reaches only the supervisor, which terminates the children.
        return subprocess.Popen(
            command, env=self._env, pass_fds=self._pass_fds, process_group=0, preexec_fn=end_with_parent()
        )

    def _terminate(self) -> None:
        running = [child.process for child in self._children if child.process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + GRACE_S
        for process in running:
            while process.poll() is None and time.monotonic() < deadline and not self._kill_now.is_set():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_POLL_INTERVAL_S)
            if process.poll() is None:
                process.kill()
                process.wait()


def _exit_text(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
