"""LLM endpoints: the list, jobs that name one, and faults of the operator's file."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from attributes.llm.requests import cache_key_of
from attributes.llm.settings import LLMSettings
from attributes.prompts.questions import questions_for_label
from attributes.prompts.strategy import load_strategy
from attributes.types import Label
from store.enrich.results import record_responses
from tests.api.conftest import Service

FILE = """
[[endpoint]]
name = "local"
base_url = "http://127.0.0.1:8080/v1"
model = "gemma"
in_flight = 4
api_key_env = "LIMBECK_TEST_KEY_THAT_NO_API_HAS"
proxy_env = "LIMBECK_TEST_PROXY_THAT_NO_API_HAS"
temperature = 0.5
[endpoint.prices]
gemma = { input = "1", output = "4" }

[[endpoint]]
name = "azure"
base_url = "https://birds.openai.azure.com"
api_version = "2024-10-21"
models = ["one", "two"]
"""


@pytest.fixture
def with_file(make_service: Callable[..., Service], tmp_path: Path) -> Service:
    path = tmp_path / "endpoints.toml"
    path.write_text(FILE)
    return make_service(llm_endpoints=path)


def test_endpoints_are_listed_without_secrets(with_file: Service) -> None:
    listed = with_file.get("/v1/endpoints")
    default, local, azure = listed["data"]
    assert (default["name"], default["model"], default["price_known"]) == ("default", "stand-in", False)
    assert default["base_url"] == "https://api.openai.com/v1"
    assert (local["model"], local["price_known"], local["in_flight"]) == ("gemma", True, 4)
    assert (azure["model"], azure["models"], azure["api_version"]) == (None, ["one", "two"], "2024-10-21")
    assert "LIMBECK_TEST" not in str(listed)
    assert with_file.get("/v1/endpoints/azure") == azure
    first = with_file.get("/v1/endpoints", limit=2)
    assert (first["has_more"], first["last_id"]) == (True, "local")
    assert with_file.get("/v1/endpoints", after="local")["data"] == [azure]
    missing = with_file.http.get("/v1/endpoints/azur")
    assert (missing.status_code, missing.json()["code"]) == (404, "endpoint_not_found")


def test_a_job_names_its_endpoint_and_is_estimated_there(with_file: Service) -> None:
    body: dict[str, Any] = {"kind": "enrich", "vocabulary_id": with_file.vocabulary(), "endpoint": "local"}
    estimate = with_file.post("/v1/jobs/estimate", body, status=200)
    assert (estimate["endpoint"], estimate["model"]) == ("local", "gemma")
    tokens = estimate["prompt_tokens"]["at_most"] + 4 * estimate["completion_tokens"]["at_most"]
    assert Decimal(estimate["usd"]["at_most"]) == tokens / Decimal(1_000_000)
    job = with_file.post("/v1/jobs", {**body, "budget_usd": "1"}, status=202)
    assert (job["spec"]["endpoint"], job["spec"]["model"]) == ("local", "gemma")
    del body["endpoint"]
    assert "endpoint" not in with_file.post("/v1/jobs", body, status=202)["spec"]  # earlier releases can run it
    body["endpoint"] = "default"
    assert "endpoint" not in with_file.post("/v1/jobs", body, status=202)["spec"]
    unknown = with_file.post("/v1/jobs/estimate", {**body, "endpoint": "azure", "model": "two"}, status=200)
    assert (
        "set prices of the endpoint 'azure', or LIMBECK_PRICES to a file that has a [[price]] with base_url"
        in unknown["usd_unknown"]
    )


def test_responses_that_were_cached_with_the_endpoints_settings_are_counted(with_file: Service) -> None:
    """Temperature and extra parameters are part of a cache key, so those of another endpoint would find nothing."""
    llm = LLMSettings(base_url="http://127.0.0.1:8080/v1", model="gemma", temperature=0.5)
    (question,) = questions_for_label(load_strategy("sentence"), Label("crane"), "birds")
    row = {"model": "gemma", "base_url": llm.base_url, "strategy": "sentence@1", "messages": [], "answer": ""}
    row |= {"lines": [], "other_lines": None, "flags": [], "key": cache_key_of(question, llm)}
    with with_file.db.write() as tx:
        record_responses(tx, [row])
    body = {"kind": "enrich", "vocabulary_id": with_file.vocabulary("crane", "heron"), "strategies": ["sentence"]}
    (found,) = with_file.post("/v1/jobs/estimate", {**body, "endpoint": "local"}, status=200)["strategies"]
    assert (found["questions"], found["answered"]) == (2, 1)
    (other,) = with_file.post("/v1/jobs/estimate", {**body, "model": "gemma"}, status=200)["strategies"]
    assert (other["questions"], other["answered"]) == (2, 0)


def test_an_unknown_endpoint_or_model_is_rejected(with_file: Service) -> None:
    vocabulary_id = with_file.vocabulary()
    cases = [
        ({"endpoint": "locl"}, "endpoint_unknown", "/endpoint", "did you mean local?"),
        ({"endpoint": "LOCAL"}, "endpoint_unknown", "/endpoint", "did you mean local?"),
        ({"endpoint": "azure"}, "model_missing", "/model", "one, two"),
        ({"endpoint": "azure", "model": "tow"}, "model_not_allowed", "/model", "did you mean two"),
        ({"endpoint": "azure", "model": "one", "budget_usd": "1"}, "price_unknown", "/budget_usd", "'azure'"),
    ]
    for fields, code, pointer, detail in cases:
        body = {"kind": "enrich", "vocabulary_id": vocabulary_id, **fields}
        for path in ("/v1/jobs", "/v1/jobs/estimate"):
            problem = with_file.rejection(path, body)
            assert (problem["code"], problem["errors"][0]["pointer"]) == (code, pointer)
            assert detail in problem["detail"]


@pytest.mark.parametrize(
    ("settings", "code", "detail"),
    [
        ({"llm_endpoints": Path("/nowhere/endpoints.toml")}, "endpoints_unreadable", "endpoints file /nowhere"),
        ({"llm_extra_body": "{"}, "endpoints_unreadable", "LIMBECK_LLM_EXTRA_BODY: must be a JSON object"),
        ({"prices": Path("/nowhere/prices.toml")}, "prices_unreadable", "price file /nowhere"),
    ],
)
def test_a_fault_of_the_operators_settings_is_named(
    settings: dict[str, Any], code: str, detail: str, make_service: Callable[..., Service]
) -> None:
    service = make_service(**settings)
    body = {"kind": "enrich", "vocabulary_id": service.vocabulary()}
    for response in (service.http.get("/v1/endpoints"), service.http.post("/v1/jobs", json=body)):
        problem = response.json()
        assert (problem["status"], problem["code"]) == (500, code)
        assert detail in problem["detail"]
