"""Throughput over the last 30 seconds."""

import time

import pytest

from workers.runtime.throughput import Throughput


def test_throughput_covers_the_last_half_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    throughput = Throughput()
    assert throughput(0) is None
    for second in range(1, 101):
        now_s = float(second)
        assert throughput(second * (10 if second <= 50 else 1)) is not None
    now_s = 101.0
    assert throughput(101) == pytest.approx(1.0, abs=0.05)
