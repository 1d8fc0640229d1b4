"""Writes the pages of `docs/` that are tables of what tests prove, from the markers of these tests.

    python -m tests.marked_pages        # writes docs/servers.md and docs/images.md

A test with the marker `quirk(server, behaviour, handling)` proves a row of `docs/servers.md`, one with the marker
`image_input(section, given, handling)` a row of `docs/images.md`. Markers on `pytest.param` give each case its own row.
"""

import io
from collections.abc import Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_COMMAND = "`python -m tests.marked_pages` writes this page from these tests."


@dataclass(frozen=True)
class Row:
    """One row: the section of the page, what happens or is given, and what Limbeck does."""

    section: str
    given: str
    handling: str


@dataclass(frozen=True)
class MarkedPage:
    """A page made of the rows of one marker. `sections`: in this order; empty: all, in alphabetical order."""

    marker: str
    file: str
    folders: tuple[str, ...]
    head: str
    columns: tuple[str, str]
    sections: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The file of the page."""
        return ROOT / "docs" / self.file

    def text(self, rows: Iterable[Row]) -> str:
        """The page: a table for each section. Raises ValueError for a row of an unknown section."""
        by_section: dict[str, list[Row]] = {}
        for row in rows:
            by_section.setdefault(row.section, []).append(row)
        if self.sections and (unknown := by_section.keys() - set(self.sections)):
            raise ValueError(f"{self.marker}: unknown sections {sorted(unknown)}; there are {list(self.sections)}")
        out = [self.head]
        for section in self.sections or sorted(by_section, key=lambda name: (name.casefold(), name)):
            if section in by_section:
                out.append(f"\n## {section}\n\n| {' | '.join(self.columns)} |\n|---|---|\n")
                of_section = sorted(by_section[section], key=lambda row: (row.given, row.handling))
                out += [f"| {_cell(row.given)} | {_cell(row.handling)} |\n" for row in of_section]
        return "".join(out)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


SERVERS = MarkedPage(
    marker="quirk",
    file="servers.md",
    folders=("tests/attributes", "tests/workers/enrich", "tests/workers/runtime", "tests/api", "tests/limbeck"),
    head=f"""\
# LLM servers

What Limbeck does with the behaviours of real LLM servers, proxies and models. Each row is proved by at least one test,
over a real socket; {_COMMAND}
""",
    columns=("behaviour", "what Limbeck does"),
)
IMAGES = MarkedPage(
    marker="image_input",
    file="images.md",
    folders=("tests/distill", "tests/api", "tests/limbeck", "tests/workers/gpu"),
    head=f"""\
# Images, students and teachers

What Limbeck reads, how it is decoded, and what is refused. Each row is proved by at least one test on generated files;
{_COMMAND}
""",
    columns=("given", "what Limbeck does"),
    sections=(
        "Kinds of image files",
        "Decoding",
        "Files, folders and shards",
        "Layouts and tables",
        "Published datasets",
        "Duplicates and labels without images",
        "Splits and evaluation",
        "Students",
        "Teachers",
    ),
)
PAGES = (SERVERS, IMAGES)

ROWS = pytest.StashKey[dict[str, set[Row]]]()
"""The rows of a run of all tests, by marker."""


def rows_of(items: Iterable[pytest.Item]) -> dict[str, set[Row]]:
    """The rows of these tests, by marker."""
    tests = list(items)
    return {
        page.marker: {Row(*mark.args) for item in tests for mark in item.iter_markers(page.marker)} for page in PAGES
    }


class _Collector:
    def __init__(self) -> None:
        self.rows: dict[str, set[Row]] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.rows = rows_of(session.items)


def main() -> None:
    """Write all pages. Raises RuntimeError if the tests cannot be collected."""
    collector = _Collector()
    folders = sorted({folder for page in PAGES for folder in page.folders})
    with redirect_stdout(io.StringIO()) as out:
        status = pytest.main(
            ["--collect-only", "-q", "-m", "", "-p", "no:cacheprovider", *folders], plugins=[collector]
        )
    if status != pytest.ExitCode.OK:
        raise RuntimeError(f"the tests cannot be collected:\n{out.getvalue()[-2000:]}")
    for page in PAGES:
        page.path.write_text(page.text(collector.rows[page.marker]), encoding="utf-8")
        print(f"{page.path}: {len(collector.rows[page.marker])} rows")


if __name__ == "__main__":
    main()
