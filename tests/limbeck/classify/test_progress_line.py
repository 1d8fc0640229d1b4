"""Progress on stderr: one line on a terminal, plain lines elsewhere."""

import io

import pytest

from limbeck.classify.progress_line import ProgressLine


class Stream(io.StringIO):
    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


def printed(*, is_terminal: bool, seconds: int, per_second: int = 10) -> str:
    now = 0.0
    out = Stream(is_terminal=is_terminal)
    progress = ProgressLine(10_000, "images", out, clock=lambda: now)
    for step in range(1, seconds * per_second + 1):
        now = step / per_second
        progress.update(step)
    progress.clear()
    return out.getvalue()


def test_a_pipe_gets_a_plain_line_every_thirty_seconds() -> None:
    assert printed(is_terminal=False, seconds=95).splitlines() == [
        f"limbeck: {done:,} of 10,000 images, 10/s, {left} left"
        for done, left in ((300, "16:10"), (600, "15:40"), (900, "15:10"))
    ]
    assert printed(is_terminal=False, seconds=29) == ""


def test_a_terminal_has_one_line_that_is_removed() -> None:
    assert printed(is_terminal=True, seconds=0) == ""
    lines = printed(is_terminal=True, seconds=3).split("\r")
    assert 8 <= len(lines) <= 14
    assert lines[2].startswith("12 of 10,000 images")
    assert lines[-1] == "\x1b[K"
    assert all(line.endswith("\x1b[K") for line in lines[1:])


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_finished_run_prints_nothing_more(is_terminal: bool) -> None:
    now = 0.0
    out = Stream(is_terminal=is_terminal)
    progress = ProgressLine(2, "images", out, clock=lambda: now)
    now = 100.0
    progress.update(2)
    assert out.getvalue() == ""
