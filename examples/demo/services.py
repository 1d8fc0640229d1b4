"""The demo's two services as processes on free ports: the stand-in LLM, and `limbeck serve` in a folder of its own."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from limbeck.client import Limbeck, LimbeckError
from limbeck.supervisor import GRACE_S, end_with_parent

_START_S = 60.0
_URL = re.compile(rb"http://\S+")


class StepFailed(Exception):
    """A step of the demo did not work; the message is one line."""


@contextmanager
def process(name: str, command: Sequence[str], *, env: Mapping[str, str], log: Path) -> Iterator[str]:
    """Run a server until the block ends; gives the first URL that it prints. Its output is in `log`."""
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
        yield _printed_url(name, running, log)
    finally:
        _end(running)


def environment(out: Path, *, llm_url: str) -> dict[str, str]:
    """The service's settings: everything below `out`, and nothing taken over from the caller's LIMBECK_* variables."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("LIMBECK_")}
    return env | {
        "LIMBECK_HOME": str(out / "home"),
        "LIMBECK_DATA_ROOT": str(out / "data"),
        "LIMBECK_PORT": "0",
        "LIMBECK_LLM_BASE_URL": llm_url,
        "LIMBECK_LLM_MODEL": "fieldguide",
        "LIMBECK_LLM_API_KEY": "none-needed",
        # The stand-in LLM is on this machine, where no proxy of the caller's would find it.
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }


def llm_command() -> list[str]:
    return [sys.executable, "-m", "examples.fieldguide.llm_server", "--port", "0"]


def serve_command() -> list[str]:
    return [sys.executable, "-m", "limbeck.cli", "serve"]


def wait_until_ready(client: Limbeck, log: Path) -> None:
    """Return once database, sweeper and workers are all there. Raises StepFailed after a minute."""
    give_up = time.monotonic() + _START_S
    while time.monotonic() < give_up:
        try:
            if client.ready():
                return
        except LimbeckError:
            pass  # it is still starting
        time.sleep(0.2)
    raise StepFailed(f"the service was not ready within {_START_S:.0f} s: {last_line(log)}")


def last_line(log: Path) -> str:
    """The last thing that a process said, and where all of it stands."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f"{lines[-1][:300] if lines else 'it said nothing'} (see {log})"


def _printed_url(name: str, running: "subprocess.Popen[bytes]", log: Path) -> str:
    give_up = time.monotonic() + _START_S
    while time.monotonic() < give_up:
        found = _URL.search(log.read_bytes())
        if found:
            return found[0].decode()
        if running.poll() is not None:
            raise StepFailed(f"{name} did not start: {last_line(log)}")
        time.sleep(0.05)
    raise StepFailed(f"{name} did not start within {_START_S:.0f} s: {last_line(log)}")


def _end(running: "subprocess.Popen[bytes]") -> None:
    if running.poll() is None:
        running.terminate()
    try:
        running.wait(GRACE_S + 5)
    except subprocess.TimeoutExpired:
        # Its children first learn of it by their parent's death.
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
