"""The Batch API at the wire: what completed is kept however a batch ends, and only the rest is asked again."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import SecretStr

from attributes.llm import batch_jobs
from attributes.llm.batch_jobs import BatchJobs, BatchResponse, BatchState, BatchUnavailable
from attributes.llm.concurrency import Tally
from attributes.llm.requests import key_of
from attributes.llm.response_format import FormatFallback
from attributes.llm.results import REASONS, FatalLLMError, QuestionResult
from attributes.llm.settings import LLMSettings
from attributes.prompts.questions import ImageFile, Question
from attributes.prompts.strategy import load_strategy
from attributes.types import Label
from tests.attributes.conftest import KEY, about
from tests.attributes.fake_batch_api import FakeBatches, Made
from tests.attributes.fake_llm import FakeLLM, Say, Seen, answer_to, completion, error, good
from tests.attributes.own import PNG

ASKS = [about(f"bird {i}") for i in range(10)]
Run = Callable[..., tuple[Tally, list[QuestionResult]]]


@pytest.fixture
def desk(llm: FakeLLM) -> FakeBatches:
    return FakeBatches(llm)


@pytest.fixture
def settings(llm: FakeLLM) -> LLMSettings:
    return LLMSettings(base_url=llm.url, model="m", api_key=SecretStr(KEY), timeout_s=30, max_attempts=3)


@pytest.fixture
def run(settings: LLMSettings) -> Run:
    """Asks everything in batches; the tally and the outcomes."""

    def all_of(
        asks: list[Question] = ASKS, *, ladder: FormatFallback | None = None, **how: Any
    ) -> tuple[Tally, list[QuestionResult]]:
        kept: list[QuestionResult] = []

        async def go() -> Tally:
            async with BatchJobs(settings, ladder=ladder or FormatFallback()) as batches:
                return await batches.ask_all(asks, on_outcome=kept.append, poll_s=0.001, **how)

        return asyncio.run(go()), kept

    return all_of


def test_a_batch_answers_every_question(desk: FakeBatches, llm: FakeLLM, settings: LLMSettings, run: Run) -> None:
    states: list[BatchState] = []
    tally, outcomes = run([*ASKS, ASKS[0]], on_state=states.append)
    assert (tally.done, tally.calls, tally.stopped) == (10, 10, "")
    assert {outcome.key for outcome in outcomes} == {key_of(ask, settings) for ask in ASKS}
    assert all(outcome.ask.label.name in outcome.lines[0].text for outcome in outcomes)
    assert all(outcome.lines[0].call == outcome.key for outcome in outcomes)
    assert [state.status for state in states] == ["in_progress", "in_progress", "completed"]
    (made,) = desk.made
    assert made.lines[0]["url"] == "/v1/chat/completions"
    assert made.lines[0]["body"]["response_format"]["type"] == "json_schema"


def test_an_expired_batch_keeps_what_it_completed_and_the_rest_is_asked_again(desk: FakeBatches, run: Run) -> None:
    def plan(made: Made) -> None:
        if not desk.made:
            made.ends, made.most = "expired", 6

    desk.plan = plan
    tally, outcomes = run()
    assert (tally.done, tally.calls) == (10, 10)
    assert [len(made.lines) for made in desk.made] == [10, 4]
    first, second = ({line["custom_id"] for line in made.lines} for made in desk.made)
    assert second < first
    assert Counter(outcome.key for outcome in outcomes) == Counter(first)


def test_what_no_batch_comes_to_is_named(desk: FakeBatches, run: Run) -> None:
    def plan(made: Made) -> None:
        made.ends, made.most = "expired", 0

    desk.plan = plan
    tally, outcomes = run()
    assert tally.failed == {"batch_unfinished": 10}
    assert "batch_unfinished" in REASONS
    assert tally.calls == 0
    assert all(outcome.detail for outcome in outcomes)


def test_stopping_cancels_and_keeps_what_was_done(desk: FakeBatches, run: Run) -> None:
    def plan(made: Made) -> None:
        made.polls, made.most = 10_000, 7

    def stop() -> bool:
        if desk.made:
            desk.made[0].polls = 0
        return bool(desk.made)

    desk.plan = plan
    tally, outcomes = run(should_stop=stop)
    assert ("POST", "/batches/batch-0/cancel") in desk.asked
    assert (tally.done, tally.stopped, len(outcomes), len(desk.made)) == (7, "asked", 7, 1)


def test_a_form_that_is_refused_is_asked_one_rung_lower_in_the_next_batch(
    desk: FakeBatches, llm: FakeLLM, run: Run
) -> None:
    llm.script = lambda seen, nth: error(400) if seen.rung == "json_schema" else good(seen, nth)
    ladder = FormatFallback()
    tally, outcomes = run(ladder=ladder)
    assert (tally.done, tally.calls, len(desk.made)) == (10, 20, 2)
    assert [call.rung for call in outcomes[0].calls] == ["json_schema", "json_object_schema"]
    assert run(ladder=ladder)[0].calls == 10  # the form is chosen before
    assert len(desk.made) == 3


def test_single_lines_that_fail_are_asked_again_as_their_fault_wants(desk: FakeBatches, llm: FakeLLM, run: Run) -> None:
    def script(seen: Seen, nth: int) -> Say:
        number = int(seen.subject["label"].split()[1])
        first = len(desk.made) < 2
        if number == 1 and first:
            return error(500)
        if number == 2 and first:
            return Say(body=completion(json.dumps(answer_to(seen))[:-9], finish="length"))
        if number == 3 and first:
            return Say(body=completion(answer_to(seen, label="wren")))
        if number == 4:
            return Say(body=completion(None, refusal="no"))
        return Say(body=completion(answer_to(seen, label=f"bird\u2028{number}" if number == 5 else f"bird {number}")))

    llm.script = script
    tally, outcomes = run()
    assert (tally.done, tally.failed) == (9, {"refused": 1})
    again = {Seen(line["body"], {}, 0.0).subject["label"]: line["body"] for line in desk.made[1].lines}
    assert {label: body["max_tokens"] for label, body in again.items()} == {
        "bird 1": 700,
        "bird 2": 2100,
        "bird 3": 700,
    }
    assert "about another label" in again["bird 3"]["messages"][-1]["content"]
    statuses = {outcome.ask.label.name: [call.status for call in outcome.calls] for outcome in outcomes}
    assert statuses["bird 1"] == ["server_error", "ok"]
    assert statuses["bird 2"] == ["answer_too_long", "ok"]


def test_a_question_goes_on_in_another_process(desk: FakeBatches, llm: FakeLLM, settings: LLMSettings) -> None:
    """The rung, the correction, the attempts and a first answer that could be better travel as JSON."""
    llm.script = lambda seen, nth: (
        Say(body=completion(answer_to(seen, phrases=answer_to(seen)["phrases"][:3]))) if not nth else error(500)
    )

    async def once(memory: str | None) -> tuple[BatchResponse, str]:
        async with BatchJobs(settings, ladder=FormatFallback()) as batches:
            (asking,) = batches.begin(ASKS[:1])
            if memory:
                asking.recall(json.loads(memory))
            state = await batches.submit([asking])
            while not state.ended:
                state = await batches.poll(state.id)
            (result,) = [one async for one in batches.collect(state, [asking])]
            return result, json.dumps(asking.memory())

    first, memory = asyncio.run(once(None))
    assert (first.outcome, first.left, len(first.calls)) == (None, "asked_differently", 1)
    second, _ = asyncio.run(once(memory))
    assert "give at least 5 phrases" in llm.seen[1].prompt
    assert second.outcome is not None
    assert second.outcome.flags == ("too_few_phrases",)  # the first answer, which was paid for
    assert [call.attempt for call in second.calls] == [2]


def test_a_batch_that_fails_as_a_whole_says_why(desk: FakeBatches, run: Run) -> None:
    def plan(made: Made) -> None:
        made.ends = "failed"
        made.errors = [{"code": "model_mismatch", "line": 3, "message": f"no such model, says {KEY}"}]

    desk.plan = plan
    with pytest.raises(FatalLLMError, match="line 3: no such model") as caught:
        run()
    assert caught.value.code == "llm_batch_failed"
    assert KEY not in str(caught.value)


def test_a_line_that_no_waiting_mends_ends_the_run_after_the_others_are_kept(
    desk: FakeBatches, llm: FakeLLM, settings: LLMSettings
) -> None:
    llm.script = lambda seen, nth: error(429, code="insufficient_quota") if nth >= 6 else good(seen, nth)
    kept: list[QuestionResult] = []

    async def go() -> None:
        async with BatchJobs(settings, ladder=FormatFallback()) as batches:
            await batches.ask_all(ASKS, on_outcome=kept.append, poll_s=0.001)

    with pytest.raises(FatalLLMError) as caught:
        asyncio.run(go())
    assert caught.value.code == "llm_quota_exhausted"
    assert len(kept) == 6


@pytest.mark.parametrize(
    ("fault", "code"), [(error(401), "llm_wrong_key"), (error(404), "llm_no_batches"), (error(400), "llm_batch_failed")]
)
def test_a_server_that_takes_no_batch_is_named_at_once(fault: Say, code: str, desk: FakeBatches, run: Run) -> None:
    desk.fault = lambda method, path, nth: fault
    with pytest.raises(FatalLLMError) as caught:
        run()
    assert (caught.value.code, len(desk.asked)) == (code, 1)


def test_a_server_without_batches_is_named(llm: FakeLLM, run: Run) -> None:
    with pytest.raises(FatalLLMError, match="has no Batch API"):
        run()


@pytest.mark.parametrize("fault", [error(503), error(429, headers={"Retry-After": "0.01"}), Say(drop=True)])
def test_faults_that_pass_are_waited_for(fault: Say, desk: FakeBatches, run: Run) -> None:
    desk.fault = lambda method, path, nth: fault if nth in (0, 2, 5, 8) else None
    assert run()[0].done == 10
    assert len(desk.made) == 1
    desk.fault = lambda method, path, nth: fault
    with pytest.raises(BatchUnavailable, match="after 3 attempts"):
        run()


def test_a_batch_whose_answer_was_lost_is_not_made_twice(desk: FakeBatches, run: Run) -> None:
    desk.lost = lambda method, path, nth: Say(drop=True) if (method, path) == ("POST", "/batches") else None
    assert run()[0].done == 10
    assert len(desk.made) == 1


def test_pairs_and_pictures_go_into_batches_too(desk: FakeBatches, run: Run) -> None:
    asks = [
        Question(load_strategy("contrast"), Label("robin"), "birds", other=Label("wren")),
        Question(load_strategy("captions"), Label("robin"), "birds", image=ImageFile(PNG)),
    ]
    tally, outcomes = run(asks)
    assert tally.done == 2
    assert {line.kind for outcome in outcomes for line in outcome.lines} == {"contrast", "caption"}
    assert ImageFile(PNG).url in json.dumps(desk.made[0].lines[1]["body"])


def test_files_are_kept_below_the_servers_limits(desk: FakeBatches, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_jobs, "MAX_REQUESTS", 4)
    assert run()[0].done == 10
    assert [len(made.lines) for made in desk.made] == [4, 4, 2]
    monkeypatch.setattr(batch_jobs, "MAX_BYTES", 9_000)
    run()
    assert all(len(desk.files[made.input_file_id]) <= 9_000 for made in desk.made[3:])


def test_odd_lines_do_no_harm(desk: FakeBatches, llm: FakeLLM, settings: LLMSettings) -> None:
    async def go() -> list[BatchResponse]:
        async with BatchJobs(settings, ladder=FormatFallback()) as batches:
            askings = batches.begin(ASKS[:3])
            keys = [asking.key for asking in askings]
            whole = {"status_code": 200, "body": completion(answer_to(Seen(askings[0].body(), {}, 0.0)))}
            lines = [
                b"\xff\xfe", b"[]", b'{"custom_id": 7}',
                json.dumps({"custom_id": "unknown", "response": whole}).encode(),
                json.dumps({"custom_id": keys[0], "response": whole}).encode(),
                json.dumps({"custom_id": keys[0], "response": whole}).encode(),
                json.dumps({"custom_id": keys[1], "error": {"code": "request_timeout", "message": "late"}}).encode(),
            ]  # fmt: skip
            desk.files["odd"] = b"\n".join(lines)
            state = BatchState(id="b", status="completed", output_file_id="odd")
            return [result async for result in batches.collect(state, askings)]

    good_one, late, missing = asyncio.run(go())
    assert good_one.outcome is not None
    assert [call.status for call in late.calls] == ["timeout"]
    assert (missing.calls, missing.left) == ((), "batch_completed")
