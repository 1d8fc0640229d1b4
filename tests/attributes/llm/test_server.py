"""Runs whose calls are useless end early."""

import re

import pytest

from attributes.llm.results import FatalLLMError, QuestionResult
from attributes.llm.server import MAX_REFUSED, MAX_UNUSABLE_AT_FIRST, LLMServer
from attributes.llm.settings import LLMSettings
from attributes.types import Label
from tests.attributes.conftest import describe_question
from tests.attributes.fake_llm import (
    FakeLLM,
    FakeRequest,
    FakeResponse,
    completion,
    content_for_label,
    error_response,
    respond_correctly,
)
from tests.attributes.llm.conftest import LABELS, QueryLabels

MANY = [Label(f"bird {i}") for i in range(2_000)]


@pytest.mark.slow
@pytest.mark.quirk(
    "any server", "no answer of the model is ever usable", "the job ends as `llm_unusable` after 12 labels"
)
def test_a_model_that_is_always_wrong_stops_early(llm: FakeLLM, query_labels: QueryLabels) -> None:
    llm.script = lambda request, index: FakeResponse(body=completion("It is red."))
    with pytest.raises(FatalLLMError) as caught:
        query_labels(MANY)
    assert caught.value.code == "llm_unusable"
    found = re.search(r"(\d+) invalid_answer", caught.value.message)
    assert found is not None
    # Questions that end at the same moment are counted too.
    assert MAX_UNUSABLE_AT_FIRST <= int(found[1]) <= MAX_UNUSABLE_AT_FIRST + 16
    assert llm.num_calls < 5 * (MAX_UNUSABLE_AT_FIRST + 16)


@pytest.mark.slow
def test_a_model_that_turns_wrong_stops_too_but_later(llm: FakeLLM, query_labels: QueryLabels) -> None:
    def script(request: FakeRequest, index: int) -> FakeResponse:
        wrong = FakeResponse(body=completion(content_for_label("another")))
        return wrong if int(request.subject["label"].split()[1]) >= 20 else respond_correctly(request, index)

    llm.script = script
    results: list[object] = []
    with pytest.raises(FatalLLMError) as caught:
        query_labels(MANY, results=results)
    assert caught.value.code == "llm_unusable"
    assert llm.num_calls < 20 + 5 * (60 + 16)


@pytest.mark.slow
def test_wrong_answers_among_good_ones_do_not_stop_the_run(llm: FakeLLM, query_labels: QueryLabels) -> None:
    def script(request: FakeRequest, index: int) -> FakeResponse:
        wrong = FakeResponse(body=completion(content_for_label("another")))
        return wrong if int(request.subject["label"].split()[1]) % 10 else respond_correctly(request, index)

    llm.script = script
    totals, _ = query_labels(LABELS)
    assert (totals.done, totals.failed) == (3, {"wrong_label": 27})


@pytest.mark.quirk(
    "any server", "403 for one question after the other, without a reason", "the job ends as `llm_wrong_key`"
)
def test_a_key_that_is_refused_later_ends_the_run(llm: FakeLLM, query_labels: QueryLabels) -> None:
    llm.script = lambda request, index: respond_correctly(request, index) if index < 3 else error_response(403)
    with pytest.raises(FatalLLMError) as caught:
        query_labels(LABELS, concurrency=1)
    assert caught.value.code == "llm_wrong_key"


def test_moderated_labels_do_not_speak_against_the_key(llm: FakeLLM, query_labels: QueryLabels) -> None:
    flagged = error_response(403, "flagged", metadata={"reasons": ["violence"]})

    def script(request: FakeRequest, index: int) -> FakeResponse:
        number = int(request.subject["label"].split()[1])
        return error_response(403) if number == 9 else flagged if number > 2 else respond_correctly(request, index)

    llm.script = script
    totals, _ = query_labels(LABELS[:12], concurrency=1)
    assert (totals.done, totals.failed) == (3, {"refused": 9})


def test_refused_questions_of_an_earlier_job_do_not_count() -> None:
    server = LLMServer(LLMSettings(base_url="http://127.0.0.1:9/v1", model="m"))
    refused = QuestionResult(
        question=describe_question("bird"), key="k", reason="bad_request", detail="HTTP 400: no", calls=[]
    )
    for _ in range(MAX_REFUSED - 1):
        server.record_result(refused, is_proven=False)
    with pytest.raises(FatalLLMError):
        server.record_result(refused, is_proven=False)
    server.begin()
    server.record_result(refused, is_proven=False)
