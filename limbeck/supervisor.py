"""Keeps processes running: one that dies is started again after a pause, and all of them end with their supervisor.

A pause doubles with each death in a row, up to half a minute, and is forgotten once a process has lived for a minute.
"""

import contextlib
import ctypes
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
STEADY_AFTER_S = 60.0
GRACE_S = 30.0
_LOOK_EVERY_S = 0.1
_PR_SET_PDEATHSIG = 1


@dataclass
class _Child:
    name: str
    command: Sequence[str]
    process: "subprocess.Popen[bytes] | None" = None
    started_at: float = 0.0
    start_at: float = 0.0
    deaths: int = field(default=0)


class Supervisor:
    """Runs `commands` (name → argument list) until `stop()`; `say` is told of each death."""

    def __init__(
        self,
        commands: Mapping[str, Sequence[str]],
        *,
        env: Mapping[str, str],
        pass_fds: Sequence[int] = (),
        say: Callable[[str], None] = print,
    ) -> None:
        self._children = [_Child(name, command) for name, command in commands.items()]
        self._env = dict(env)
        self._pass_fds = tuple(pass_fds)
        self._say = say
        self._stopping = threading.Event()
        self._hurry = threading.Event()

    def stop(self) -> None:
        """Ask all to end; asked twice, they are killed."""
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    def run(self, *, on_look: Callable[[], None] | None = None) -> None:
        """Start all and look after them; returns when they have ended. `on_look` is called about ten times a second."""
        try:
            while not self._stopping.is_set():
                for child in self._children:
                    self._look(child)
                if on_look:
                    on_look()
                self._stopping.wait(_LOOK_EVERY_S)
        finally:
            self._end()

    def _look(self, child: _Child) -> None:
        now = time.monotonic()
        if child.process is None:
            if now >= child.start_at:
                child.process, child.started_at = self._start(child.command), now
            return
        code = child.process.poll()
        if code is None:
            return
        if now - child.started_at > STEADY_AFTER_S:
            child.deaths = 0
        pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0**child.deaths)
        child.deaths += 1
        child.process, child.start_at = None, now + pause
        self._say(f"the {child.name} process ended ({_how(code)}); starting it again in {pause:g} s")

    def _start(self, command: Sequence[str]) -> "subprocess.Popen[bytes]":
        # A group of its own, so that Ctrl-C reaches the supervisor alone, which then ends all in order.
        return subprocess.Popen(
            command, env=self._env, pass_fds=self._pass_fds, process_group=0, preexec_fn=end_with_parent()
        )

    def _end(self) -> None:
        running = [child.process for child in self._children if child.process is not None]
        for process in running:
            process.terminate()
        give_up = time.monotonic() + GRACE_S
        for process in running:
            while process.poll() is None and time.monotonic() < give_up and not self._hurry.is_set():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_LOOK_EVERY_S)
            if process.poll() is None:
                process.kill()
                process.wait()


def _how(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def end_with_parent() -> Callable[[], None] | None:
    """For `preexec_fn`: Linux ends the child when the supervisor is killed; elsewhere it must end by itself."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
