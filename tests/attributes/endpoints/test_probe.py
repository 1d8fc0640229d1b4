"""The probe over a socket: what each kind of server understands, what it refuses, and what that cost."""

import asyncio
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from pydantic import SecretStr

from attributes.endpoints.endpoints import RateLimits, ResolvedEndpoint
from attributes.endpoints.probe import MAX_REPEATS, Probe, ProbePlan, ProbeResult, as_json
from attributes.llm.costs.prices import Price, TokenPrices
from attributes.llm.settings import LLMSettings
from attributes.types import Label
from tests.attributes.conftest import KEY
from tests.attributes.fake_llm import (
    FakeLLM,
    FakeRequest,
    FakeResponse,
    completion,
    content_for_request,
    error_response,
    respond_correctly,
)

_PRICES = TokenPrices(
    input=Decimal(2_000_000), cached_input=Decimal(2_000_000), cache_write=Decimal(2_000_000), output=Decimal(8_000_000)
)
PRICE = Price(live=((-1, _PRICES),), batch=((-1, _PRICES),))
CALL_USD = (100 * 2 + 40 * 8) / Decimal(1_000_000)  # the scripted server reports 100 and 40 tokens
RunProbe = Callable[..., tuple[ProbePlan, ProbeResult]]


@dataclass
class Models:
    """Answers GET requests by path; other paths do not exist."""

    bodies: Mapping[str, Any]

    def respond(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> FakeResponse:
        assert method == "GET"
        return FakeResponse(body=self.bodies[path]) if path in self.bodies else error_response(404)


@pytest.fixture
def run_probe(llm: FakeLLM) -> RunProbe:
    def run(*, price: Price | None = PRICE, **changes: Any) -> tuple[ProbePlan, ProbeResult]:
        defaults = {"base_url": llm.url, "model": "m", "api_key": SecretStr(KEY), "timeout_s": 30}
        settings = LLMSettings.model_validate({**defaults, **changes})
        resolved = ResolvedEndpoint(endpoint="e", settings=settings, limits=RateLimits(), price=price)
        probe = Probe(resolved, Label("robin"))
        return probe.plan(), asyncio.run(probe.run())

    return run


def formats_that_fit(result: ProbeResult) -> list[str]:
    return [one.response_format for one in result.formats if one.fits]


@pytest.mark.slow
def test_a_server_without_faults_takes_one_call_per_format(llm: FakeLLM, run_probe: RunProbe) -> None:
    plan, result = run_probe()
    assert [request.level for request in llm.requests] == [
        "json_schema",
        "json_object_schema",
        "json_object",
        "prose",
    ]
    assert formats_that_fit(result) == [request.level for request in llm.requests]
    assert result.works
    assert (result.accepts_temperature, result.accepts_system_role, result.omitted) == (True, True, ())
    assert all(one.tokens_per_s and one.latency_s for one in result.formats)
    assert {one.usd for one in result.formats} == {CALL_USD}
    assert (result.num_calls, result.usd) == (4, 4 * CALL_USD)
    assert (plan.num_calls, plan.max_calls) == (4, 4 + MAX_REPEATS)
    assert plan.usd is not None
    assert plan.max_usd is not None
    assert result.usd is not None
    assert plan.usd < plan.max_usd
    assert result.usd <= plan.max_usd
    assert KEY not in json.dumps(as_json(plan, result))


def test_the_same_prompts_as_those_of_a_job_are_sent(llm: FakeLLM, run_probe: RunProbe) -> None:
    run_probe(top_p=0.9, seed=7, extra_body='{"provider": {"order": ["x"]}}')
    body = llm.requests[0].body
    assert (body["top_p"], body["seed"], body["provider"]) == (0.9, 7, {"order": ["x"]})
    assert llm.requests[0].subject == {"label": "robin"}


def only(*levels: str, status: int = 400) -> Callable[[FakeRequest, int], FakeResponse]:
    def script(request: FakeRequest, index: int) -> FakeResponse:
        if request.level not in levels:
            return error_response(status, f"response_format of this kind is not supported {KEY}")
        return respond_correctly(request, index)

    return script


@pytest.mark.quirk(
    "any server", "only some response formats are understood", "`limbeck llm probe` shows which, and why not the others"
)
def test_refused_formats_are_named_with_the_reason(llm: FakeLLM, run_probe: RunProbe) -> None:
    llm.script = only("json_object", "prose")
    _, result = run_probe()
    assert formats_that_fit(result) == ["json_object", "prose"]
    refused = result.formats[0]
    assert (refused.is_understood, refused.num_calls, refused.usd) == (False, 1, 0)
    assert "response_format of this kind is not supported" in refused.fault
    assert KEY not in refused.fault
    assert result.usd == 2 * CALL_USD


def refuse(parameter: str) -> Callable[[FakeRequest, int], FakeResponse]:
    def script(request: FakeRequest, index: int) -> FakeResponse:
        if parameter == "system":
            if any(message["role"] == "system" for message in request.body["messages"]):
                return error_response(400, "System role not supported")
        elif parameter in request.body:
            return error_response(400, f"Unsupported parameter: '{parameter}' is not supported", param=parameter)
        return respond_correctly(request, index)

    return script


@pytest.mark.slow
def test_a_refused_parameter_costs_one_more_call_in_all(llm: FakeLLM, run_probe: RunProbe) -> None:
    for parameter in ("temperature", "system", "max_tokens"):
        llm.requests.clear()
        llm.script = refuse(parameter)
        _, result = run_probe()
        assert formats_that_fit(result) == [one.response_format for one in result.formats], parameter
        assert [one.num_calls for one in result.formats] == [2, 1, 1, 1], parameter
        assert result.accepts_temperature is (parameter != "temperature")
        assert result.accepts_system_role is (parameter != "system")
        assert result.limit_name == ("max_completion_tokens" if parameter == "max_tokens" else "max_tokens")


def test_an_answer_that_does_not_fit_is_understood_but_useless(llm: FakeLLM, run_probe: RunProbe) -> None:
    llm.script = lambda request, index: FakeResponse(body=completion("Certainly! A robin is a small bird."))
    _, result = run_probe()
    assert not result.works
    assert all(one.is_understood and not one.fits and one.fault for one in result.formats)
    assert all(one.is_about_label is None for one in result.formats)
    assert (result.num_calls, result.usd) == (4, 4 * CALL_USD)  # an invalid answer is not repeated


def test_a_rate_limit_says_nothing_about_the_format(llm: FakeLLM, run_probe: RunProbe) -> None:
    llm.script = lambda request, index: error_response(429, "slow down", headers={"Retry-After": "3600"})
    _, result = run_probe()
    assert [one.is_understood for one in result.formats] == [None] * 4
    assert not result.works


def test_an_answer_about_another_label_fits_but_is_not_usable(llm: FakeLLM, run_probe: RunProbe) -> None:
    llm.script = lambda request, index: FakeResponse(body=completion(content_for_request(request, label="penguin")))
    _, result = run_probe()
    assert not result.works
    assert all(one.fits and not one.is_usable and one.fault.startswith("wrong label") for one in result.formats)
    assert all(one.is_about_label is False for one in result.formats)
    assert "penguin" in result.formats[0].fault


def test_a_cut_off_answer_is_repeated_with_a_larger_limit(llm: FakeLLM, run_probe: RunProbe) -> None:
    def script(request: FakeRequest, index: int) -> FakeResponse:
        if request.body["max_tokens"] < 200:
            return FakeResponse(body=completion('{"label": "rob', finish="length"))
        return respond_correctly(request, index)

    llm.script = script
    plan, result = run_probe(max_tokens=100)
    assert result.works
    assert result.formats[0].num_calls == 2
    assert plan.max_usd is not None
    assert result.usd is not None
    assert result.usd <= plan.max_usd


def test_an_answer_that_never_ends_needs_no_larger_limit(llm: FakeLLM, run_probe: RunProbe) -> None:
    def script(request: FakeRequest, index: int) -> FakeResponse:
        letters = random.Random(0)
        words = " ".join("".join(letters.choices("aeiouklmnrst", k=6)) for _ in range(request.body["max_tokens"]))
        body = completion(f'{{"label": "robin", "sentence": "{words}', finish="length")
        body["usage"]["completion_tokens"] = request.body["max_tokens"]
        return FakeResponse(body=body)

    llm.script = script
    _, result = run_probe()
    assert (result.works, result.formats[0].fault.partition(":")[0]) == (False, "answer too long")
    assert result.recommendation is not None
    assert result.recommendation.max_tokens == 700


@pytest.mark.slow
def test_calls_are_limited_whatever_the_server_does(llm: FakeLLM, run_probe: RunProbe) -> None:
    llm.script = lambda request, index: error_response(503, "Loading model", headers={"Retry-After": "0"})
    plan, result = run_probe()
    assert len(llm.requests) == result.num_calls == plan.max_calls
    assert not result.works


def test_a_wait_of_hours_is_not_waited_for(llm: FakeLLM, run_probe: RunProbe) -> None:
    llm.script = lambda request, index: error_response(429, "Quota", headers={"Retry-After": "7200"})
    _, result = run_probe()
    assert (result.num_calls, result.works) == (4, False)


def test_a_wrong_key_ends_the_probe_with_one_reason(llm: FakeLLM, run_probe: RunProbe) -> None:
    llm.script = lambda request, index: error_response(401, f"Incorrect API key provided: {KEY}")
    plan, result = run_probe()
    assert (result.num_calls, result.works, result.formats) == (1, False, ())
    assert "refuses the key" in result.fault
    assert KEY not in json.dumps(as_json(plan, result))
    assert (result.usd, result.recommendation, result.accepts_temperature) == (0, None, None)


def test_no_server_is_one_reason(run_probe: RunProbe) -> None:
    _, result = run_probe(base_url="http://127.0.0.1:9/v1")
    assert "no connection to http://127.0.0.1:9/v1" in result.fault
    assert result.models.fault.startswith("GET /models")


def test_an_unknown_price_is_unknown(llm: FakeLLM, run_probe: RunProbe) -> None:
    plan, result = run_probe(price=None)
    assert (plan.usd, plan.max_usd, result.usd, result.formats[0].usd) == (None, None, None, None)


def test_usage_that_the_server_does_not_report_is_unknown(llm: FakeLLM, run_probe: RunProbe) -> None:
    def script(request: FakeRequest, index: int) -> FakeResponse:
        body = completion(content_for_request(request))
        del body["usage"]
        return FakeResponse(body=body)

    llm.script = script
    _, result = run_probe()
    assert result.works
    assert (result.usd, result.formats[0].tokens_per_s, result.recommendation) == (None, None, None)


@pytest.mark.parametrize(
    ("listed", "model", "is_listed", "near"),
    [
        ({"data": [{"id": "m"}, {"id": "n"}]}, "m", True, ()),
        pytest.param(
            [{"id": "org/m"}, {"id": "m"}],
            "m",
            True,
            (),
            marks=pytest.mark.quirk(
                "Together", "`GET /models` answers with a bare list", "it is read as a list of models"
            ),
        ),
        pytest.param(
            {"object": "list", "data": [{"id": "models/gemini-9-flash"}]},
            "gemini-9-flash",
            True,
            (),
            marks=pytest.mark.quirk("Gemini", "lists its models as `models/NAME`", "the name alone is the same model"),
        ),
        pytest.param(
            {"models": [{"name": "qwen9:latest"}]},
            "qwen9",
            True,
            (),
            marks=pytest.mark.quirk("Ollama", "lists a model as `NAME:latest`", "the name alone is the same model"),
        ),
        ({"data": [{"id": "Qwen/Qwen9-8B-Instruct"}, {"id": "other"}]}, "qwen9-8b", False, ("Qwen/Qwen9-8B-Instruct",)),
        ({"data": [{"id": "gpt-4o-mini"}]}, "gpt-4o-mimi", False, ("gpt-4o-mini",)),
    ],
)
def test_the_model_is_looked_up_in_the_servers_list(
    listed: Any, model: str, is_listed: bool, near: tuple[str, ...], llm: FakeLLM, run_probe: RunProbe
) -> None:
    llm.batch_api = Models({"/v1/models": listed})
    _, result = run_probe(model=model)
    assert (result.models.is_listed, result.models.near) == (is_listed, near)


@pytest.mark.parametrize(
    ("body", "fault"), [(b"<html>", "is not JSON"), ({"data": []}, "lists no model"), (None, "lists no model")]
)
def test_a_list_that_cannot_be_read_is_unknown(body: Any, fault: str, llm: FakeLLM, run_probe: RunProbe) -> None:
    llm.batch_api = Models({"/v1/models": body})
    _, result = run_probe()
    assert result.models.is_listed is None
    assert fault in result.models.fault


@pytest.mark.quirk(
    "llama.cpp", "processes as many requests at a time as `-np` says", "the probe recommends that concurrency"
)
def test_the_slots_of_llama_cpp_are_the_recommended_concurrency(llm: FakeLLM, run_probe: RunProbe) -> None:
    listed = {"data": [{"id": "m", "owned_by": "llamacpp"}]}
    llm.batch_api = Models({"/v1/models": listed, "/props": {"total_slots": 2}})
    _, result = run_probe(model="any name")
    assert (result.models.is_listed, result.works) == (False, True)
    assert result.recommendation is not None
    assert result.recommendation.concurrency == 2
    assert result.recommendation.reasons == ("the server processes 2 requests at a time",)
