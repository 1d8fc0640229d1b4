"""Shared by the commands: exceptions for exit codes, the `--url` option, the client, the database, and input files."""

import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from limbeck.client.environment import DEFAULT_URL as DEFAULT_URL
from limbeck.shared.text import counted

if TYPE_CHECKING:
    from rich.console import Console

    from limbeck import Client
    from limbeck.models import CreatedVocabulary
    from store.db import Database
    from store.settings import Settings

_INVALID_REQUEST = 422  # the service names an invalid field, and has started nothing


class BadInput(Exception):
    """Invalid input to a command: exit code 2."""


class CommandFailed(Exception):
    """The service, the job or the machine failed: exit code 1."""


class LabelsMissing(Exception):
    """The job succeeded, but labels lack attributes: exit code 3."""


Label2TextFile = Annotated[
    Path | None, typer.Option("--label2text", help="Instead of FILE: one `folder number label` per line.")
]
SentencesFile = Annotated[
    Path | None, typer.Option("--sentences", help="With --label2text: one sentence per line, same order.")
]
Priority = Annotated[
    int, typer.Option(min=-100, max=100, help="Jobs with a higher priority come first in their queue.")
]
Language = Annotated[
    str, typer.Option("--language", help="The language of the attributes: German, pt-BR; English by default.")
]
SystemPromptFile = Annotated[
    Path | None,
    typer.Option("--system-prompt", help="A file with a system prompt that replaces that of the strategies."),
]
Url = Annotated[
    str,
    typer.Option("--url", envvar="LIMBECK_URL", help="URL of the service. Its key is read from LIMBECK_KEY."),
]


@contextmanager
def service(url: str) -> Iterator["Client"]:
    """A client of the service. The key comes from LIMBECK_KEY: other users of a machine can see command lines.

    Ctrl-C ends the command with what goes on at the service (`limbeck.interrupts`).
    """
    from limbeck import LimbeckError
    from limbeck.client.environment import unknown_client_settings
    from limbeck.errors import Problem
    from limbeck.interrupts import CommandClient, stopped_following

    for warning in unknown_client_settings(os.environ):
        typer.echo(f"limbeck: {warning}", err=True)
    try:
        with _warnings_as_lines(), CommandClient(url) as client:
            try:
                yield client
            except KeyboardInterrupt:
                raise stopped_following(client) from None
    except Problem as error:
        if error.status == _INVALID_REQUEST:
            raise BadInput(str(error)) from None
        raise CommandFailed(str(error)) from None
    except (LimbeckError, TimeoutError) as error:
        raise CommandFailed(str(error)) from None


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Print the warning of a key in plain text as one line, without the line of code."""
    from limbeck.errors import PlainTextKey

    with warnings.catch_warnings():
        show = warnings.showwarning

        def echo(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
            if issubclass(category, PlainTextKey):
                typer.echo(f"limbeck: {message}", err=True)
            else:
                show(message, category, *rest, **more)

        warnings.simplefilter("always", PlainTextKey)
        warnings.showwarning = echo
        yield


def settings(*, warn: bool = True) -> "Settings":
    """The operator's settings; unknown LIMBECK_* variables are named on stderr. Raises BadInput for an invalid one."""
    from pydantic import ValidationError

    from store.settings import Settings
    from store.upkeep.startup import settings_fault, warn_of_unknown_settings

    try:
        found = Settings()
    except ValidationError as error:
        raise BadInput(settings_fault(error)) from None
    if warn:
        warn_of_unknown_settings("limbeck", found)
    return found


@contextmanager
def database(*, config: "Settings | None" = None, upgraded: bool = True) -> Iterator["Database"]:
    """The operator's database. An embedded one is upgraded; a distributed one must be (`limbeck db upgrade`)."""
    from store import migrate
    from store.db import Database, database_errors
    from store.errors import DatabaseUnusable, SettingInvalid

    config = config or settings()
    try:
        db = Database(config.database)
        try:
            with database_errors():
                if upgraded and config.distributed:
                    migrate.check(db)
                elif upgraded and not migrate.is_current(db):
                    migrate.upgrade(db)
                yield db
        finally:
            db.dispose()
    except SettingInvalid as error:
        raise BadInput(str(error)) from None
    except DatabaseUnusable as error:
        raise CommandFailed(str(error)) from None


def read_bytes(path: Path) -> bytes:
    """The content of a file. Raises BadInput if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None


def create_vocabulary(
    client: "Client", path: Path, domain: str, console: "Console", *, name: str = ""
) -> "CreatedVocabulary":
    """Create a vocabulary from a label file, and print how it was read. Raises BadInput that names invalid labels."""
    from limbeck import Problem

    content = read_bytes(path)
    try:
        created = client.vocabularies.create_from_file(name or path.stem, content, filename=path.name, domain=domain)
    except Problem as error:
        if error.status not in (400, 413, 415, 422):
            raise
        raise BadInput(f"{path}: {_fault_of_labels(path, content) or error}") from None
    console.print(f"{counted(created.num_labels, 'label')} as {created.id}", highlight=False, markup=False)
    report = [f"read as {created.read_as}", *created.notes, *(f"warning: {text}" for text in created.warnings)]
    if created.read_as:
        console.print("; ".join(report), highlight=False, markup=False)
    return created


def _fault_of_labels(path: Path, content: bytes) -> str:
    """Why the service refused a label file, as `limbeck vocab read` says it; empty if it can be read here."""
    from limbeck.shared.label_files import LabelFileError, read_label_file

    try:
        read_label_file(content, path.name)
    except LabelFileError as error:
        return str(error)
    return ""


def read_text(path: Path) -> str:
    """The text of a file. Raises BadInput if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: is not UTF-8 (byte {error.start})") from None


def assignments(texts: list[str], option: str) -> dict[str, object]:
    """`["epochs=10", "losses.mse=0"]` as nested fields. A value is parsed as JSON if possible, else it is text."""
    fields: dict[str, object] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not all(steps := name.strip().split(".")):
            raise BadInput(f"{option} {text!r}: write it as field=value")
        inner = fields
        for step in steps[:-1]:
            below = inner.setdefault(step, {})
            if not isinstance(below, dict):
                raise BadInput(f"{option} {text!r}: {step} is already set to a value")
            inner = below
        inner[steps[-1]] = _value(value.strip())
    return fields


def _value(text: str) -> object:
    try:
        parsed: object = json.loads(text)
    except ValueError:
        return text
    return parsed
