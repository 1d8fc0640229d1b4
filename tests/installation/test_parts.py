"""Each part installs in a fresh environment from its lock file, without the others, and does its job there.

As in the images, the code of the service is read from a folder, and `limbeck` is installed as a wheel.
These tests download the dependencies; those of the GPU part are several gigabytes.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from limbeck.shared.exit_codes import PART_MISSING
from tests.limbeck.small_bundle import COLOURS, write_bundle

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(3600)]

ROOT = Path(__file__).resolve().parents[2]
SERVICE_PACKAGES = ("api", "attributes", "distill", "migrations", "store", "workers")
MAX_CLIENT_BYTES = 70_000_000
MAX_CLASSIFY_BYTES = 300_000_000


class Environment:
    """A virtual environment with the wheel: with the locked dependencies of some parts, or with those of its extras."""

    def __init__(self, folder: Path, wheel: Path, *parts: str, extras: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        run([sys.executable, "-m", "venv", str(folder)])
        if parts:
            locks = [argument for part in parts for argument in ("-r", str(ROOT / "requirements" / f"{part}.lock"))]
            run([str(self.bin / "pip"), "install", "--quiet", "--require-hashes", *locks])
            run([str(self.bin / "pip"), "install", "--quiet", "--no-deps", str(wheel)])
        else:
            versions = folder / "versions.txt"
            versions.write_text("\n".join(locked_versions()))
            with_extras = f"{wheel}[{','.join(extras)}]" if extras else str(wheel)
            run([str(self.bin / "pip"), "install", "--quiet", "-c", str(versions), with_extras])

    def num_bytes(self) -> int:
        """The size of what is installed, without pip and setuptools."""
        installed = [
            path for path in self.folder.rglob("site-packages/*") if not path.name.startswith(("pip", "setuptools"))
        ]
        return sum(f.stat().st_size for path in installed for f in ([path] if path.is_file() else path.rglob("*")))

    def has(self, module: str) -> bool:
        code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
        return self.run("python", "-c", code).returncode == 0

    def run(self, program: str, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        """Run a program of the environment in its folder; never raises for an exit code."""
        command = [str(self.bin / program), *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=_variables(variables), capture_output=True, text=True, check=False
        )


def locked_versions() -> list[str]:
    """`name==version; marker` of each dependency, without its hashes."""
    lines = (ROOT / "requirements" / "all.lock").read_text().splitlines()
    return [line.rstrip(" \\") for line in lines if re.match(r"[\w.-]+==", line)]


def _variables(given: dict[str, str]) -> dict[str, str]:
    """The machine's environment without settings of Python and of Limbeck, plus `given`."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("LIMBECK_", "PYTHON", "COVERAGE"))} | given


def run(command: list[str]) -> None:
    subprocess.run(command, check=True, cwd=ROOT)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(command: list[str], port: int, log: Path, **variables: str) -> Iterator[None]:
    """A server process, from the first accepted connection on its port."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=_variables(variables), stdout=output, stderr=output, cwd=log.parent)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)])
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages of the service, as in the images."""
    folder = tmp_path_factory.mktemp("code")
    for package in SERVICE_PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="module")
def client(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("client"), wheel, "client")


@pytest.fixture(scope="module")
def service(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("service"), wheel, "service", "s3")


