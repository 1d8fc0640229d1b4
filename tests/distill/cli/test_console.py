"""The live line: rate and remaining time, one line on a terminal, few lines in a file."""

import io

import pytest

from distill.cli import console
from distill.cli.console import Console, duration


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    return now


def test_durations() -> None:
    assert [duration(seconds) for seconds in (0.4, 59, 61, 3599, 7800)] == [
        "0 s",
        "59 s",
        "1 min 1 s",
        "59 min 59 s",
        "2 h 10 min",
    ]


def test_a_file_gets_a_line_every_ten_seconds_and_the_last(clock: list[float]) -> None:
    out = io.StringIO()
    told = Console(out)
    told.begin("features")
    for done in range(5, 31):
        told.progress(done, 30, "images")
        clock[0] += 1
    told.progress(30, 30, "images")
    assert out.getvalue().splitlines() == [
        "features: 5/30 images",
        "features: 15/30 images, 1 images/s, 15 s left",
        "features: 25/30 images, 1 images/s, 5 s left",
        "features: 30/30 images, 1 images/s, 0 s left",
    ]


def test_another_unit_starts_its_own_clock(clock: list[float]) -> None:
    out = io.StringIO()
    told = Console(out)
    told.begin("measuring")
    told.progress(0, 2, "pictures")
    clock[0] += 100
    told.progress(0, 40, "images")
    clock[0] += 10
    told.progress(20, 40, "images")
    assert out.getvalue().splitlines()[-1] == "measuring: 20/40 images, 2 images/s, 10 s left"


def test_a_terminal_has_one_line_that_is_written_over(clock: list[float]) -> None:
    out = Terminal()
    told = Console(out)
    told.begin("features")
    told.progress(1, 9, "images")
    clock[0] += 1
    told.progress(2, 9, "images")
    told.say("note")
    assert out.getvalue().count("\n") == 1
    assert out.getvalue().endswith("note\n")
    assert "\rfeatures: 2/9 images, 1 images/s, 7 s left" in out.getvalue()
