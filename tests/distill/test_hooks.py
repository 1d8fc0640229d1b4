"""Pipeline hooks: each callback is optional, and a bad image is reported once."""

from pathlib import Path

import pytest

from distill.hooks import PipelineHooks, logging_hooks


def test_without_callbacks_nothing_happens() -> None:
    hooks = PipelineHooks()
    hooks.progress(1, 2, "images")
    hooks.bad_image(Path("a.png"), "damaged")
    assert not hooks.stop_requested()
    assert hooks.bad_images == {Path("a.png"): "damaged"}


def test_a_bad_image_is_reported_once() -> None:
    reported: list[str] = []
    hooks = PipelineHooks(on_bad_image=lambda path, reason: reported.append(reason))
    hooks.bad_image(Path("a.png"), "first")
    hooks.bad_image(Path("a.png"), "second")
    assert reported == ["first"]


def test_stop_and_progress_are_passed_on() -> None:
    steps: list[tuple[int, int, str]] = []
    hooks = PipelineHooks(on_progress=lambda *step: steps.append(step), should_stop=lambda: True)
    hooks.progress(3, 4, "texts")
    assert hooks.stop_requested()
    assert steps == [(3, 4, "texts")]


def test_logging_hooks_log_bad_images(caplog: pytest.LogCaptureFixture) -> None:
    logging_hooks().bad_image(Path("a.png"), "damaged")
    assert "a.png" in caplog.text
