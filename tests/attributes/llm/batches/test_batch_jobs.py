"""Batch jobs over HTTP: completed responses are kept however a batch ends, and only the rest is resubmitted."""

import asyncio
import json
from collections import Counter

import pytest

from attributes.llm.batches import batch_jobs
from attributes.llm.batches.batch_jobs import BatchJobs, BatchResponse, BatchState
from attributes.llm.model_profile import LearnedProfiles
from attributes.llm.requests import cache_key_of
from attributes.llm.results import REASONS, FatalLLMError, QuestionResult
from attributes.llm.settings import LLMSettings
from attributes.prompts.questions import ImageFile, Question
from attributes.prompts.strategy import load_strategy
from attributes.types import Label
from tests.attributes.conftest import KEY
from tests.attributes.custom_strategies import PNG
from tests.attributes.fake_batch_api import FakeBatch, FakeBatchAPI
from tests.attributes.fake_llm import (
    FakeLLM,
    FakeRequest,
    FakeResponse,
    completion,
    content_for_request,
    error_response,
    respond_correctly,
)
from tests.attributes.llm.conftest import QUESTIONS, RunBatches


def test_a_batch_answers_every_question(
    batch_api: FakeBatchAPI, llm: FakeLLM, batch_settings: LLMSettings, run_batches: RunBatches
) -> None:
    states: list[BatchState] = []
    totals, results = run_batches([*QUESTIONS, QUESTIONS[0]], on_state=states.append)
    assert (totals.done, totals.calls, totals.stopped) == (10, 10, "")
    assert {result.key for result in results} == {cache_key_of(question, batch_settings) for question in QUESTIONS}
    assert all(result.question.label.name in result.lines[0].text for result in results)
    assert all(result.lines[0].call == result.key for result in results)
    assert [state.status for state in states] == ["in_progress", "in_progress", "completed"]
    (batch,) = batch_api.batches
    assert batch.lines[0]["url"] == "/v1/chat/completions"
    assert batch.lines[0]["body"]["response_format"]["type"] == "json_schema"


@pytest.mark.slow
def test_completed_lines_of_an_expired_batch_are_kept_and_the_rest_is_resubmitted(
    batch_api: FakeBatchAPI, run_batches: RunBatches
) -> None:
    def plan(batch: FakeBatch) -> None:
        if not batch_api.batches:
            batch.final_status, batch.max_processed = "expired", 6

    batch_api.plan = plan
    totals, results = run_batches()
    assert (totals.done, totals.calls) == (10, 10)
    assert [len(batch.lines) for batch in batch_api.batches] == [10, 4]
    first, second = ({line["custom_id"] for line in batch.lines} for batch in batch_api.batches)
    assert second < first
    assert Counter(result.key for result in results) == Counter(first)


@pytest.mark.slow
def test_unprocessed_questions_end_as_batch_unfinished(batch_api: FakeBatchAPI, run_batches: RunBatches) -> None:
    def plan(batch: FakeBatch) -> None:
        batch.final_status, batch.max_processed = "expired", 0

    batch_api.plan = plan
    totals, results = run_batches()
    assert totals.failed == {"batch_unfinished": 10}
    assert "batch_unfinished" in REASONS
    assert totals.calls == 0
    assert all(result.detail for result in results)


def test_a_stop_cancels_the_batch_and_keeps_its_responses(batch_api: FakeBatchAPI, run_batches: RunBatches) -> None:
    def plan(batch: FakeBatch) -> None:
        batch.polls, batch.max_processed = 10_000, 7

    def stop() -> bool:
        if batch_api.batches:
            batch_api.batches[0].polls = 0
        return bool(batch_api.batches)

    batch_api.plan = plan
    totals, results = run_batches(should_stop=stop)
    assert ("POST", "/batches/batch-0/cancel") in batch_api.requests
    assert (totals.done, totals.stopped, len(results), len(batch_api.batches)) == (7, "asked", 7, 1)


@pytest.mark.slow
def test_a_refused_format_falls_back_one_level_in_the_next_batch(
    batch_api: FakeBatchAPI, llm: FakeLLM, run_batches: RunBatches
) -> None:
    llm.script = lambda request, index: (
        error_response(400) if request.level == "json_schema" else respond_correctly(request, index)
    )
    profiles = LearnedProfiles()
    totals, results = run_batches(profiles=profiles)
    assert (totals.done, totals.calls, len(batch_api.batches)) == (10, 20, 2)
    assert [call.level for call in results[0].calls] == ["json_schema", "json_object_schema"]
    assert run_batches(profiles=profiles)[0].calls == 10  # the format is known from the first run
    assert len(batch_api.batches) == 3


