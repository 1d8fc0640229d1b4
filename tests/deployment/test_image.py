"""The images: the stages of the Dockerfile, what they copy and install, and the base images as build arguments.

There is no container engine in the tests; `tests/installation` installs the lock files into fresh environments.
"""

import json
import re
import tomllib

import grimp
import pytest

from tests.deployment import compose
from tests.deployment.compose import ROOT


def test_the_wheel_contains_the_data_files_of_limbeck() -> None:
    (patterns,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"].values()
    files = [path for path in (ROOT / "limbeck").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    data = [path for path in files if path.suffix != ".py"]
    assert data
    assert [path for path in data if not any(path.match(pattern) for pattern in patterns)] == []


@pytest.fixture(scope="module")
def stages() -> dict[str, list[str]]:
    """The instructions of each stage of the Dockerfile, by its name."""
    lines = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    found: dict[str, list[str]] = {}
    instructions: list[str] = []
    for line in lines:
        if line.startswith("FROM "):
            instructions = found.setdefault(line.split()[-1], [])
        elif line and not line.startswith("#"):
            instructions.append(line)
    return found


def test_the_two_images(stages: dict[str, list[str]]) -> None:
    for target, lock in (("service", "requirements/service.lock"), ("gpu", "requirements/gpu.lock")):
        instructions = stages[target]
        assert any(f"--require-hashes -r {lock}" in line for line in instructions), target
        assert instructions.index("USER 10001:10001") > max(n for n, line in enumerate(instructions) if "RUN" in line)
        assert not any("--editable" in line or " -e " in line for line in instructions)
        assert "ENV HOME=/var/cache/models" in instructions, "models are kept in a volume"
    services = compose.load({"LIMBECK_DATABASE_PASSWORD": "x"})["services"]
    targets = {name: service["build"]["target"] for name, service in services.items() if "build" in service}
    of_service = dict.fromkeys(("migrate", "api", "sweeper", "enrich"), "service")
    assert targets == {**of_service, "gpu": "gpu", "cpu": "gpu"}


def test_the_base_image_is_a_build_argument(stages: dict[str, list[str]]) -> None:
    text = (ROOT / "Dockerfile").read_text()
    (default,) = re.findall(r"^ARG PYTHON_IMAGE=(\S+)$", text, re.MULTILINE)
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE) == ["${PYTHON_IMAGE}", "base", "base", "base"]
    for service in compose.load({"LIMBECK_DATABASE_PASSWORD": "x"})["services"].values():
        if "build" in service:
            assert service["build"]["args"] == {"PYTHON_IMAGE": default}
    for target in ("service", "gpu"):
        assert any('base.name="${PYTHON_IMAGE}"' in line for line in stages[target])


def test_the_volumes_of_an_image_belong_to_its_user(stages: dict[str, list[str]]) -> None:
    (created,) = [line for line in stages["base"] if "install -d" in line]
    folders = re.findall(r"/var/\w+/\w+", created.partition("install -d")[2])
    volumes = compose.load({"LIMBECK_DATABASE_PASSWORD": "x"})["services"]["gpu"]["volumes"]
    assert set(folders) == {volume.split(":")[1] for volume in volumes if not volume.endswith(":ro")}
    for target in ("service", "gpu"):
        (declared,) = [line for line in stages[target] if line.startswith("VOLUME")]
        assert json.loads(declared.removeprefix("VOLUME ")) == folders


def test_an_image_contains_every_package_that_its_programs_import(stages: dict[str, list[str]]) -> None:
    ours = {"api", "attributes", "distill", "migrations", "store", "workers"}
    copied = {
        target: {match[1] for line in stages[target] if (match := re.fullmatch(r"COPY (\S+) \S+", line))} & ours
        for target in ("service", "gpu")
    }
    assert copied["service"] == ours
    # Every process compares the database with the newest migration, which is read as a file.
    assert copied["gpu"] == ours - {"api"}
    graph = grimp.build_graph("api", "attributes", "distill", "limbeck", "store", "workers")
    for start in ("workers.app", "workers.tasks", "workers.child"):
        imported = graph.find_upstream_modules(start) | {start}
        assert {name.partition(".")[0] for name in imported} - {"limbeck"} <= copied["gpu"], start


def test_every_copied_path_exists_and_is_in_the_build_context(stages: dict[str, list[str]]) -> None:
    allowed = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().split() if line.startswith("!")}
    for instructions in stages.values():
        for line in instructions:
            if line.startswith("COPY ") and "--from=" not in line:
                for source in line.split()[1:-1]:
                    assert (ROOT / source).exists(), source
                    assert source.partition("/")[0] in allowed, source
