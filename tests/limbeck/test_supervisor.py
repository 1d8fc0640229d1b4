"""The supervisor, and `limbeck serve` with its two child processes."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from limbeck import supervisor
from limbeck.client import Limbeck, Unreachable
from limbeck.supervisor import Supervisor

WRITE_PID_AND = "import os, sys, time, signal; open(sys.argv[1], 'a').write(f'{os.getpid()}\\n'); "


def pids(pid_file: Path) -> list[int]:
    return [int(line) for line in pid_file.read_text().split()] if pid_file.exists() else []


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def until(condition: Callable[[], bool], *, within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "timeout"
        time.sleep(0.02)


def python(code: str, pid_file: Path) -> list[str]:
    return [sys.executable, "-S", "-c", WRITE_PID_AND + code, str(pid_file)]


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


def children(pid: int) -> dict[str, int]:
    """Module → pid of the processes that a process started with `-m`."""
    found = {}
    for task in Path("/proc", str(pid), "task").iterdir():
        for child in (task / "children").read_text().split():
            words = Path("/proc", child, "cmdline").read_bytes().decode().split("\0")
            found[words[words.index("-m") + 1] if "-m" in words else "?"] = int(child)
    return found


def is_ready(client: Limbeck) -> bool:
    try:
        return client.ready()
    except Unreachable:  # the API is still starting
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_serve_restarts_a_killed_api_and_stops_cleanly(tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("LIMBECK_")}
    env |= {"LIMBECK_HOME": str(tmp_path / "home"), "LIMBECK_PORT": "0", "OMP_NUM_THREADS": "1"}
    out = tmp_path / "out"
    with out.open("w") as stdout:
        running = subprocess.Popen([sys.executable, "-m", "limbeck.cli", "serve"], env=env, stdout=stdout)
    try:
        until(lambda: "http://" in out.read_text(), within_s=60)
        url = re.findall(r"http://\S+", out.read_text())[0]
        with Limbeck(url) as client:
            until(lambda: is_ready(client), within_s=120)
            before = children(running.pid)
            assert set(before) == {"api", "workers.embedded"}
            os.kill(before["api"], signal.SIGKILL)
            until(lambda: children(running.pid).get("api", 0) != before["api"])
            # The socket stays open: requests during the restart wait and are not refused.
            assert httpx2.get(f"{url}/healthz", timeout=60, trust_env=False).status_code == 200
            assert list(client.jobs()) == []
        now = children(running.pid)
        running.terminate()
        assert running.wait(timeout=60) == 0
        assert not any(alive(pid) for pid in now.values())
        assert (tmp_path / "home" / "limbeck.db").is_file()
    finally:
        running.kill()
        running.wait()
