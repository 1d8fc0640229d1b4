"""The supervisor and its child processes."""

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from limbeck import supervisor
from limbeck.supervisor import Supervisor
from tests.limbeck.processes import alive, until

WRITE_PID_AND = "import os, sys, time, signal; open(sys.argv[1], 'a').write(f'{os.getpid()}\\n'); "


def pids(pid_file: Path) -> list[int]:
    return [int(line) for line in pid_file.read_text().split()] if pid_file.exists() else []


def python(code: str, pid_file: Path) -> list[str]:
    return [sys.executable, "-S", "-c", WRITE_PID_AND + code, str(pid_file)]


@pytest.mark.slow
def test_an_exited_process_is_restarted_after_a_growing_pause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_PAUSE_S", 0.05)
    dying, steady = tmp_path / "dying", tmp_path / "steady"
    messages: list[str] = []
    supervised = Supervisor(
        {"dying": python("sys.exit(3)", dying), "steady": python("time.sleep(60)", steady)},
        env=os.environ,
        log=messages.append,
    )
    thread = threading.Thread(target=supervised.run)
    thread.start()
    until(lambda: len(pids(dying)) >= 3 and len(pids(steady)) == 1)
    supervised.stop()
    thread.join(timeout=20)
    assert not thread.is_alive()
    assert [re.search(r"in ([\d.]+) s", line) is not None for line in messages[:2]] == [True, True]
    assert messages[0] == "the dying process ended (exit code 3); restarting it in 0.05 s"
    assert messages[1].endswith("in 0.1 s")
    assert len(pids(steady)) == 1
    assert not any(alive(pid) for pid in pids(dying) + pids(steady))


@pytest.mark.slow
def test_a_second_stop_kills_a_child_that_ignores_sigterm(tmp_path: Path) -> None:
    pid_file = tmp_path / "pids"
    stubborn = "signal.signal(signal.SIGTERM, signal.SIG_IGN); open(sys.argv[1] + '.up', 'w'); time.sleep(60)"
    supervised = Supervisor({"stubborn": python(stubborn, pid_file)}, env=os.environ, log=lambda line: None)
    thread = threading.Thread(target=supervised.run)
    thread.start()
    until((tmp_path / "pids.up").exists)
    supervised.stop()
    time.sleep(0.3)
    assert alive(pids(pid_file)[0])
    supervised.stop()
    thread.join(timeout=20)
    assert not alive(pids(pid_file)[0])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_children_end_with_a_killed_supervisor(tmp_path: Path) -> None:
    pid_file = tmp_path / "pids"
    program = (
        "import os, sys; from limbeck.supervisor import Supervisor; "
        f"Supervisor({{'child': {python('time.sleep(60)', pid_file)!r}}}, env=os.environ).run()"
    )
    running = subprocess.Popen([sys.executable, "-c", program])
    until(lambda: len(pids(pid_file)) == 1)
    running.kill()
    running.wait()
    until(lambda: not alive(pids(pid_file)[0]))
