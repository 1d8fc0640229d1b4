"""`docs/servers.md` and `docs/images.md` are what the tests prove."""

import pytest

from tests.marked_pages import IMAGES, PAGES, ROWS, SERVERS, MarkedPage, Row


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.file)
def test_the_page_has_the_rows_of_the_tests(pytestconfig: pytest.Config, page: MarkedPage) -> None:
    rows = pytestconfig.stash.get(ROWS, None)
    if rows is None:
        pytest.skip("the rows are those of all tests: run pytest without a path")
    written = page.text(rows[page.marker])
    assert written == page.path.read_text(encoding="utf-8"), "write it again: .venv/bin/python -m tests.marked_pages"


def test_rows_are_grouped_by_section_and_bars_are_escaped() -> None:
    text = SERVERS.text([Row("b", "1 | 2", "waits"), Row("A", "x", "y"), Row("b", "0", "z")])
    assert text.removeprefix(SERVERS.head) == (
        "\n## A\n\n| behaviour | what Limbeck does |\n|---|---|\n| x | y |\n"
        "\n## b\n\n| behaviour | what Limbeck does |\n|---|---|\n| 0 | z |\n| 1 \\| 2 | waits |\n"
    )


def test_a_page_with_fixed_sections_keeps_their_order_and_refuses_others() -> None:
    text = IMAGES.text([Row("Students", "a", "b"), Row("Decoding", "c", "d")])
    assert text.index("## Decoding") < text.index("## Students")
    with pytest.raises(ValueError, match="unknown sections"):
        IMAGES.text([Row("Studnets", "a", "b")])
