"""The whole service as processes, in one of its two modes, with servers and files that the tests start.

    embedded      the API and `python -m workers.embedded`, on SQLite
    distributed   the API, and the commands of the sweeper, enrich and cpu services in docker-compose.yml, on the real
                  Postgres and on a redis-server that the tests start (so that they can stop and empty it)

Leases are short, so that dead workers are detected within seconds.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeVar

import httpx2
import psutil
import yaml
from PIL import Image

from examples.fieldguide.llm_server import RunningServer, serve
from examples.fieldguide.world import species, species_image
from limbeck import Client
from store.db import Database
from store.migrate import upgrade
from tests.conftest import fresh_postgres, skip_or_fail

ROOT = Path(__file__).resolve().parents[2]
TEACHER = "local-dir:teacher"
Mode = Literal["embedded", "distributed"]
T = TypeVar("T")
_POLL_S = 0.1  # a poll costs the API and the test some milliseconds


def wait_until(condition: Callable[[], T | None], *, timeout_s: float = 60.0, what: str) -> T:
    """Wait until `condition` returns a true value; returns that value. `what` names it in the error message."""
    give_up_at = time.monotonic() + timeout_s
    while time.monotonic() < give_up_at:
        if found := condition():
            return found
        time.sleep(_POLL_S)
    raise AssertionError(f"{what}: still waiting after {timeout_s:g} s")


def free_port() -> int:
    """A TCP port that is not in use."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Cluster:
    """The processes of the service by name. `client` uses the API; `db` reads the database directly."""

    def __init__(self, mode: Mode, folder: Path, env: Mapping[str, str], llm: RunningServer, redis_port: int) -> None:
        self.mode = mode
        self.folder = folder
        self.llm = llm
        self.redis_port = redis_port
        self.env = {**os.environ, **env, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        self.url = f"http://127.0.0.1:{env['LIMBECK_PORT']}"
        self.client = Client(self.url)
        self.db = Database(env["LIMBECK_DATABASE_URL"])
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.commands: dict[str, list[str]] = {"api": [sys.executable, "-m", "api"]}
        if mode == "embedded":
            self.commands["worker"] = [sys.executable, "-m", "workers.embedded"]
            self.gpu_worker = self.enrich_worker = "worker"
        else:
            services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
            self.commands |= {name: services[name]["command"] for name in ("api", "sweeper", "enrich", "cpu")}
            self.commands["redis"] = ["redis-server", "--port", str(redis_port), "--save", "", "--appendonly", "no"]
            self.gpu_worker, self.enrich_worker = "cpu", "enrich"

    @property
    def workers(self) -> list[str]:
        """Everything but the API and Redis."""
        return [name for name in self.commands if name not in ("api", "redis")]

    def start(self, *names: str) -> None:
        """Start processes that are not running."""
        for name in names:
            if name in self.processes and self.processes[name].poll() is None:
                continue
            with (self.folder / f"{name}.log").open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    self.commands[name], env=self.env, cwd=ROOT, stdout=log, stderr=log, process_group=0
                )

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to one process (not to its children) and wait for its end."""
        process = self.processes.pop(name)
        process.send_signal(number)
        process.wait(60)

    def child_of(self, name: str) -> psutil.Process | None:
        """The GPU child of a worker, if it has one."""
        for process in psutil.Process(self.processes[name].pid).children(recursive=True):
            try:
                if "workers.child" in process.cmdline():
                    return process
            except psutil.NoSuchProcess:
                continue
        return None

    def wait_for_api(self) -> None:
        """Wait until the API responds."""

        def responds() -> bool:
            try:
                return httpx2.get(f"{self.url}/healthz").status_code == 200
            except httpx2.TransportError:
                return False

        wait_until(responds, what="the API responds")

    def stop(self) -> None:
        """Terminate all processes, the last one first; kill those that do not exit."""
        for name in reversed(list(self.processes)):
            self.processes[name].terminate()
        for process in self.processes.values():
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.client.close()
        self.db.dispose()

    def logs(self) -> str:
        """The logs of all processes."""
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))


def write_species(root: Path, num_species: int, images_per_species: int) -> None:
    """Write class folders of the first species for training, in the order of their folders."""
    for member in sorted(species("train"), key=lambda one: one.folder)[:num_species]:
        (root / member.folder).mkdir(parents=True)
        for number in range(images_per_species):
            Image.fromarray(species_image(member, number, seed=0)).save(root / member.folder / f"{number:04d}.png")


@contextmanager
def running(
    mode: Mode,
    folder: Path,
    *,
    num_species: int = 8,
    images_per_species: int = 10,
    settings: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Cluster]:
    """A cluster with all its processes, images of a few species below its data root, and the tiny teacher.

    `settings`: further environment variables.
    """
    with ExitStack() as stack:
        llm = stack.enter_context(serve(latency_ms=30))
        redis_port = free_port()
        if mode == "embedded":
            database = f"sqlite:///{folder / 'limbeck.db'}"
        else:
            if not shutil.which("redis-server"):
                skip_or_fail("Redis", "redis-server is not installed")
            database = stack.enter_context(fresh_postgres())
        data = folder / "data"
        shutil.copytree(ROOT / "examples" / "fieldguide" / "teacher", data / "teacher")
        write_species(data / "images", num_species, images_per_species)
        env = {
            "LIMBECK_HOME": str(folder),
            "LIMBECK_DATA_ROOT": str(data),
            "LIMBECK_DATABASE_URL": database,
            "LIMBECK_LLM_BASE_URL": llm.base_url,
            "LIMBECK_LLM_MODEL": "fieldguide",
            "LIMBECK_PORT": str(free_port()),
            "LIMBECK_LEASE_S": "5",
            "LIMBECK_SWEEP_S": "0.3",
            "LIMBECK_RESEND_S": "2",
            "LIMBECK_LLM_CONCURRENCY": "4",
            "LIMBECK_ENRICH_CHUNK": "8",
            "LIMBECK_MAX_ATTEMPTS": "3",
            "LIMBECK_REDIS_URL": "",
            "OMP_NUM_THREADS": "1",
            "PYTHONUNBUFFERED": "1",
            **settings,
        }
        if mode == "distributed":
            env["LIMBECK_REDIS_URL"] = f"redis://127.0.0.1:{redis_port}/0"
        cluster = Cluster(mode, folder, env, llm, redis_port)
        upgrade(cluster.db)
        stack.callback(cluster.stop)
        cluster.start(*(["redis"] if mode == "distributed" else []), "api", *cluster.workers)
        cluster.wait_for_api()
        yield cluster
