"""Throughput over the last 30 seconds."""

import time

import pytest

from workers.runtime.throughput import Throughput


def test_throughput_covers_the_last_half_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    throughput = Throughput()
    done = 0
    assert throughput(done) is None
    for second in range(1, 101):
        now_s, done = float(second), done + (10 if second <= 50 else 1)
        assert throughput(done) is not None
    now_s = 101.0
    assert throughput(done + 1) == pytest.approx(1.0, abs=0.05)


def test_a_further_pass_over_the_same_units_starts_over(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    throughput = Throughput()
    for second, done in enumerate([0, 50, 100, 0]):
        now_s = float(second)
        latest = throughput(done)
    assert latest is None
    now_s = 4.0
    assert throughput(30) == pytest.approx(30.0)
