"""The deployment: structure, commands and secrets of the compose file, and the contents of the image.

`tests/contract/test_distributed.py` runs the commands of the compose file.
"""

import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import grimp
import pytest
import yaml

from store.settings import Settings

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return content


def test_services_health_checks_and_dependencies(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert set(services) == {"postgres", "redis", "migrate", "api", "sweeper", "enrich", "gpu", "cpu"}
    for name in ("postgres", "redis", "api", "enrich", "gpu", "cpu"):
        assert services[name]["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL"), name
    for name in ("api", "sweeper", "enrich", "gpu", "cpu"):
        assert services[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
    (gpu,) = services["gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert gpu["capabilities"] == ["gpu"]
    assert services["gpu"]["profiles"] == ["gpu"]
    assert services["cpu"]["profiles"] == ["cpu"]
    assert services["gpu"]["command"] == services["cpu"]["command"]


def test_every_named_volume_is_declared(compose: dict[str, Any]) -> None:
    used = {
        volume.split(":")[0]
        for service in compose["services"].values()
        for volume in service.get("volumes", [])
        if re.match(r"[a-z]", volume)
    }
    assert used == set(compose["volumes"])


def test_secrets_come_from_the_environment(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            if any(word in name for word in ("PASSWORD", "KEY", "HEADERS", "PROXY")):
                assert str(value).startswith("${"), name
    for name in ("LIMBECK_LLM_API_KEY", "LIMBECK_LLM_HEADERS", "LIMBECK_LLM_PROXY"):
        with_it = [key for key, service in compose["services"].items() if name in service.get("environment", {})]
        assert with_it == ["enrich"], name
    assert [key for key, service in compose["services"].items() if "env_file" in service] == ["enrich"]
    assert "${POSTGRES_PASSWORD" in compose["services"]["api"]["environment"]["LIMBECK_DATABASE_URL"]


def test_api_and_worker_know_the_same_llm(compose: dict[str, Any]) -> None:
    """Estimates and cached responses depend on these settings, so a difference would be silent."""
    api, worker = (compose["services"][name]["environment"] for name in ("api", "enrich"))
    shared = {name for name in api if name.startswith("LIMBECK_LLM_")} | {"LIMBECK_PRICES"}
    in_cache_keys = (
        "MODEL",
        "BASE_URL",
        "TEMPERATURE",
        "TOP_P",
        "SEED",
        "REASONING_EFFORT",
        "EXTRA_BODY",
        "MAX_TOKENS",
    )
    assert {f"LIMBECK_LLM_{name}" for name in in_cache_keys} <= shared
    assert {name: api[name] for name in shared} == {name: worker[name] for name in shared}
    assert "LIMBECK_LLM_ENDPOINTS" in shared


def test_all_named_settings_exist(compose: dict[str, Any]) -> None:
    known = {f"LIMBECK_{name.upper()}" for name in Settings.model_fields}
    for service in compose["services"].values():
        named = {name for name in service.get("environment", {}) if name.startswith("LIMBECK_")}
        assert named <= known
    documented = set(re.findall(r"LIMBECK_[A-Z_]+", (ROOT / "README.md").read_text()))
    assert documented <= known | {"LIMBECK_URL", "LIMBECK_KEY"}


def test_commands_exist(compose: dict[str, Any]) -> None:
    for name in ("migrate", "api", "sweeper", "enrich", "gpu"):
        program = compose["services"][name]["command"][0]
        assert program == "python" or shutil.which(program) or (ROOT / ".venv" / "bin" / program).exists(), name


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
    for line in lines:
        if line.startswith("FROM "):
            found[line.split()[-1]] = instructions = []
        elif line and not line.startswith("#"):
            instructions.append(line)
    return found


def test_the_two_images(stages: dict[str, list[str]], compose: dict[str, Any]) -> None:
    for target, lock in (("service", "requirements/service.lock"), ("gpu", "requirements/gpu.lock")):
        instructions = stages[target]
        assert any(f"--require-hashes -r {lock}" in line for line in instructions), target
        assert "USER limbeck" in instructions
        assert not any("--editable" in line or " -e " in line for line in instructions)
    targets = {name: service["build"]["target"] for name, service in compose["services"].items() if "build" in service}
    assert targets == {
        "migrate": "service",
        "api": "service",
        "sweeper": "service",
        "enrich": "service",
        "gpu": "gpu",
        "cpu": "gpu",
    }


def test_an_image_contains_every_package_that_its_programs_import(stages: dict[str, list[str]]) -> None:
    ours = {"api", "attributes", "distill", "migrations", "store", "workers"}
    copied = {
        target: {match[1] for line in stages[target] if (match := re.fullmatch(r"COPY (\S+) \S+", line))} & ours
        for target in ("service", "gpu")
    }
    assert copied["service"] == ours
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
