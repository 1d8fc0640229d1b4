"""When the parent of a GPU child ends it, by a clock that the test moves."""

from dataclasses import replace

import pytest

from store.jobs.running import WatchedPart
from workers.runtime.watchdog import CANCEL_GRACE_S, Verdict, Watchdog

PART = WatchedPart(
    part_id="prt_1",
    job_id="job_1",
    kind="train",
    token="a",
    phase="training",
    done=40,
    total=100,
    unit="steps",
    state_key=None,
    stopping=None,
)


def make_watchdog() -> Watchdog:
    return Watchdog(0.0, stall_limit_s=100.0, part_limit_s=1000.0)


@pytest.mark.parametrize(
    "progressed",
    [
        replace(PART, done=41),
        replace(PART, phase="evaluation", done=0, total=0),
        replace(PART, state_key="parts/prt_1/a/state/1"),
        replace(PART, token="b"),
        replace(PART, part_id="prt_2", token="c"),
    ],
    ids=["units", "phase", "state", "attempt", "next part"],
)
def test_each_kind_of_progress_starts_the_stall_limit_again(progressed: WatchedPart) -> None:
    watchdog = make_watchdog()
    assert watchdog.look(PART, 10.0) is None
    assert watchdog.look(PART, 110.0) is None
    assert watchdog.look(progressed, 110.5) is None
    assert watchdog.look(progressed, 210.0) is None
    verdict = watchdog.look(progressed, 211.0)
    assert verdict is not None
    assert verdict.reason == "stalled"


def test_the_time_of_an_unreachable_database_is_not_counted() -> None:
    watchdog = make_watchdog()
    watchdog.look(PART, 10.0)
    watchdog.could_not_look(500.0)
    assert watchdog.look(PART, 590.0) is None
    assert watchdog.look(PART, 601.0) is not None


def test_a_part_with_progress_ends_after_the_time_limit_that_it_did_not_notice() -> None:
    watchdog = make_watchdog()
    verdicts = [watchdog.look(replace(PART, done=second), float(second)) for second in range(0, 1100, 10)]
    first = next(index for index, verdict in enumerate(verdicts) if verdict)
    assert verdicts[first] == Verdict(reason="time_limit")
    assert first * 10 > 1000


def test_a_cancelled_job_ends_its_process_at_once() -> None:
    watchdog = make_watchdog()
    assert watchdog.look(PART, 1.0) is None
    verdict = watchdog.look(replace(PART, stopping="cancel"), 1.5)
    assert verdict == Verdict(reason="stopping", grace_s=CANCEL_GRACE_S)


def test_a_paused_job_leaves_its_process_time_to_save_its_state() -> None:
    watchdog, pausing = make_watchdog(), replace(PART, stopping="pause")
    assert [watchdog.look(replace(pausing, done=done), now) for done, now in ((1, 1.0), (2, 60.0), (3, 120.0))] == [
        None,
        None,
        None,
    ]
    assert watchdog.look(PART, 121.0) is None  # resumed
    assert watchdog.look(replace(pausing, done=4), 122.0) is None
    assert watchdog.look(replace(pausing, done=5), 243.0) == Verdict(reason="pausing")


def test_a_process_without_a_part_is_ended_sooner_after_it_had_one() -> None:
    starting = make_watchdog()
    assert starting.look(None, 100.0) is None
    assert starting.look(None, 121.0) == Verdict(reason="without_part")
    lost = make_watchdog()
    lost.look(PART, 1.0)
    assert lost.look(None, 2.0) is None
    assert lost.look(None, 16.0) is None
    assert lost.look(None, 17.5) == Verdict(reason="without_part")
