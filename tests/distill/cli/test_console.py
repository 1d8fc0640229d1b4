"""Progress: rate and remaining time; one rewritten line on a terminal, few lines in a file."""

import io

import pytest

from distill.cli.console import Console, duration


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("distill.cli.console.time.monotonic", lambda: now[0])
    return now


def test_duration_formats() -> None:
    assert [duration(seconds) for seconds in (0.4, 59, 61, 3599, 7800)] == [
        "0 s",
        "59 s",
        "1 min 1 s",
        "59 min 59 s",
        "2 h 10 min",
    ]


def test_file_gets_a_line_every_ten_seconds_and_the_last(clock: list[float]) -> None:
    out = io.StringIO()
    progress = Console(out)
    progress.begin("features")
    for done in range(5, 31):
        progress.progress(done, 30, "images")
        clock[0] += 1
    progress.progress(30, 30, "images")
    assert out.getvalue().splitlines() == [
        "features: 5/30 images",
        "features: 15/30 images, 1 images/s, 15 s left",
        "features: 25/30 images, 1 images/s, 5 s left",
        "features: 30/30 images, 1 images/s, 0 s left",
    ]


def test_each_unit_has_its_own_speed(clock: list[float]) -> None:
    out = io.StringIO()
    progress = Console(out)
    progress.begin("measuring")
    progress.progress(0, 2, "pictures")
    clock[0] += 100
    progress.progress(0, 40, "images")
    clock[0] += 10
    progress.progress(20, 40, "images")
    assert out.getvalue().splitlines()[-1] == "measuring: 20/40 images, 2 images/s, 10 s left"


def test_terminal_line_is_rewritten_in_place(clock: list[float]) -> None:
    out = Terminal()
    progress = Console(out)
    progress.begin("features")
    progress.progress(1, 9, "images")
    clock[0] += 1
    progress.progress(2, 9, "images")
    progress.message("note")
    assert out.getvalue().count("\n") == 1
    assert out.getvalue().endswith("note\n")
    assert "\rfeatures: 2/9 images, 1 images/s, 7 s left" in out.getvalue()
