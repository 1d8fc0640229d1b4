"""What commands share: errors that become one line, the options that say which service, and reading what was given."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from limbeck.client import Limbeck
    from store.db import Database
    from store.settings import Settings

_ID_CHARS = 30
DEFAULT_URL = "http://127.0.0.1:8420"


class BadInput(Exception):
    """The command was given something wrong: exit code 2."""


class Failed(Exception):
    """The service or the machine failed: exit code 1."""


Url = Annotated[str, typer.Option("--url", envvar="LIMBECK_URL", help="Where the service answers.")]


@contextmanager
def service(url: str) -> Iterator["Limbeck"]:
    """A client of the service; its key is read from LIMBECK_KEY alone, for a command line can be seen by others."""
    from limbeck.client import Limbeck, LimbeckError

    try:
        with Limbeck(url, os.environ.get("LIMBECK_KEY") or None) as client:
            yield client
    except (LimbeckError, TimeoutError) as error:
        raise Failed(str(error)) from None


def settings() -> "Settings":
    """The operator's settings. Raises BadInput with the variable's name."""
    from pydantic import ValidationError

    from store.settings import Settings

    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "LIMBECK_" + "_".join(str(step) for step in first["loc"]).upper()
        raise BadInput(f"{name}: {first['msg']}") from None


@contextmanager
def database(*, upgraded: bool = True) -> Iterator["Database"]:
    """The operator's database. Embedded, it is brought up to date; distributed, that is `limbeck db upgrade`'s part."""
    from sqlalchemy.exc import SQLAlchemyError

    from store import migrate
    from store.db import Database

    chosen = settings()
    try:
        db = Database(chosen.database)
        try:
            if upgraded and not migrate.is_current(db):
                if chosen.distributed:
                    raise Failed("the database is not at the newest revision: run limbeck db upgrade")
                migrate.upgrade(db)
            yield db
        finally:
            db.dispose()
    except SQLAlchemyError as error:
        said = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise Failed(f"the database does not answer: {said}") from None


def id_table(*columns: str) -> "Table":
    """A table whose first column, the id, is whole however narrow the terminal: ids are there to be copied."""
    from rich.table import Table

    table = Table(box=None)
    table.add_column("id", no_wrap=True, min_width=_ID_CHARS)
    for column in columns:
        table.add_column(column)
    return table


def read_text(path: Path) -> str:
    """A file's text. Raises BadInput for one that cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: is not UTF-8 (byte {error.start})") from None


def assignments(given: list[str], option: str) -> dict[str, Any]:
    """`["epochs=10", "losses.mse=0"]` as nested fields; a value is JSON where it can be read so, else text."""
    fields: dict[str, Any] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not all(steps := name.strip().split(".")):
            raise BadInput(f"{option} {one!r}: write it as field=value")
        inner = fields
        for step in steps[:-1]:
            inner = inner.setdefault(step, {})
            if not isinstance(inner, dict):
                raise BadInput(f"{option} {one!r}: {step} is already set to a value")
        inner[steps[-1]] = _value(value.strip())
    return fields


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
