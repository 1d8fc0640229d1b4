"""Estimates of enrich jobs: calls, tokens and cost before a job is posted."""

import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from attributes.llm.costs.estimates import MAX_CORRECTION_BYTES
from attributes.llm.model_profile import ModelProfile
from attributes.llm.requests import cache_key_of
from attributes.llm.settings import LLMSettings
from attributes.prompts.questions import questions_for_label
from attributes.prompts.strategy import load_strategy
from attributes.types import Label
from store.enrich import llm_profiles, results
from store.enrich.results import record_responses
from store.jobs import claims
from tests.api.conftest import Service
from tests.api.routes.test_usage import call

PRICES = """
[[price]]
[price.models]
"stand-in" = { input = "1", output = "4" }
"""


@pytest.fixture
def priced(service: Service, tmp_path: Path) -> Service:
    path = tmp_path / "prices.toml"
    path.write_text(PRICES)
    service.settings.__dict__["prices"] = path  # the model is frozen
    return service


def post_estimate(service: Service, **body: Any) -> dict[str, Any]:
    return service.post("/v1/jobs/estimate", {"kind": "enrich", **body}, status=200)


def store_responses(service: Service, names: list[str], strategy: str) -> None:
    llm = LLMSettings(base_url="", model="stand-in")
    keys = [
        cache_key_of(ask, llm)
        for name in names
        for ask in questions_for_label(load_strategy(strategy), Label(name), "birds")
    ]
    row: dict[str, Any] = {
        "model": "stand-in",
        "base_url": llm.base_url,
        "strategy": f"{strategy}@1",
        "messages": [],
        "answer": "",
        "lines": [],
        "other_lines": None,
        "flags": [],
    }
    with service.db.write() as tx:
        record_responses(tx, [{"key": key, **row} for key in keys])


def test_cached_responses_need_no_call_and_costs_are_exact(priced: Service) -> None:
    vocabulary_id = priced.vocabulary("crane", "heron", "stork", "ibis")
    store_responses(priced, ["heron", "ibis", "wren"], "sentence")
    estimate = post_estimate(priced, vocabulary_id=vocabulary_id, strategies=["sentence", "questions"])
    sentence, questions = estimate["strategies"]
    assert (sentence["questions"], sentence["answered"], sentence["calls"]) == (4, 2, 2)
    num_questions = load_strategy("questions").num_questions
    assert (questions["questions"], questions["answered"], questions["calls"]) == (
        4 * num_questions,
        0,
        4 * num_questions,
    )
    assert estimate["calls"] == 2 + 4 * num_questions
    for kind in ("expected", "without_repeats"):
        prompt, completion = estimate["prompt_tokens"][kind], estimate["completion_tokens"][kind]
        assert Decimal(estimate["usd"][kind]) == (prompt + 4 * completion) / Decimal(1_000_000)
        assert prompt == sum(one["prompt_tokens"][kind] for one in estimate["strategies"])
    assert estimate["completion_tokens"]["without_repeats"] == 2 * 700 + 4 * num_questions * 200
    expected, single, most = (Decimal(estimate["usd"][kind]) for kind in ("expected", "without_repeats", "at_most"))
    assert expected < single < most
    assert priced.get("/v1/jobs")["data"] == []


def test_the_upper_bound_has_every_attempt_and_every_repair_round(priced: Service) -> None:
    vocabulary_id = priced.vocabulary("crane", "heron", "stork", "ibis")
    store_responses(priced, ["crane", "heron", "stork"], "sentence")
    estimate = post_estimate(priced, vocabulary_id=vocabulary_id, strategies=["sentence"], mend_rounds=2)
    again, (sentence,) = estimate["again"], estimate["strategies"]
    largest = 700 + 8_192  # a response of a model that thinks
    assert (estimate["max_attempts"], estimate["calls"]) == (5, 1)
    assert sentence["completion_tokens"]["at_most"] == 6 * largest  # 5 attempts, and one call that tests the server
    assert (again["rounds"], again["calls"], again["completion_tokens"]) == (2, 8, 8 * 6 * largest)
    assert again["prompt_tokens"] > 8 * 11 * MAX_CORRECTION_BYTES  # 6 repair prompts, 5 corrections of responses
    for kind in ("prompt_tokens", "completion_tokens"):
        assert estimate[kind]["at_most"] == sentence[kind]["at_most"] + again[kind]
    prompt, completion = (estimate[kind]["at_most"] for kind in ("prompt_tokens", "completion_tokens"))
    assert Decimal(estimate["usd"]["at_most"]) == (prompt + 4 * completion) / Decimal(1_000_000)
    assert Decimal(again["usd"]) == (again["prompt_tokens"] + 4 * again["completion_tokens"]) / Decimal(1_000_000)
    assert post_estimate(priced, vocabulary_id=vocabulary_id, strategies=["sentence"], mend_rounds=0)["again"] is None


