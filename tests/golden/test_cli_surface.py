"""The programs have the options, and the Celery app the tasks, that `cli.json` records."""

import subprocess
import sys
from typing import Any

import pytest

from tests.golden import cli, files

GOLDEN = files.read("cli.json")


@pytest.fixture(scope="module")
def found() -> Any:
    return files.plain(cli.surface())


def test_the_limbeck_command(found: Any) -> None:
    assert sorted(found["limbeck"]) == sorted(GOLDEN["limbeck"])
    assert found["limbeck"] == GOLDEN["limbeck"]


def test_every_program_is_recorded(found: Any) -> None:
    assert sorted(found["programs"]) == sorted(GOLDEN["programs"])


@pytest.mark.parametrize("program", sorted(GOLDEN["programs"]))
def test_the_options_of_a_program(program: str, found: Any) -> None:
    assert found["programs"][program] == GOLDEN["programs"][program]


def test_the_tasks_of_the_workers(found: Any) -> None:
    assert found["tasks"] == GOLDEN["tasks"] == ["limbeck.enrich", "limbeck.gpu"]


def test_the_sweeper_can_be_started() -> None:
    assert callable(cli.SWEEPER)


@pytest.mark.slow
@pytest.mark.parametrize("module", cli.HELP_MODULES)
def test_help_of_a_program_that_is_run_as_a_module(module: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=files.ROOT, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith(f"usage: python -m {module}")
