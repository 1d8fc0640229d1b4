"""The compose file: its schema, the settings of each service, hardening, health checks and volumes.

`tests/contract/test_distributed.py` runs the commands of the services.
"""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from reference import env_example
from store.settings import Settings, setting_names, unknown_settings
from tests.deployment import compose
from tests.deployment.compose import ROOT

OURS = {"migrate", "api", "sweeper", "enrich", "gpu", "cpu"}
# compose-spec/compose-spec, schema/compose-spec.json at 170098b (Apache-2.0).
SCHEMA = Path(__file__).with_name("compose-spec.json")
PASSWORD = "p@ss/w:rd%41#?$HOME&=+ ü"


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """`.env.example`, filled in by an operator."""
    text = (ROOT / ".env.example").read_text()
    text = re.sub(
        "^LIMBECK_DATABASE_PASSWORD=.*$", lambda _: f"LIMBECK_DATABASE_PASSWORD='{PASSWORD}'", text, flags=re.M
    )
    (tmp_path / ".env").write_text(text + "LIMBECK_LLM_BASE_URL=http://llm:8000/v1\nLIMBECK_LLM_MODEL=qwen3\n")
    return compose.read_env(tmp_path / ".env")


@pytest.fixture
def services(env: dict[str, str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose.load(env)["services"]
    return found


def test_it_fits_the_schema_of_compose(env: dict[str, str]) -> None:
    jsonschema.Draft7Validator(json.loads(SCHEMA.read_text())).validate(compose.load(env))


def test_a_missing_password_stops_compose(env: dict[str, str]) -> None:
    with pytest.raises(KeyError, match="LIMBECK_DATABASE_PASSWORD"):
        compose.load({**env, "LIMBECK_DATABASE_PASSWORD": ""})


def test_every_setting_reaches_every_service_from_one_file(
    services: dict[str, dict[str, Any]], tmp_path: Path, env: dict[str, str]
) -> None:
    """One file has all settings; what the compose file sets itself is the same for all services."""
    fixed = set(services["api"]["environment"])
    free = [name for name in setting_names() if name not in fixed]
    (tmp_path / ".env").write_text("".join(f"{name}=given {name}\n" for name in free))
    environments = {name: compose.environment(services[name], tmp_path) for name in OURS}
    for name in OURS:
        assert environments[name] == environments["api"], name
    assert {name: environments["api"][name] for name in free} == {name: f"given {name}" for name in free}
    assert fixed <= set(setting_names())


def test_the_example_names_every_setting_and_every_variable_of_the_compose_file() -> None:
    named = set(re.findall(r"^#?([A-Z_]+)=", env_example.text(), re.MULTILINE))
    fixed = set(compose.load({"LIMBECK_DATABASE_PASSWORD": "x"})["x-limbeck"]["environment"])
    assert {name for name in setting_names() if name not in fixed} <= named
    assert not named & fixed, "the compose file overrides these"
    assert set(re.findall(r"\$\{(\w+)", compose.FILE.read_text())) <= named


def test_the_filled_example_is_valid_and_has_no_unknown_setting(
    services: dict[str, dict[str, Any]], tmp_path: Path, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = compose.environment(services["api"], tmp_path)
    assert unknown_settings(environment) == {}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.llm["base_url"] == "http://llm:8000/v1"
    assert settings.database_password.get_secret_value() == PASSWORD
    assert services["postgres"]["environment"]["POSTGRES_PASSWORD"] == PASSWORD


def test_secrets_are_only_in_the_env_file() -> None:
    literal = re.findall(
        r"^ *(\w*(?:PASSWORD|KEY|HEADERS|PROXY|AUTH)\w*): (.*)$", compose.FILE.read_text(), re.MULTILINE
    )
    assert {name: value for name, value in literal if not value.startswith("${")} == {}


def test_all_services_are_hardened(services: dict[str, dict[str, Any]]) -> None:
    assert set(services) == OURS | {"postgres", "redis"}
    for name, service in services.items():
        assert service["init"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["read_only"] is True, name
        assert re.fullmatch(r"\d+[mg]", service["mem_limit"]), name
    assert [name for name, service in services.items() if "cap_add" in service] == ["postgres"]
    assert services["redis"]["user"] == "redis"


def test_health_checks_and_dependencies(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        if name != "migrate":
            assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL"), name
    for name in OURS - {"migrate"}:
        assert services[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
    (gpu,) = services["gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert gpu["capabilities"] == ["gpu"]
    assert services["gpu"]["profiles"] == ["gpu"]
    assert services["cpu"]["profiles"] == ["cpu"]
    assert services["gpu"]["command"] == services["cpu"]["command"]


def test_the_health_check_of_workers_sees_an_old_file(services: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    file = tmp_path / "alive"
    for name in ("sweeper", "enrich", "gpu"):
        assert services[name]["environment"]["LIMBECK_ALIVE_FILE"] == "/tmp/alive"
        _, command = services[name]["healthcheck"]["test"]
        check = command.replace("/tmp/alive", str(file))
        assert check != command
        file.unlink(missing_ok=True)
        assert _run(check) != 0, "no file"
        file.touch()
        assert _run(check) == 0
        file.touch()
        old = time.time() - 130
        os.utime(file, (old, old))
        assert _run(check) != 0, "an old file"


def _run(command: str) -> int:
    return subprocess.run(["sh", "-c", command], stderr=subprocess.DEVNULL).returncode


def test_every_named_volume_is_declared_and_holds_what_is_worth_keeping(
    services: dict[str, dict[str, Any]], env: dict[str, str]
) -> None:
    mounts = {name: [volume.split(":") for volume in service.get("volumes", [])] for name, service in services.items()}
    used = {source for volumes in mounts.values() for source, *_ in volumes if re.match("[a-z]", source)}
    assert used == set(compose.load(env)["volumes"])
    for name in OURS:
        targets = {target: options for _, target, *options in mounts[name]}
        assert set(targets) == {"/var/lib/limbeck", "/var/cache/limbeck", "/var/cache/models", "/data", "/etc/limbeck"}
        assert targets["/data"] == targets["/etc/limbeck"] == ["ro"]


def test_commands_exist(services: dict[str, dict[str, Any]]) -> None:
    for name in OURS:
        program = services[name]["command"][0]
        assert program == "python" or (Path(sys.executable).parent / program).exists(), name


def test_documented_settings_exist() -> None:
    known = {*setting_names(), "LIMBECK_URL", "LIMBECK_KEY", "LIMBECK_DATA", "LIMBECK_CONFIG"}
    for page in ("README.md", "docs/operations.md"):
        assert set(re.findall(r"LIMBECK_[A-Z_]+", (ROOT / page).read_text())) <= known, page
