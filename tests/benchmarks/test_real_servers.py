"""The checks of `benchmarks.real_servers`, which must not pass by mistake; a scripted server replaces the real one."""

import asyncio
import http.client
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from attributes.llm.model_profile import LearnedProfiles
from attributes.llm.settings import LLMSettings
from benchmarks.real_servers import environments
from benchmarks.real_servers.job import ledger_faults
from benchmarks.real_servers.meter import Exchange, Meter
from benchmarks.real_servers.questions import (
    NUM_UNUSABLE,
    QuestionSet,
    Row,
    ask,
    bill_faults,
    many_questions,
    question_sets,
    result_faults,
    schema_faults,
    unused_faults,
)
from benchmarks.real_servers.record import FILE
from benchmarks.real_servers.runs import describe, refusal_faults, table_of
from limbeck.models import Estimate, Range
from tests.attributes.fake_llm import (
    FakeLLM,
    FakeRequest,
    FakeResponse,
    Script,
    completion,
    error_response,
    respond_correctly,
)

SCHEMA = {"type": "object", "properties": {"label": {"type": "string"}}, "required": ["label"]}
REQUEST = {"messages": [], "response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}}


def exchange(content: Any, *, finish: str = "stop", request: dict[str, Any] = REQUEST) -> Exchange:
    return Exchange(request, 200, {}, completion(content, finish=finish))


def run(script: Script, number: int = 3) -> Row:
    """A row of the benchmark with a scripted server behind a meter."""
    with FakeLLM(script) as llm, Meter(llm.url.removesuffix("/v1")) as meter:
        settings = LLMSettings(base_url=f"{meter.root}/v1", model="m", max_attempts=2, outage_limit_s=0.1)
        row = asyncio.run(
            ask(settings, LearnedProfiles(), QuestionSet("row", many_questions(number), label_fixed=True))
        )
        row.exchanges = list(meter.exchanges)
    return row


@pytest.mark.parametrize(
    ("content", "fits"), [({"label": "robin"}, True), ({"label": 1}, False), ('{"label": "rob', False), (None, False)]
)
def test_an_exchange_knows_whether_the_text_fits_the_schema_of_the_request(content: Any, fits: bool) -> None:
    assert exchange(content).fits_schema() is fits


def test_only_complete_responses_to_requests_with_a_schema_must_fit() -> None:
    prose: dict[str, Any] = {"messages": []}
    row = Row("row", 3, exchanges=[exchange("{", finish="length"), exchange("{", request=prose), exchange("{")])
    assert row.enforced == [row.exchanges[2]]
    assert list(schema_faults(row)) == ["1 of 1 responses do not fit the schema: '{'"]
    assert not list(schema_faults(replace(row, exchanges=row.exchanges[:2])))


def test_the_meter_passes_on_requests_and_responses_and_records_them() -> None:
    refusal = error_response(429, "slow down", headers={"Retry-After": "3"})
    with FakeLLM(lambda request, index: refusal) as llm, Meter(llm.url.removesuffix("/v1")) as meter:
        connection = http.client.HTTPConnection(urlsplit(meter.root).netloc, timeout=10)
        connection.request("POST", "/v1/chat/completions", json.dumps(REQUEST), {"Authorization": "Bearer k"})
        response = connection.getresponse()
        assert (response.status, response.headers["Retry-After"]) == (429, "3")
        assert json.loads(response.read()) == refusal.body
        connection.close()
    assert (llm.requests[0].body, llm.requests[0].headers["authorization"]) == (REQUEST, "Bearer k")
    assert [(each.request, each.status, each.response) for each in meter.exchanges] == [(REQUEST, 429, refusal.body)]


@pytest.mark.slow
def test_a_correct_server_has_no_faults() -> None:
    row = run(respond_correctly)
    assert row.reasons == {"lines": 3}
    assert not [*result_faults(row), *bill_faults(row), *schema_faults(row), *unused_faults(row)]
    assert "3 questions, 3 calls" in describe(row)
    assert table_of("name", [row]).row_count == 1


@pytest.mark.slow
def test_a_broken_connection_is_a_call_without_tokens() -> None:
    def script(request: FakeRequest, index: int) -> FakeResponse:
        return respond_correctly(request, index) if index else FakeResponse(drop=True)

    row = run(script)
    assert [each.status for each in row.exchanges].count(0) == 1
    assert not [*result_faults(row), *bill_faults(row)]


@pytest.mark.slow
def test_a_server_that_is_taken_for_one_that_is_away_is_a_fault() -> None:
    row = run(lambda request, index: error_response(500, "cannot do this"))
    assert any("taken for one that is away" in fault for fault in result_faults(row))
    assert list(unused_faults(row))


def test_differences_between_the_bills_are_faults() -> None:
    row = run(respond_correctly, number=1)
    assert [fault.split()[1] for fault in bill_faults(replace(row, exchanges=[]))] == ["prompt", "completion", "calls"]
    huge = replace(row.exchanges[0], response=completion({}) | {"usage": {"prompt_tokens": 10**6}})
    assert any("more prompt tokens than their bound" in fault for fault in bill_faults(replace(row, exchanges=[huge])))


def test_results_that_are_missing_or_still_open_are_faults() -> None:
    row = run(respond_correctly, number=1)
    assert list(result_faults(replace(row, num_questions=2))) == ["1 of 2 questions have no result"]
    (result,) = row.results
    for reason, fault in (("stopped", "still open"), ("no idea", "no named reason"), ("refused", "no detail")):
        assert any(fault in each for each in result_faults(replace(row, results=[replace(result, reason=reason)])))


def test_a_wrong_key_must_stop_a_run_at_its_first_calls() -> None:
    fatal = Row("key", 50, fatal="llm_wrong_key: no")
    assert not list(refusal_faults(fatal, is_refused=True))
    assert list(refusal_faults(replace(fatal, fatal=""), is_refused=True)) == ["the run was not stopped"]
    late = run(respond_correctly, number=30)
    assert list(refusal_faults(replace(late, fatal="llm_wrong_key: no"), is_refused=True)) == [
        "the run was stopped only after 30 calls"
    ]


def test_all_rows_but_two_fix_the_label_in_the_schema() -> None:
    rows = list(question_sets(16))
    assert [row.title for row in rows if not row.label_fixed] == ["phrases, label free", "caption of an image"]
    for row in rows:
        for question in row.questions if row.label_fixed else ():
            assert question.strategy.schema["properties"]["label"]["enum"] == [question.label.name]
            if question.other:
                assert question.strategy.schema["properties"]["other"]["enum"] == [question.other.name]
    assert all(len(row.questions) <= NUM_UNUSABLE for row in question_sets(NUM_UNUSABLE))


def test_the_ledger_of_a_job_is_compared_with_the_bill_and_the_estimate() -> None:
    bill = [exchange({"label": "robin"})] * 2  # of 100 and 40 tokens each

    def estimate(prompt: int, completion: int) -> Estimate:
        ranges = [Range(expected=1, without_repeats=1, at_most=limit) for limit in (prompt, completion)]
        return Estimate.model_construct(prompt_tokens=ranges[0], completion_tokens=ranges[1])

    assert not ledger_faults((2, 200, 80), bill, estimate(200, 80))
    assert any("the server sent (2, 200, 80)" in each for each in ledger_faults((2, 200, 79), bill, estimate(200, 80)))
    assert any("above the estimate" in each for each in ledger_faults((2, 200, 80), bill, estimate(200, 79)))


def test_an_environment_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = environments.Environment("empty", ())
    commands: list[Any] = []

    class Done:
        returncode, stdout = 0, ""

    def record(command: Any, **_: Any) -> Done:
        commands.append(command)
        (tmp_path / "empty").mkdir(exist_ok=True)
        return Done()

    monkeypatch.setattr(environments.subprocess, "run", record)
    lines: list[str] = []
    python = environments.build(empty, tmp_path, lines.append)
    assert (len(commands), len(lines)) == (2, 2)
    assert environments.build(empty, tmp_path, lines.append) == python
    environments.build(replace(empty, requirements=("other==1",)), tmp_path, lines.append)
    assert (len(commands), commands[-1][-1]) == (4, "other==1")


def test_recorded_exchanges_hold_nothing_of_the_run() -> None:
    text = FILE.read_text(encoding="utf-8")
    assert "/tmp" not in text
    assert "127.0.0.1" not in text
    bodies = [each["body"] for each in json.loads(text) if isinstance(each["body"], dict)]
    assert not {"id", "created", "timings"} & {name for body in bodies for name in body}