@pytest.fixture(scope="module")
def guide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labels and images of the field guide, and its teacher."""
    folder = tmp_path_factory.mktemp("guide")
    run([sys.executable, "-m", "examples.fieldguide.world", "--out", str(folder / "images")]
        + ["--groups", "train", "--images-per-species", "6"])  # fmt: skip
    names = sorted(path.name.replace("_", " ") for path in (folder / "images").iterdir())
    (folder / "labels.txt").write_text("\n".join(names) + "\n")
    shutil.copytree(ROOT / "examples" / "fieldguide" / "teacher", folder / "teacher")
    return folder


def test_the_client_alone(client: Environment) -> None:
    assert client.num_bytes() < MAX_CLIENT_BYTES
    assert not any(map(client.has, ("torch", "sqlalchemy", "fastapi", "openai", "numpy")))
    assert re.fullmatch(r"limbeck \d+\.\d+\.\d+\S*\n", client.run("limbeck", "--version").stdout)
    for arguments, message in (
        (["serve"], "in a checkout"),
        (["key", "list"], "in a checkout"),
        (["attributes", "check", "set.json"], "in a checkout"),
        (["classify", "student", "photo.jpg"], "-py3-none-any.whl[classify]'"),
    ):
        ended = client.run("limbeck", *arguments)
        assert (ended.returncode, ended.stderr.count("\n")) == (PART_MISSING, 1), ended.stderr
        assert message in ended.stderr
    labels = client.folder / "data.yaml"
    labels.write_text("names:\n  0: tench\n  1: goldfish\n")
    assert client.run("limbeck", "labels", str(labels)).stdout == "tench\ngoldfish\n"


def test_a_student_classifies_without_torch(wheel: Path, tmp_path: Path) -> None:
    classify = Environment(tmp_path / "classify", wheel, extras=("classify",))
    assert not any(map(classify.has, ("torch", "timm", "safetensors", "onnx", "sqlalchemy", "fastapi", "store")))
    assert classify.num_bytes() < MAX_CLASSIFY_BYTES
    write_bundle(tmp_path / "student", with_text=True)
    Image.new("RGB", (80, 50), COLOURS["red thing"]).save(tmp_path / "red.png")
    for labels in ([], ["--labels", "blue thing,red thing"]):
        arguments = ["classify", str(tmp_path / "student"), str(tmp_path / "red.png"), "--json", *labels]
        ended = classify.run("limbeck", *arguments, XDG_CACHE_HOME=str(tmp_path / "cache"))
        assert (ended.returncode, ended.stderr) == (0, "")
        assert json.loads(ended.stdout)["labels"][0]["label"] == "red thing"


def test_the_wheel_alone_is_a_library_on_httpx2_and_pydantic(wheel: Path, tmp_path: Path) -> None:
    bare = Environment(tmp_path / "bare", wheel)
    assert not any(map(bare.has, ("typer", "rich", "yaml", "numpy", "onnxruntime", "huggingface_hub")))
    code = (
        "from limbeck import AsyncClient, Client, Unreachable\n"
        "try: Client('http://127.0.0.1:1', attempts=1).ready()\n"
        "except Unreachable: print('unreachable')"
    )
    assert bare.run("python", "-c", code).stdout == "unreachable\n"
    ended = bare.run("limbeck", "--version")
    assert (ended.returncode, ended.stderr.count("\n")) == (PART_MISSING, 1), ended.stderr
    assert "-py3-none-any.whl[cli]'" in ended.stderr


@pytest.mark.parametrize(
    ("extra", "modules", "command"),
    [
        ("cli", ("typer", "rich", "yaml"), ["jobs", "--help"]),
        ("publish", ("typer", "huggingface_hub"), ["--help"]),
    ],
)
def test_an_extra_brings_what_its_command_needs(
    wheel: Path, tmp_path: Path, extra: str, modules: tuple[str, ...], command: list[str]
) -> None:
    environment = Environment(tmp_path / extra, wheel, extras=(extra,))
    assert all(map(environment.has, modules))
    assert not any(map(environment.has, ("torch", "sqlalchemy", "fastapi")))
    helped = environment.run("limbeck", *command)
    assert (helped.returncode, helped.stderr) == (0, "")


def test_the_service_describes_labels_for_the_client(
    service: Environment, client: Environment, code: Path, guide: Path, tmp_path: Path
) -> None:
    assert not any(map(service.has, ("torch", "open_clip", "timm", "matplotlib")))
    llm_port, port = free_port(), free_port()
    llm = [sys.executable, "-m", "examples.fieldguide.llm_server", "--port", str(llm_port)]
    settings = {
        "LIMBECK_HOME": str(tmp_path / "home"),
        "LIMBECK_PORT": str(port),
        "LIMBECK_LLM_BASE_URL": f"http://127.0.0.1:{llm_port}/v1",
        "LIMBECK_LLM_MODEL": "fieldguide",
        "PYTHONPATH": str(code),
    }
    url = f"http://127.0.0.1:{port}"
    serve = [str(service.bin / "limbeck"), "serve"]
    with (
        running(llm, llm_port, tmp_path / "llm.log", PYTHONPATH=str(ROOT)),
        running(serve, port, tmp_path / "service.log", **settings),
    ):
        enriched = client.run(
            "limbeck", "enrich", str(guide / "labels.txt"), "--domain", "creatures", "--strategies", "describe",
            "--url", url,
        )  # fmt: skip
        assert enriched.returncode == 0, enriched.stderr
        assert "80 labels described" in enriched.stdout + enriched.stderr
        listed = client.run("limbeck", "attributes", "list", "--url", url)
        (set_id,) = re.findall(r"ats_\w+", listed.stdout)
        report = client.run("limbeck", "attributes", "report", set_id, "--url", url)
        assert "texts beyond the teacher's context" in report.stdout, report.stderr
        exported = client.run("limbeck", "attributes", "export", set_id, "--url", url)
        assert len(json.loads(exported.stdout)["entries"]) == 80
    banner = (tmp_path / "service.log").read_text()
    assert "no GPU part" in banner
    assert "requirements/gpu.lock" in banner
    (tmp_path / "set.json").write_text(exported.stdout)
    checked = service.run("limbeck", "attributes", "check", str(tmp_path / "set.json"), PYTHONPATH=str(code))
    assert "attributes shared with other labels" in checked.stdout, checked.stderr
    alone = service.run("python", "-m", "attributes", "--help", PYTHONPATH=str(code))
    assert alone.returncode == 0, alone.stderr
    distill = service.run(
        "python", "-m", "distill", "--images", str(guide / "images"), "--labels", str(guide / "labels.txt"),
        "--teacher", f"local-dir:{guide / 'teacher'}", "--student", "test_resnet", "--out", str(tmp_path / "out"),
        PYTHONPATH=str(code),
    )  # fmt: skip
    assert (distill.returncode, distill.stderr.count("\n")) == (PART_MISSING, 1), distill.stderr
    assert "requirements/gpu.lock" in distill.stderr


def test_the_gpu_part_distils(wheel: Path, code: Path, guide: Path, tmp_path: Path) -> None:
    gpu = Environment(tmp_path / "gpu", wheel, "gpu", "s3")
    assert not any(map(gpu.has, ("fastapi", "openai", "uvicorn")))
    without_api = tmp_path / "code"
    shutil.copytree(code, without_api, ignore=shutil.ignore_patterns("api"))
    common = {"PYTHONPATH": str(without_api), "CUDA_VISIBLE_DEVICES": ""}
    trained = gpu.run(
        "python", "-m", "distill", "--images", str(guide / "images"), "--labels", str(guide / "labels.txt"),
        "--teacher", f"local-dir:{guide / 'teacher'}", "--student", "test_resnet", "--recipe", "limbeck-small",
        "--set", "epochs=1", "--out", str(tmp_path / "out"), **common,
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    image = next((guide / "images").rglob("*.png"))
    classified = gpu.run("limbeck", "classify", str(tmp_path / "out" / "bundle"), str(image), **common)
    assert classified.returncode == 0, classified.stderr
    child = gpu.run("python", "-m", "workers.child", "--help", **common)
    assert child.returncode == 0, child.stderr
    worker = gpu.run("python", "-c", "import workers.tasks, workers.gpu.parts", **common)
    assert worker.returncode == 0, worker.stderr
    llm_worker = gpu.run("celery", "-A", "workers.app", "worker", "-Q", "enrich", **common)
    assert llm_worker.returncode != 0
    assert "requirements/service.lock" in llm_worker.stderr
