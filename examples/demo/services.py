"""The two services of the demo as processes on free ports: the stand-in LLM and `limbeck serve`."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from limbeck import Client, LimbeckError
from limbeck.shared.child_process import end_with_parent
from limbeck.supervisor import GRACE_S

_START_S = 60.0
_URL = re.compile(rb"http://\S+")


class StepFailed(Exception):
    """A step of the demo failed; the message is one line."""


@contextmanager
def process(
    name: str, command: Sequence[str], *, env: Mapping[str, str], log: Path, start_s: float = _START_S
) -> Iterator[str]:
    """Run a server until the block ends and yield the first URL that it prints. Its output is written to `log`."""
    with log.open("wb") as out:
        running = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=dict(env),
            process_group=0,
            preexec_fn=end_with_parent(),
        )
    try:
        yield _printed_url(name, running, log, start_s)
    finally:
        _end(running)


def environment(out: Path, *, llm_url: str) -> dict[str, str]:
    """The environment of the service: all folders below `out`; LIMBECK_* variables of the caller are removed."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("LIMBECK_")}
    return env | {
        "LIMBECK_HOME": str(out / "home"),
        "LIMBECK_DATA_ROOT": str(out / "data"),
        "LIMBECK_PORT": "0",
        "LIMBECK_LLM_BASE_URL": llm_url,
        "LIMBECK_LLM_MODEL": "fieldguide",
        "LIMBECK_LLM_API_KEY": "none-needed",
        # The stand-in LLM runs on this machine, which a proxy of the caller cannot reach.
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }


def llm_command() -> list[str]:
    return [sys.executable, "-m", "examples.fieldguide.llm_server", "--port", "0"]


def serve_command() -> list[str]:
    return [sys.executable, "-m", "limbeck.cli", "serve"]


def wait_until_ready(client: Client, log: Path) -> None:
    """Wait until database, sweeper and workers are ready. Raises StepFailed after a minute."""
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        try:
            if client.ready():
                return
        except LimbeckError:
            pass  # the service is still starting
        time.sleep(0.2)
    raise StepFailed(f"the service was not ready within {_START_S:.0f} s: {last_log_line(log)}")


def last_log_line(log: Path) -> str:
    """The last line of a log file, and the path of the file."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f"{lines[-1][:300] if lines else 'no output'} (see {log})"


def _printed_url(name: str, running: "subprocess.Popen[bytes]", log: Path, start_s: float) -> str:
    deadline = time.monotonic() + start_s
    while time.monotonic() < deadline:
        match = _URL.search(log.read_bytes())
        if match:
            return match[0].decode()
        if running.poll() is not None:
            raise StepFailed(f"{name} did not start: {last_log_line(log)}")
        time.sleep(0.05)
    raise StepFailed(f"{name} did not start within {start_s:.0f} s: {last_log_line(log)}")


def _end(running: "subprocess.Popen[bytes]") -> None:
    if running.poll() is None:
        running.terminate()
    try:
        running.wait(GRACE_S + 5)
    except subprocess.TimeoutExpired:
        # The child processes do not get the signal: they end when their parent does.
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
