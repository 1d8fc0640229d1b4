"""The deployment: structure, commands and secrets of the compose file, and the contents of the image.

`tests/contract/test_distributed.py` runs the commands of the compose file.
"""

import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

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
            if "PASSWORD" in name or "KEY" in name:
                assert str(value).startswith("${"), name
    assert "${POSTGRES_PASSWORD" in compose["services"]["api"]["environment"]["LIMBECK_DATABASE_URL"]


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


def test_the_image_contains_every_package() -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    copied = re.findall(r"^COPY (\S+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert {package.rstrip("*") for package in packages} <= set(copied)
    allowed = (ROOT / ".dockerignore").read_text().split()
    assert {f"!{package.rstrip('*')}" for package in packages} <= set(allowed)
