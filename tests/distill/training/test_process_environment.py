"""The environment of a training process, and the child process that has it: exit codes, signals, a killed parent."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from distill.training import process_environment
from distill.training.process_environment import run_training_process, training_environment

PARENT = """
import sys
from distill.training.process_environment import run_training_process
sys.exit(run_training_process([sys.executable, "-c", sys.argv[1]]))
"""
# Counts the stop signals until one second after the first.
CHILD = """
import os, signal, sys, time
from distill.training.process_environment import unblock_stop_signals
received = []
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, frame: received.append(number))
time.sleep(0.2)
print(os.getpid(), flush=True)
unblock_stop_signals()
while not received:
    time.sleep(0.01)
time.sleep(0.5)
print(*map(int, received), flush=True)
sys.exit(130)
"""


def _start(code: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", PARENT, code], stdout=subprocess.PIPE, text=True, start_new_session=True
    )


def test_existing_variables_are_kept() -> None:
    given = {"MALLOC_MMAP_MAX_": "7", "HOME": "/home/me"}
    assert training_environment(given) == {**process_environment.MALLOC_SETTINGS, **given}


def test_child_has_the_environment_and_the_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MALLOC_MMAP_MAX_", raising=False)
    out = tmp_path / "process.json"
    code = "import json, os, sys; json.dump([sys.argv[1:], os.getppid(), dict(os.environ)], open(sys.argv[1], 'w'))"
    before = [signal.getsignal(number) for number in (*process_environment.STOP_SIGNALS, signal.SIGTSTP)]
    assert run_training_process([sys.executable, "-c", code, str(out), "a b"]) == 0
    arguments, parent, environment = json.loads(out.read_text())
    assert (arguments, parent) == ([str(out), "a b"], os.getpid())
    assert environment.items() >= training_environment().items()
    assert environment["MALLOC_MMAP_MAX_"] == "0"
    assert [signal.getsignal(number) for number in (*process_environment.STOP_SIGNALS, signal.SIGTSTP)] == before
    assert not set(process_environment.STOP_SIGNALS) & signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.mark.parametrize(
    ("code", "expected"),
    [("pass", 0), ("raise SystemExit(1)", 1), ("raise SystemExit(2)", 2), ("raise SystemExit(130)", 130)],
)
def test_exit_code_is_that_of_the_child(code: str, expected: int) -> None:
    assert run_training_process([sys.executable, "-c", code]) == expected


def test_exit_code_of_a_child_that_a_signal_ended() -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert run_training_process([sys.executable, "-c", code]) == 128 + signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_to_the_process_group_reaches_the_child_once(number: signal.Signals) -> None:
    """A terminal sends Ctrl-C to the whole process group."""
    with _start(CHILD) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        os.killpg(parent.pid, number)
        output, _ = parent.communicate(timeout=20)
    assert output == f"{int(number)}\n"
    assert parent.returncode == 130


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent was killed")
def test_child_of_a_killed_parent_gets_a_stop_signal() -> None:
    with _start(CHILD) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        parent.kill()
        output, _ = parent.communicate(timeout=20)
    assert output == f"{int(signal.SIGTERM)}\n"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the state of a process in /proc")
def test_child_is_paused_and_continued_with_its_parent() -> None:
    with _start(CHILD) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.send_signal(signal.SIGTSTP)
        _wait_for_state(child, "T")
        parent.send_signal(signal.SIGCONT)
        _wait_for_state(child, "SR")
        parent.terminate()
        output, _ = parent.communicate(timeout=20)
    assert output == f"{int(signal.SIGTERM)}\n"


def _wait_for_state(pid: int, states: str) -> None:
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in states:
        assert time.monotonic() < deadline
        time.sleep(0.01)
