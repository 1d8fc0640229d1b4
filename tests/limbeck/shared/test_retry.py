"""Backoff and `Retry-After`."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limbeck.shared.retry import NO_JITTER, backoff_s, retry_after_s


def test_the_bound_doubles_up_to_its_maximum() -> None:
    waits = [backoff_s(n, first_s=0.5, max_s=3, jitter=NO_JITTER) for n in range(1, 6)]
    assert waits == [0.5, 1, 2, 3, 3]
    assert backoff_s(10**9, first_s=0.5, max_s=3, jitter=NO_JITTER) == 3
    assert backoff_s(1, first_s=5, max_s=3, jitter=NO_JITTER) == 3


@given(st.integers(1, 40), st.sampled_from([(0.0, 1.0), (0.75, 1.25)]))
def test_a_wait_is_a_random_share_of_the_bound(num_failures: int, jitter: tuple[float, float]) -> None:
    bound_s = backoff_s(num_failures, first_s=0.25, max_s=8, jitter=NO_JITTER)
    waits = {backoff_s(num_failures, first_s=0.25, max_s=8, jitter=jitter) for _ in range(20)}
    assert len(waits) > 1
    assert all(jitter[0] * bound_s <= wait_s <= jitter[1] * bound_s for wait_s in waits)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ({"retry-after": "Thu, 99 Jan 1970 00:00:00 GMT"}, None),
    ],
)
def test_retry_after(headers: Mapping[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers) == seconds


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=5)), None], ids=["gmt", "offset", "no zone"])
def test_a_date_is_seconds_from_now(zone: timezone | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        date = datetime.now(UTC) + timedelta(seconds=90)
        text = format_datetime(date.astimezone(zone) if zone else date.replace(tzinfo=None))
        wait_s = retry_after_s({"retry-after": text})
    finally:
        monkeypatch.undo()
        time.tzset()
    assert wait_s is not None
    assert 80 < wait_s <= 90
