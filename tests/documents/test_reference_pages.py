"""The generated reference pages are those of the code."""

import pytest

from reference.pages import PAGES, ROOT


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_what_the_code_generates(path: str) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == PAGES[path](), "write it again: .venv/bin/python -m reference"
