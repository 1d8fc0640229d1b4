"""Writes `docs/servers.md`, the table of server behaviours, from the `quirk` markers of the tests.

    python -m tests.servers_page > docs/servers.md

A test with the marker `quirk(server, behaviour, handling)` proves its row. Markers on `pytest.param` give each case its
own row.
"""

import io
import sys
from collections.abc import Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import TextIO

import pytest

FOLDERS = ("tests/attributes", "tests/workers/enrich", "tests/workers/runtime", "tests/api", "tests/limbeck")
HEAD = """\
# LLM servers

What Limbeck does with the behaviours of real LLM servers, proxies and models. Each row is proved by at least one test,
over a real socket; `python -m tests.servers_page > docs/servers.md` writes this page from these tests.
"""


@dataclass(frozen=True)
class Quirk:
    """One row: whose behaviour it is, what happens, and what Limbeck does."""

    server: str
    behaviour: str
    handling: str


QUIRKS = pytest.StashKey[set[Quirk]]()  # the rows of a run of all tests


def quirks_of(items: Iterable[pytest.Item]) -> set[Quirk]:
    """The rows of these tests."""
    return {Quirk(*mark.args) for item in items for mark in item.iter_markers("quirk")}


class _Collector:
    def __init__(self) -> None:
        self.quirks: set[Quirk] = set()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.quirks = quirks_of(session.items)


def collect_quirks() -> list[Quirk]:
    """The rows of all tests. Raises RuntimeError if the tests cannot be collected."""
    collector = _Collector()
    with redirect_stdout(io.StringIO()) as out:
        status = pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", *FOLDERS], plugins=[collector])
    if status != pytest.ExitCode.OK:
        raise RuntimeError(f"the tests cannot be collected:\n{out.getvalue()[-2000:]}")
    return list(collector.quirks)


def write_rows(out: TextIO, quirks: Iterable[Quirk]) -> None:
    """Write a table for each server, in alphabetical order."""
    server = ""
    for quirk in sorted(quirks, key=lambda one: (one.server.casefold(), one.server, one.behaviour, one.handling)):
        if quirk.server != server:
            server = quirk.server
            out.write(f"\n## {server}\n\n| behaviour | what Limbeck does |\n|---|---|\n")
        cells = (cell.replace("|", "\\|").replace("\n", " ") for cell in (quirk.behaviour, quirk.handling))
        out.write(f"| {' | '.join(cells)} |\n")


if __name__ == "__main__":
    sys.stdout.write(HEAD)
    write_rows(sys.stdout, collect_quirks())
