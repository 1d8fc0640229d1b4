"""Ids: unique, in the order of creation, and ascending if the clock is set back."""

import re
import time

import pytest

from store.ids import new_id


def test_ids_are_unique_and_ascend() -> None:
    ids = [new_id("voc") for _ in range(5_000)]
    assert ids == sorted(set(ids))
    assert all(re.fullmatch(r"voc_[0-9a-hjkmnp-tv-z]{26}", one) for one in ids)


def test_ids_ascend_if_the_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = new_id("job")
    now_ns = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now_ns - 3_600 * 10**9)
    assert new_id("job") > before
