"""The command-line interface: the `limbeck` command, and the programs that run as `python -m`."""

import argparse
import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import typer

from api.__main__ import main as api_main
from attributes.cli.check_gates import main as check_main
from attributes.cli.describe import main as attributes_main
from distill.benefit.__main__ import main as benefit_main
from distill.bundle.verify import main as verify_main
from distill.cli.commands.dataset_report import main as report_main
from distill.cli.train_process import main as distill_main
from examples.demo.__main__ import main as demo_main
from examples.fieldguide.check_teacher import main as check_teacher_main
from examples.fieldguide.freeze import main as freeze_main
from examples.fieldguide.llm_server import main as llm_server_main
from examples.fieldguide.prove import main as prove_main
from examples.fieldguide.train_teacher import main as train_teacher_main
from examples.fieldguide.world import main as world_main
from limbeck.cli import cli as limbeck_cli
from tests.golden.files import ROOT
from workers.app import app as celery_app
from workers.child import main as child_main
from workers.sweeper import main as sweeper_main
from workers.tasks import enrich, gpu

PROGRAMS: Mapping[str, Callable[[], Any]] = {
    "python -m api": api_main,
    "python -m attributes": attributes_main,
    "python -m attributes.cli.check_gates": check_main,
    "python -m distill": distill_main,
    "python -m distill report": partial(report_main, ()),
    "python -m distill.benefit": benefit_main,
    "python -m distill.bundle.verify": verify_main,
    "python -m workers.child": child_main,
    "python -m examples.demo": demo_main,
    "python -m examples.fieldguide.check_teacher": check_teacher_main,
    "python -m examples.fieldguide.freeze": freeze_main,
    "python -m examples.fieldguide.llm_server": llm_server_main,
    "python -m examples.fieldguide.prove": prove_main,
    "python -m examples.fieldguide.train_teacher": train_teacher_main,
    "python -m examples.fieldguide.world": world_main,
}
"""Command of a program → the function that builds its parser and parses the command line."""

SWEEPER = sweeper_main
TASKS = (enrich, gpu)
HELP_MODULES = ("distill", "attributes")
"""Modules that the test runs as `python -m MODULE --help`."""

OF_THE_MACHINE = frozenset({"parent", "threads"})
"""Arguments whose default is the id of the parent process, or the number of processors."""


class _Captured(BaseException):
    """Carries the parser out of a program that is about to parse its command line."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__()
        self.parser = parser


def parser_of(program: Callable[[], Any]) -> argparse.ArgumentParser:
    """The parser that the program builds, with no `LIMBECK_` variable in the environment."""

    def parse_args(parser: argparse.ArgumentParser, *_: Any, **__: Any) -> argparse.Namespace:
        raise _Captured(parser)

    plain = {name: value for name, value in os.environ.items() if not name.startswith("LIMBECK_")}
    with (
        mock.patch.dict(os.environ, plain, clear=True),
        mock.patch.object(argparse.ArgumentParser, "parse_args", parse_args),
    ):
        try:
            program()
        except _Captured as captured:
            return captured.parser
    raise AssertionError(f"{program} parses no command line")


def arguments_of(parser: argparse.ArgumentParser) -> list[dict[str, Any]]:
    """Every argument of a parser except `--help`, sorted by name."""
    found = [
        {
            "dest": action.dest,
            "options": list(action.option_strings),
            "required": action.required,
            "nargs": action.nargs,
            "choices": None if action.choices is None else [str(choice) for choice in action.choices],
            "default": _default(action.dest, action.default),
            "action": type(action).__name__,
        }
        for action in parser._actions
        if action.dest != "help"
    ]
    return sorted(found, key=lambda one: str(one["dest"]))


def _default(name: str, value: Any) -> str:
    """The default as text; fixed texts replace values that differ between machines."""
    return "of the machine" if name in OF_THE_MACHINE else str(value).replace(str(ROOT), "ROOT")


def commands_of(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Every command below `command`, with its parameters sorted by name."""
    below = getattr(command, "commands", {})
    for name in sorted(below):
        yield from commands_of(below[name], (*path, name))
    if not below:
        parameters = [
            {
                "name": one.name,
                "kind": one.param_type_name,
                "options": [*one.opts, *one.secondary_opts],
                "required": one.required,
                "type": _type(one.type_descriptor.annotation),
                "default": str(one.default() if callable(one.default) else one.default),
                "multiple": getattr(one, "multiple", False),
                "nargs": one.nargs,
                "flag": getattr(one, "is_flag", False),
                "environment": one.envvar,
            }
            for one in command.params
        ]
        yield " ".join(path), sorted(parameters, key=lambda one: str(one["name"]))


def _type(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def tasks() -> list[str]:
    """The names of Limbeck's tasks in the Celery app."""
    assert all(task.name in celery_app.tasks for task in TASKS)
    return sorted(name for name in celery_app.tasks if name.startswith("limbeck."))


def surface(_: Path | None = None) -> dict[str, Any]:
    """The content of `cli.json`."""
    return {
        "limbeck": dict(commands_of(typer.main.get_command(limbeck_cli))),
        "programs": {name: arguments_of(parser_of(program)) for name, program in PROGRAMS.items()},
        "tasks": tasks(),
    }