@pytest.mark.slow
def test_failed_lines_are_retried_according_to_their_fault(
    batch_api: FakeBatchAPI, llm: FakeLLM, run_batches: RunBatches
) -> None:
    def script(request: FakeRequest, index: int) -> FakeResponse:
        number = int(request.subject["label"].split()[1])
        first = len(batch_api.batches) < 2
        if number == 1 and first:
            return error_response(500)
        if number == 2 and first:
            return FakeResponse(body=completion(json.dumps(content_for_request(request))[:-9], finish="length"))
        if number == 3 and first:
            return FakeResponse(body=completion(content_for_request(request, label="wren")))
        if number == 4:
            return FakeResponse(body=completion(None, refusal="no"))
        return FakeResponse(
            body=completion(
                content_for_request(request, label=f"bird\u2028{number}" if number == 5 else f"bird {number}")
            )
        )

    llm.script = script
    totals, results = run_batches()
    assert (totals.done, totals.failed) == (9, {"refused": 1})
    retried = {FakeRequest(line["body"], {}, 0.0).subject["label"]: line["body"] for line in batch_api.batches[1].lines}
    assert {label: body["max_tokens"] for label, body in retried.items()} == {
        "bird 1": 700,
        "bird 2": 2100,
        "bird 3": 700,
    }
    assert "about another label" in retried["bird 3"]["messages"][-1]["content"]
    statuses = {result.question.label.name: [call.status for call in result.calls] for result in results}
    assert statuses["bird 1"] == ["server_error", "ok"]
    assert statuses["bird 2"] == ["answer_too_long", "ok"]


@pytest.mark.slow
def test_a_question_continues_in_another_process(
    batch_api: FakeBatchAPI, llm: FakeLLM, batch_settings: LLMSettings
) -> None:
    """The level, the correction, the attempts and a first response with flags are restored from JSON."""
    llm.script = lambda request, index: (
        FakeResponse(body=completion(content_for_request(request, phrases=content_for_request(request)["phrases"][:3])))
        if not index
        else error_response(500)
    )

    async def run_one_batch(saved: str | None) -> tuple[BatchResponse, str]:
        async with BatchJobs(batch_settings, profiles=LearnedProfiles()) as batches:
            (attempts,) = batches.prepare(QUESTIONS[:1])
            if saved:
                attempts.restore(json.loads(saved))
            state = await batches.submit([attempts])
            while not state.ended:
                state = await batches.poll(state.id)
            (response,) = [one async for one in batches.collect(state, [attempts])]
            return response, json.dumps(attempts.to_json())

    first, saved = asyncio.run(run_one_batch(None))
    assert (first.result, first.pending_because, len(first.calls)) == (None, "asked_differently", 1)
    second, _ = asyncio.run(run_one_batch(saved))
    assert "give at least 5 phrases" in llm.requests[1].prompt
    assert second.result is not None
    assert second.result.flags == ("too_few_phrases",)  # the first response, which is paid for
    assert [call.attempt for call in second.calls] == [2]


def test_the_error_of_a_failed_batch_names_the_reason(batch_api: FakeBatchAPI, run_batches: RunBatches) -> None:
    def plan(batch: FakeBatch) -> None:
        batch.final_status = "failed"
        batch.errors = [{"code": "model_mismatch", "line": 3, "message": f"no such model, says {KEY}"}]

    batch_api.plan = plan
    with pytest.raises(FatalLLMError, match="line 3: no such model") as caught:
        run_batches()
    assert caught.value.code == "llm_batch_failed"
    assert KEY not in str(caught.value)


def test_a_fatal_line_ends_the_run_after_the_other_lines_are_kept(
    batch_api: FakeBatchAPI, llm: FakeLLM, batch_settings: LLMSettings
) -> None:
    llm.script = lambda request, index: (
        error_response(429, code="insufficient_quota") if index >= 6 else respond_correctly(request, index)
    )
    kept: list[QuestionResult] = []

    async def main() -> None:
        async with BatchJobs(batch_settings, profiles=LearnedProfiles()) as batches:
            await batches.query_all(QUESTIONS, on_result=kept.append, poll_s=0.001)

    with pytest.raises(FatalLLMError) as caught:
        asyncio.run(main())
    assert caught.value.code == "llm_quota_exhausted"
    assert len(kept) == 6


def test_pairs_and_images_can_be_batched(batch_api: FakeBatchAPI, run_batches: RunBatches) -> None:
    questions = [
        Question(load_strategy("contrast"), Label("robin"), "birds", other=Label("wren")),
        Question(load_strategy("captions"), Label("robin"), "birds", image=ImageFile(PNG)),
    ]
    totals, results = run_batches(questions)
    assert totals.done == 2
    assert {line.kind for result in results for line in result.lines} == {"contrast", "caption"}
    assert ImageFile(PNG).url in json.dumps(batch_api.batches[0].lines[1]["body"])


