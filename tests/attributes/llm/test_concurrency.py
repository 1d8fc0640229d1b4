"""Many labels at once: each reported as it ends, none lost, all stopped in order."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from attributes.llm import concurrency
from attributes.llm.client import LLMClient, Tally
from attributes.llm.limits import LocalLimiter
from attributes.llm.results import FatalLLMError, QuestionResult
from attributes.prompts.questions import Question
from attributes.types import Label
from tests.attributes.conftest import about
from tests.attributes.fake_llm import FakeLLM, Say, Seen, answer_for, completion, error, good

LABELS = [Label(f"bird {i}") for i in range(30)]
Run = Callable[..., tuple[Tally, list[QuestionResult]]]


@pytest.fixture
def run(enricher: Callable[..., LLMClient]) -> Run:
    """Describes all labels; the tally and the outcomes."""

    def all_of(
        labels: Any = LABELS, *, outcomes: list[QuestionResult] | None = None, **how: Any
    ) -> tuple[Tally, list[QuestionResult]]:
        kept = [] if outcomes is None else outcomes

        async def go() -> Tally:
            async with enricher() as asking:
                return await asking.ask_all(
                    labels if isinstance(labels, AsyncIterator) else map(about, labels),
                    **({"on_outcome": kept.append} | how),
                )

        return asyncio.run(go()), kept

    return all_of


def test_every_label_ends_once(llm: FakeLLM, run: Run) -> None:
    tally, outcomes = run(concurrency=7)
    assert Counter(outcome.ask.label for outcome in outcomes) == Counter(LABELS)
    assert all(outcome.ask.label.name in outcome.lines[0].text for outcome in outcomes)
    assert (tally.done, tally.failed.total(), tally.calls, tally.stopped) == (30, 0, 30, "")
    assert (tally.prompt_tokens, tally.completion_tokens) == (3000, 1200)


def test_as_many_calls_as_allowed_are_in_flight(llm: FakeLLM, run: Run) -> None:
    flying, most, lock = 0, 0, threading.Lock()

    def script(seen: Seen, nth: int) -> Say:
        nonlocal flying, most
        with lock:
            flying += 1
            most = max(most, flying)
        time.sleep(0.2)
        with lock:
            flying -= 1
        return good(seen, nth)

    llm.script = script
    run(concurrency=6)
    assert most == 6


def test_labels_that_fail_are_named_and_the_others_kept(llm: FakeLLM, run: Run) -> None:
    def script(seen: Seen, nth: int) -> Say:
        number = int(seen.subject["label"].split()[1])
        if number % 3 == 0:
            return error(429)
        return Say(body=completion(None, refusal="no")) if number % 3 == 1 else good(seen, nth)

    llm.script = script
    tally, outcomes = run()
    assert tally.done == 10
    assert tally.failed == {"rate_limited": 10, "refused": 10}
    reasons = {outcome.ask.label.name: outcome.reason for outcome in outcomes}
    assert all(reasons[f"bird {i}"] == ("rate_limited", "refused", None)[i % 3] for i in range(30))


def test_a_wrong_key_stops_the_list_at_its_first_call(llm: FakeLLM, run: Run) -> None:
    llm.script = lambda seen, nth: error(401)
    outcomes: list[QuestionResult] = []
    with pytest.raises(FatalLLMError):
        run(outcomes=outcomes)
    assert llm.num_calls == 1
    (stopped,) = outcomes  # its call belongs in the ledger
    assert stopped.reason == "stopped"
    assert [call.status for call in stopped.calls] == ["llm_wrong_key"]


def test_a_server_that_refuses_every_form_of_every_question_stops_the_list(llm: FakeLLM, run: Run) -> None:
    llm.script = lambda seen, nth: error(400, "this server is pinned to another model")
    outcomes: list[QuestionResult] = []
    with pytest.raises(FatalLLMError, match="refuses every request: model 'm'.*pinned to another") as caught:
        run(outcomes=outcomes, concurrency=2)
    assert caught.value.code == "llm_bad_request"
    assert llm.num_calls == sum(len(outcome.calls) for outcome in outcomes) <= 16
    assert [outcome.reason for outcome in outcomes].count("bad_request") == 2


def test_single_questions_that_are_refused_do_not_stop_the_others(llm: FakeLLM, run: Run) -> None:
    llm.script = lambda seen, nth: error(400) if int(seen.subject["label"][5:]) % 5 < 4 else good(seen, nth)
    tally, _ = run(LABELS[4:], concurrency=1)
    assert tally.done == 6
    assert tally.failed == {"bad_request": 20}


def test_a_key_that_is_withdrawn_midway_keeps_what_is_in_flight(llm: FakeLLM, run: Run) -> None:
    def script(seen: Seen, nth: int) -> Say:
        if nth >= 10:
            return error(401)
        return Say(body=completion(answer_for(seen.subject["label"])), wait_s=1.0 if nth else 0)

    llm.script = script
    outcomes: list[QuestionResult] = []
    with pytest.raises(FatalLLMError):
        run(outcomes=outcomes, concurrency=12)
    assert sum(outcome.reason is None for outcome in outcomes) == 10
    assert llm.num_calls == sum(len(outcome.calls) for outcome in outcomes) <= 13


def test_no_call_is_begun_while_the_report_of_a_fatal_one_is_written(
    llm: FakeLLM, enricher: Callable[..., LLMClient]
) -> None:
    llm.script = lambda seen, nth: error(404) if nth else good(seen, nth)

    async def write(outcome: QuestionResult) -> None:
        if outcome.reason == "stopped":
            await asyncio.sleep(0.3)

    async def go() -> Tally:
        async with enricher(limiter=LocalLimiter(in_flight=1)) as asking:
            return await asking.ask_all(map(about, LABELS), concurrency=8, on_outcome=write)

    with pytest.raises(FatalLLMError):
        asyncio.run(go())
    assert llm.num_calls == 2


def test_retry_after_holds_all_labels_back(llm: FakeLLM, run: Run) -> None:
    def script(seen: Seen, nth: int) -> Say:
        said = Say(body=completion(answer_for(seen.subject["label"])), wait_s=0.3)
        return error(429, headers={"Retry-After": "2"}) if nth == 3 else said

    llm.script = script
    run(LABELS[:8], concurrency=2)
    refused_at = llm.seen[3].at
    assert sum(0 < seen.at - refused_at < 1.95 for seen in llm.seen) <= 1  # the one in flight beside it
    assert llm.num_calls == 9


def test_stopping_begins_no_call_and_keeps_those_in_flight(llm: FakeLLM, run: Run) -> None:
    llm.script = lambda seen, nth: Say(body=completion(answer_for(seen.subject["label"])), wait_s=0.3 if nth else 0)
    outcomes: list[QuestionResult] = []
    tally, _ = run(outcomes=outcomes, concurrency=4, should_stop=lambda: llm.num_calls >= 5)
    assert tally.stopped
    assert tally.done == llm.num_calls == len(outcomes)
    assert 5 <= llm.num_calls < 30


def test_stopping_does_not_wait_for_a_server_that_hangs(
    llm: FakeLLM, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(concurrency, "STOP_GRACE_S", 0.2)
    llm.script = lambda seen, nth: Say(body=completion("late"), wait_s=30) if nth else good(seen, nth)
    started = time.monotonic()
    tally, outcomes = run(concurrency=4, should_stop=lambda: llm.num_calls >= 5)
    assert time.monotonic() - started < 15
    assert (tally.done, tally.failed.total(), tally.stopped) == (1, 0, "asked")
    assert [outcome.reason for outcome in outcomes] == [None] + ["stopped"] * 4
    assert tally.calls == llm.num_calls == 5  # those that were cut off are in the ledger too


def test_stopping_cuts_waits_short(llm: FakeLLM, run: Run) -> None:
    llm.script = lambda seen, nth: error(429, headers={"Retry-After": "30"})
    started = time.monotonic()
    tally, outcomes = run(should_stop=lambda: llm.num_calls >= 1)
    assert time.monotonic() - started < 15
    assert [outcome.reason for outcome in outcomes] == ["stopped"]
    assert llm.num_calls == 1


def test_a_stop_from_the_start_asks_nothing(llm: FakeLLM, run: Run) -> None:
    tally, outcomes = run(should_stop=lambda: True)
    assert (llm.num_calls, outcomes, tally.stopped) == (0, [], "asked")


def test_what_keeps_outcomes_may_be_async_and_its_error_ends_the_run(llm: FakeLLM, run: Run) -> None:
    kept: list[str] = []

    async def keep(outcome: QuestionResult) -> None:
        await asyncio.sleep(0)
        kept.append(outcome.ask.label.name)
        if len(kept) == 3:
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        run(on_outcome=keep, concurrency=1)
    assert len(kept) == 3


def test_labels_are_drawn_as_they_are_needed(llm: FakeLLM, run: Run) -> None:
    drawn = 0

    def endless() -> Iterator[Label]:
        nonlocal drawn
        while True:
            drawn += 1
            yield Label(f"bird {drawn}")

    tally, outcomes = run(endless(), concurrency=3, should_stop=lambda: llm.num_calls >= 20)
    assert tally.done == len(outcomes)
    assert drawn <= tally.done + 3


def test_an_empty_list_is_done_at_once(llm: FakeLLM, run: Run) -> None:
    tally, _ = run([])
    assert (tally.done, tally.calls, llm.num_calls) == (0, 0, 0)


async def drip(num: int, *, wait_s: float = 0.002) -> AsyncIterator[Question]:
    for i in range(num):
        await asyncio.sleep(wait_s)
        yield about(f"bird {i}")


def test_questions_may_come_as_they_are_found(llm: FakeLLM, run: Run) -> None:
    tally, outcomes = run(drip(20), concurrency=5)
    assert tally.done == llm.num_calls == 20
    assert len({outcome.key for outcome in outcomes}) == 20


def test_stopping_does_not_wait_for_questions_to_be_found(llm: FakeLLM, run: Run) -> None:
    started = time.monotonic()
    tally, _ = run(drip(3, wait_s=30), should_stop=lambda: time.monotonic() - started > 0.2)
    assert time.monotonic() - started < 10
    assert (tally.done, tally.stopped) == (0, "asked")
