"""`limbeck serve`: preconditions, and its two child processes."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from limbeck import Client, Unreachable
from limbeck.cli import main
from limbeck.commands import field_guide
from tests.limbeck.helpers import failed
from tests.limbeck.processes import alive, until

pytestmark = pytest.mark.usefixtures("home")


Capture = pytest.CaptureFixture[str]


def test_serve_beyond_loopback_starts_without_a_key_and_says_so(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIMBECK_HOST", "0.0.0.0")
    with socket.create_server(("0.0.0.0", 0)) as taken:
        monkeypatch.setenv("LIMBECK_PORT", str(taken.getsockname()[1]))
        assert main(["serve"]) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert "requests are refused until limbeck key create" in first
    assert "Address already in use" in second


def test_distributed_serve_does_not_upgrade_the_database(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMBECK_HOST", "0.0.0.0")
    monkeypatch.setenv("LIMBECK_REDIS_URL", "redis://127.0.0.1:1/0")
    code, line = failed(["serve"], capsys)
    assert code == 1
    assert "run limbeck db upgrade" in line


def test_the_llm_of_the_field_guide_keeps_its_port(tmp_path: Path) -> None:
    kept = tmp_path / "llm-port"
    first = field_guide._port(kept)
    assert field_guide._port(kept) == first
    with socket.create_server(("127.0.0.1", first)):
        assert field_guide._port(kept) != first
    kept.write_text("none")
    assert field_guide._port(kept) > 0


def test_a_used_port_is_one_line(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("LIMBECK_PORT", str(taken.getsockname()[1]))
        code, line = failed(["serve"], capsys)
    assert code == 1
    assert "Address already in use" in line


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("LIMBECK_LLM_MODEL", "m", "has an LLM of its own, which knows its creatures: unset LIMBECK_LLM_MODEL"),
        ("LIMBECK_REDIS_URL", "redis://127.0.0.1:1/0", "is for one machine: unset LIMBECK_REDIS_URL"),
    ],
)
def test_the_field_guide_is_refused_beside_other_settings(
    variable: str, value: str, message: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    code, line = failed(["serve", "--field-guide"], capsys)
    assert code == 2
    assert message in line


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("LIMBECK_LLM_ENDPOINTS", "/nowhere.toml", "endpoints file /nowhere.toml cannot be read"),
        ("LIMBECK_LLM_EXTRA_BODY", "[]", "LIMBECK_LLM_EXTRA_BODY: must be a JSON object"),
        ("LIMBECK_LLM_TOP_P", "7", "LIMBECK_LLM_TOP_P: Input should be less than or equal to 1"),
        (
            "LIMBECK_LLM_BASE_URL",
            "localhost:1234",
            "LIMBECK_LLM_BASE_URL: must be an http:// or https:// address such as",
        ),
        (
            "LIMBECK_LLM_PROXY",
            "socks4://127.0.0.1:1",
            "LIMBECK_LLM_PROXY: a proxy of the kind socks4:// is not supported",
        ),
        ("LIMBECK_LLM_CA_FILE", "/nowhere.pem", "LIMBECK_LLM_CA_FILE: there is no file /nowhere.pem"),
        ("LIMBECK_LLM_HEADERS", "secret", "LIMBECK_LLM_HEADERS: must be a JSON object"),
        ("LIMBECK_PRICES", "/nowhere.toml", "price file /nowhere.toml cannot be read"),
    ],
)
def test_an_invalid_llm_setting_is_one_line(
    variable: str, value: str, message: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIMBECK_LLM_MODEL", "m")
    monkeypatch.setenv(variable, value)
    code, line = failed(["serve"], capsys)
    assert code == 2
    assert message in line


def test_an_unusable_endpoint_is_named_and_others_are_served(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "endpoints.toml"
    path.write_text('[[endpoint]]\nname = "azure"\nmodel = "m"\napi_key_env = "LIMBECK_TEST_NO_KEY"\n')
    monkeypatch.setenv("LIMBECK_LLM_ENDPOINTS", str(path))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("LIMBECK_PORT", str(taken.getsockname()[1]))
        assert main(["serve"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("limbeck: endpoint 'azure': the environment variable LIMBECK_TEST_NO_KEY")
    assert "Address already in use" in lines[1]


def children(pid: int) -> dict[str, int]:
    """Module → pid of the processes that a process started with `-m`."""
    found = {}
    for task in Path("/proc", str(pid), "task").iterdir():
        for child in (task / "children").read_text().split():
            words = Path("/proc", child, "cmdline").read_bytes().decode().split("\0")
            found[words[words.index("-m") + 1] if "-m" in words else "?"] = int(child)
    return found


def is_ready(client: Client) -> bool:
    try:
        return client.ready()
    except Unreachable:  # the API is still starting
        return False


@pytest.mark.slow
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
        with Client(url) as client:
            until(lambda: is_ready(client), within_s=120)
            before = children(running.pid)
            assert set(before) == {"api", "workers.embedded"}
            os.kill(before["api"], signal.SIGKILL)
            until(lambda: children(running.pid).get("api", 0) != before["api"])
            # The socket stays open: requests during the restart wait and are not refused.
            assert httpx2.get(f"{url}/healthz", timeout=60, trust_env=False).status_code == 200
            assert list(client.jobs.list()) == []
        now = children(running.pid)
        running.terminate()
        assert running.wait(timeout=60) == 0
        assert not any(alive(pid) for pid in now.values())
        assert (tmp_path / "home" / "limbeck.db").is_file()
    finally:
        running.kill()
        running.wait()