@pytest.mark.slow
def test_files_stay_below_the_limits_of_the_server(
    batch_api: FakeBatchAPI, run_batches: RunBatches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_jobs, "MAX_REQUESTS", 4)
    assert run_batches()[0].done == 10
    assert [len(batch.lines) for batch in batch_api.batches] == [4, 4, 2]
    monkeypatch.setattr(batch_jobs, "MAX_BYTES", 9_000)
    run_batches()
    assert all(len(batch_api.files[batch.input_file_id]) <= 9_000 for batch in batch_api.batches[3:])


def test_invalid_duplicate_and_unknown_lines_are_ignored(
    batch_api: FakeBatchAPI, llm: FakeLLM, batch_settings: LLMSettings
) -> None:
    async def main() -> list[BatchResponse]:
        async with BatchJobs(batch_settings, profiles=LearnedProfiles()) as batches:
            pending = batches.prepare(QUESTIONS[:3])
            keys = [attempts.key for attempts in pending]
            response = {
                "status_code": 200,
                "body": completion(content_for_request(FakeRequest(pending[0].body(), {}, 0.0))),
            }
            lines = [
                b"\xff\xfe",
                b"[]",
                b'{"custom_id": 7}',
                json.dumps({"custom_id": "unknown", "response": response}).encode(),
                json.dumps({"custom_id": keys[0], "response": response}).encode(),
                json.dumps({"custom_id": keys[0], "response": response}).encode(),
                json.dumps({"custom_id": keys[1], "error": {"code": "request_timeout", "message": "late"}}).encode(),
            ]
            batch_api.files["output"] = b"\n".join(lines)
            state = BatchState(id="b", status="completed", output_file_id="output")
            return [response async for response in batches.collect(state, pending)]

    answered, late, missing = asyncio.run(main())
    assert answered.result is not None
    assert [call.status for call in late.calls] == ["timeout"]
    assert (missing.calls, missing.pending_because) == ((), "batch_completed")


ENQUEUED = "Enqueued token limit reached for m in organization org-1. Limit: 90,000 enqueued tokens."


@pytest.mark.parametrize(
    "error",
    [
        {"code": "token_limit_exceeded", "line": None, "message": ENQUEUED},
        {"code": "other", "message": ENQUEUED},
        {"code": "quotaExceeded", "message": "The number of enqueued tokens exceeds the limit of this deployment."},
    ],
)
@pytest.mark.quirk(
    "OpenAI, Azure OpenAI",
    "a batch that fails at once with `Enqueued token limit reached`",
    "it waits and sends smaller batches",
)
def test_a_batch_without_room_is_sent_in_halves(
    error: dict[str, object], batch_api: FakeBatchAPI, run_batches: RunBatches
) -> None:
    def plan(batch: FakeBatch) -> None:
        if len(batch.lines) > 3:
            batch.final_status, batch.errors = "failed", [error]

    batch_api.plan = plan
    totals, results = run_batches()
    assert (totals.done, totals.calls, totals.stopped) == (10, 10, "")
    assert len({result.key for result in results}) == 10
    assert [len(batch.lines) for batch in batch_api.batches] == [10, 5, 2, 2, 2, 2, 2]


@pytest.mark.parametrize("status", [400, 429])
@pytest.mark.quirk(
    "OpenAI", "`Enqueued token limit reached` when a batch is created", "it waits and sends smaller batches"
)
def test_a_batch_that_cannot_be_created_now_is_sent_later(
    status: int, batch_api: FakeBatchAPI, run_batches: RunBatches
) -> None:
    refusals = iter(range(5))
    batch_api.fault = lambda method, path, index: (
        error_response(status, ENQUEUED)
        if (method, path) == ("POST", "/batches") and next(refusals, None) is not None
        else None
    )
    totals, _ = run_batches()
    assert (totals.done, totals.calls) == (10, 10)
    assert [len(batch.lines) for batch in batch_api.batches] == [1] * 10


def test_a_stop_ends_the_wait_for_room(batch_api: FakeBatchAPI, run_batches: RunBatches) -> None:
    batch_api.fault = lambda method, path, index: (
        error_response(429, ENQUEUED) if (method, path) == ("POST", "/batches") else None
    )
    totals, results = run_batches(should_stop=lambda: len(batch_api.requests) > 8)
    assert (totals.stopped, totals.calls, results) == ("asked", 0, [])
