"""A large body is parsed in a process with limited memory and time."""

import os
import time

import pytest

from api.http import limited_process
from api.http.problems import ProblemError, unprocessable

_LARGE = limited_process.LARGE_BYTES + 1


def _numbers(count: int) -> tuple[int, list[int]]:
    return os.getpid(), list(range(count))


def _refuse(detail: str) -> tuple[None, list[int]]:
    raise unprocessable("label_invalid", detail, "/labels/3")


def _take_memory(num_bytes: int) -> tuple[None, list[int]]:
    return None, [len(bytearray(num_bytes))]


def _take_time(seconds: float) -> tuple[None, list[int]]:
    time.sleep(seconds)
    return None, []


def test_a_small_body_is_parsed_here_and_a_large_one_in_a_process() -> None:
    here, few = limited_process.run(_numbers, 10, num_bytes=100)
    there, many = limited_process.run(_numbers, 2_500, num_bytes=_LARGE)
    assert here == os.getpid() != there
    assert (few, many) == (list(range(10)), list(range(2_500)))


def test_a_problem_comes_back_whole() -> None:
    with pytest.raises(ProblemError) as caught:
        limited_process.run(_refuse, "is blank", num_bytes=_LARGE)
    error = caught.value
    assert (error.status_code, error.code, error.detail) == (422, "label_invalid", "is blank")
    assert [(item.pointer, item.detail) for item in error.errors] == [("/labels/3", "is blank")]


@pytest.mark.parametrize(
    ("function", "amount", "what"),
    [(_take_memory, limited_process.BODIES.memory_bytes, "memory"), (_take_time, 60, "time")],
)
def test_a_body_that_costs_too_much_is_refused(
    monkeypatch: pytest.MonkeyPatch, function: object, amount: float, what: str
) -> None:
    monkeypatch.setattr(limited_process.BODIES, "time_s", 1.0 if what == "time" else 60.0)
    started = time.monotonic()
    with pytest.raises(ProblemError, match=f"too much {what}") as caught:
        limited_process.run(function, amount, num_bytes=_LARGE)  # type: ignore[arg-type]
    assert caught.value.status_code == 413
    assert time.monotonic() - started < 30
