"""`docs/servers.md` is what the tests of server behaviours prove."""

import io
from pathlib import Path

import pytest

from tests.servers_page import HEAD, QUIRKS, Quirk, write_rows

ROOT = Path(__file__).parents[1]


def test_the_page_has_the_rows_of_the_tests(pytestconfig: pytest.Config) -> None:
    quirks = pytestconfig.stash.get(QUIRKS, None)
    if quirks is None:
        pytest.skip("the rows are those of all tests: run pytest without a path")
    out = io.StringIO(HEAD)
    out.seek(0, io.SEEK_END)
    write_rows(out, quirks)
    written, page = out.getvalue(), (ROOT / "docs" / "servers.md").read_text(encoding="utf-8")
    assert written == page, "write it again: .venv/bin/python -m tests.servers_page > docs/servers.md"


def test_rows_are_grouped_by_server_and_bars_are_escaped() -> None:
    out = io.StringIO()
    write_rows(out, [Quirk("b", "1 | 2", "waits"), Quirk("A", "x", "y"), Quirk("b", "0", "z")])
    assert out.getvalue() == (
        "\n## A\n\n| behaviour | what Limbeck does |\n|---|---|\n| x | y |\n"
        "\n## b\n\n| behaviour | what Limbeck does |\n|---|---|\n| 0 | z |\n| 1 \\| 2 | waits |\n"
    )
    assert HEAD.startswith("# LLM servers\n")
