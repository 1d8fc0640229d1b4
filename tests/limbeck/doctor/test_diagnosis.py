"""Checks run at the same time; one that raises or hangs is a failed one and ends no other."""

import threading
from collections.abc import Iterator

from limbeck.doctor.diagnosis import Diagnosis, ok, run_checks


def test_a_check_that_raises_or_hangs_is_a_failed_one() -> None:
    hanging, crashed = threading.Event(), threading.Event()

    def crash() -> Iterator[Diagnosis]:
        crashed.set()
        yield ok("lost", "what came before the fault")
        raise RuntimeError("password hunter2")

    def hang() -> Iterator[Diagnosis]:
        hanging.wait(30)
        yield ok("hang", "too late")

    def work() -> Iterator[Diagnosis]:
        assert crashed.wait(30)  # the checks run at the same time
        yield ok("first", "fine")
        yield ok("second", "fine")

    found = run_checks({"crash": crash, "work": work, "hang": hang}, timeout_s=1.0)
    hanging.set()
    assert [(one.name, one.status) for one in found] == [
        ("crash", "failed"),
        ("first", "ok"),
        ("second", "ok"),
        ("hang", "failed"),
    ]
    assert found[0].detail == "the check ended with RuntimeError"
    assert found[3].detail == "no result within 1 s"


def test_a_missing_part_is_named_with_its_installation() -> None:
    def missing() -> Iterator[Diagnosis]:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")
        yield

    (found,) = run_checks({"gpu": missing}, timeout_s=10.0)
    assert "install the part 'gpu'" in found.remedy