def test_what_a_model_is_known_to_think_is_part_of_the_estimate(priced: Service) -> None:
    vocabulary_id = priced.vocabulary("crane", "heron")
    before = post_estimate(priced, vocabulary_id=vocabulary_id, strategies=["sentence"])
    llm = LLMSettings(model="stand-in")
    profile = ModelProfile(reasoning_tokens=2_000).as_json()
    with priced.db.write() as tx:
        llm_profiles.save(tx, base_url=llm.base_url, model=llm.model, profile=profile, expires_at=time.time() + 60)
    after = post_estimate(priced, vocabulary_id=vocabulary_id, strategies=["sentence"])
    assert (before["reasoning_tokens"], after["reasoning_tokens"]) == (0, 2_000)
    assert after["completion_tokens"]["expected"] == before["completion_tokens"]["expected"] + 2 * 2_000
    assert after["completion_tokens"]["without_repeats"] == 2 * (700 + 3_000)
    assert after["usd"]["at_most"] == before["usd"]["at_most"]


def test_recorded_calls_determine_the_expected_usage(priced: Service) -> None:
    vocabulary_id = priced.vocabulary("crane", "heron", "stork", "ibis")
    guessed = post_estimate(priced, vocabulary_id=vocabulary_id)["strategies"][0]
    assert (guessed["basis"], guessed["num_seen"]) == ("guess", 0)
    priced.post("/v1/jobs", {"kind": "enrich", "vocabulary_id": vocabulary_id}, status=202)
    estimate = {"model": "stand-in", "prompt_tokens": 300, "completion_tokens": 100}
    with priced.db.write() as tx:
        claim = claims.claim(tx, claims.ready(tx, ["enrich"])[0], worker="w", lease_s=60)
        assert claim is not None
        failed = {**call(1, None), "model": "stand-in", "status": "rate_limited"}
        wrong = {**call(2, 1), **estimate, "status": "invalid_answer"}
        results.record_calls(tx, claim, [failed, wrong, *({**call(3, 1), **estimate} for _ in range(2))])
    known = post_estimate(priced, vocabulary_id=vocabulary_id)["strategies"][0]
    assert (known["basis"], known["num_seen"]) == ("ledger", 2)
    # Four calls, three of them with tokens, for two responses.
    assert known["calls"] == 8
    assert known["prompt_tokens"]["expected"] == 4 * 450
    assert known["completion_tokens"]["expected"] == 4 * 150


def test_pairs_are_an_upper_bound_and_unknown_prices_are_reported(service: Service) -> None:
    vocabulary_id = service.vocabulary(*(f"label {n}" for n in range(30)))
    estimate = post_estimate(service, vocabulary_id=vocabulary_id, strategies=["contrast"], teacher="ViT-B-32:openai")
    (contrast,) = estimate["strategies"]
    assert (contrast["calls"], contrast["is_bound"]) == (300, True)
    assert estimate["usd"] is None
    assert "stand-in" in estimate["usd_unknown"]
    three = service.vocabulary("a", "b", "c")
    few = post_estimate(service, vocabulary_id=three, strategies=["contrast"], teacher="ViT-B-32:openai")
    assert few["calls"] == 3
    problem = service.rejection("/v1/jobs/estimate", {"kind": "enrich", "vocabulary_id": "voc_none"})
    assert problem["errors"][0]["pointer"] == "/vocabulary_id"


@pytest.mark.slow
def test_many_labels_are_estimated_from_a_sample_in_seconds(priced: Service) -> None:
    if not priced.db.is_sqlite:
        pytest.skip("one database will do: the time goes into the keys")
    names = [f"label {n}" for n in range(20_000)]
    vocabulary_id = priced.post("/v1/vocabularies", {"name": "v", "domain": "birds", "labels": names})["id"]
    store_responses(priced, names[:1], "phrases")
    began = time.process_time()
    estimate = post_estimate(priced, vocabulary_id=vocabulary_id, strategies=["sentence", "phrases", "questions"])
    assert time.process_time() - began < 6
    assert estimate["strategies"][1]["answered"] == 1
    assert estimate["calls"] == 20_000 * (2 + load_strategy("questions").num_questions) - 1
