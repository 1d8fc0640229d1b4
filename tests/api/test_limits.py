"""Limits of keys: requests, unfinished jobs, LLM budget."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from store.access import api_keys, limits
from store.access.principals import KeyLimits
from store.enrich import usage
from store.ids import first_id_at
from store.lifecycle import transitions
from store.models import Job, JobUsage, Part
from tests.api.conftest import Service, bearer, create_key

USD = 10**12


def _key(service: Service, name: str = "ann", **given: Any) -> dict[str, str]:
    with service.db.write() as tx:
        made = api_keys.create(tx, name=name, scopes=["read", "write"], expires_at=None, limits=KeyLimits(**given))
    return bearer(made[1])


def test_requests_above_the_limit_are_refused(service: Service) -> None:
    limited, other = _key(service, requests_per_min=3), _key(service)
    responses = [service.http.get("/v1/jobs", headers=limited) for _ in range(3)]
    assert [response.status_code for response in responses] == [200, 200, 200]
    assert responses[0].headers["ratelimit-policy"] == '"key";q=3;w=60'
    assert responses[0].headers["ratelimit"] == '"key";r=2;t=0'
    refused = service.http.get("/v1/jobs", headers=limited)
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert service.http.get("/v1/jobs", headers=other).status_code == 200
    assert "ratelimit" not in service.http.get("/v1/jobs", headers=other).headers


def test_of_two_jobs_at_once_one_is_within_the_limit(service: Service) -> None:
    vocabulary_id = service.vocabulary()
    keys = [_key(service, max_jobs=1) for _ in range(2)]

    def post(number: int) -> tuple[int, str | None]:
        body = {"kind": "enrich", "vocabulary_id": vocabulary_id}
        response = service.http.post("/v1/jobs", json=body, headers=keys[number % 2])
        return response.status_code, response.json().get("code")

    with ThreadPoolExecutor(4) as pool:
        outcomes = sorted(pool.map(post, range(4)))
    assert outcomes == [(202, None)] + [(409, "too_many_jobs")] * 3
    (job,) = service.get("/v1/jobs")["data"]
    with service.db.write() as tx:
        transitions.cancel(tx, job["id"])
    assert post(0)[0] == 202
    check = {"teacher": None}
    set_id = service.attribute_set(vocabulary_id)
    assert service.http.post(f"/v1/attribute-sets/{set_id}/report", json=check, headers=keys[0]).status_code == 409


def test_jobs_fit_into_what_is_left_of_a_budget(make_service: Callable[..., Service], tmp_path: Path) -> None:
    prices = tmp_path / "prices.toml"
    table = '{ stand-in = { input = "3", output = "3" } }'
    prices.write_text(f'[[price]]\nbase_url = "https://api.openai.com/v1"\nmodels = {table}\n')
    service = make_service(prices=prices)
    key, vocabulary_id = _key(service, budget_pusd=5 * USD), service.vocabulary()

    def post(**fields: str) -> tuple[int, Any]:
        body = {"kind": "enrich", "vocabulary_id": vocabulary_id, **fields}
        response = service.http.post("/v1/jobs", json=body, headers=key)
        return response.status_code, response.json()

    status, problem = post()
    assert (status, problem["code"]) == (422, "budget_required")
    assert "$5.00 of the key's $5.00 per 30 days" in problem["detail"]
    first = post(budget_usd="3")[1]["id"]
    status, problem = post(budget_usd="2.01")
    assert (status, problem["code"]) == (402, "budget_exceeded")
    assert "$2.00 of the key's $5.00" in problem["detail"]
    assert post(budget_usd="2")[0] == 202
    # A job that has ended counts with what it spent.
    with service.db.write() as tx:
        transitions.cancel(tx, first)
        tx.get_one(JobUsage, first).spent_pusd = USD
    assert post(budget_usd="2.01")[0] == 402
    assert post(budget_usd="2")[0] == 202


def test_a_retried_job_counts_as_unfinished_again(service: Service) -> None:
    body = {"kind": "encode", "vocabulary_id": service.vocabulary(), "teacher": "ViT-B-32:openai"}
    ann, ben, admin = _key(service, max_jobs=1), _key(service, "ben", max_jobs=1), bearer(create_key(service, "admin"))

    def post(path: str, headers: dict[str, str]) -> tuple[int, str | None]:
        response = service.http.post(path, json=body if path == "/v1/jobs" else None, headers=headers)
        return response.status_code, response.json().get("code")

    def cancelled() -> str:
        id: str = service.http.post("/v1/jobs", json=body, headers=ann).json()["id"]
        service.http.post(f"/v1/jobs/{id}/cancel", headers=ann)
        return f"/v1/jobs/{id}"

    ended = [cancelled() for _ in range(3)]
    assert post(f"{ended[0]}/retry", ben) == (403, "not_owner")
    with ThreadPoolExecutor(2) as pool:
        outcomes = sorted(pool.map(lambda url: post(f"{url}/retry", ann), ended[:2]))
    assert outcomes == [(202, None), (409, "too_many_jobs")]
    assert post("/v1/jobs", ann) == (409, "too_many_jobs")
    running = next(url for url in ended[:2] if service.get(url)["status"] == "queued")
    assert post(f"{running}/retry", ann) == (409, "job_not_failed")
    assert post(f"{running}/pause", ann) == (202, None)
    assert post("/v1/jobs", ann) == (409, "too_many_jobs")
    assert post(f"{running}/resume", ann) == (202, None)
    assert post(f"{ended[2]}/retry", admin) == (202, None)


def test_a_retried_job_fits_into_what_is_left_of_a_budget(make_service: Callable[..., Service], tmp_path: Path) -> None:
    prices = tmp_path / "prices.toml"
    table = '{ stand-in = { input = "3", output = "3" } }'
    prices.write_text(f'[[price]]\nbase_url = "https://api.openai.com/v1"\nmodels = {table}\n')
    service = make_service(prices=prices)
    key, unlimited, vocabulary_id = _key(service, budget_pusd=5 * USD), _key(service), service.vocabulary()

    def cancelled(headers: dict[str, str], budget_usd: str | None, *, spent_pusd: int = 0) -> str:
        body = {"kind": "enrich", "vocabulary_id": vocabulary_id, "budget_usd": budget_usd}
        id: str = service.http.post("/v1/jobs", json=body, headers=headers).json()["id"]
        service.http.post(f"/v1/jobs/{id}/cancel", headers=headers)
        with service.db.write() as tx:
            tx.get_one(JobUsage, id).spent_pusd = spent_pusd
        return id

    def retry(id: str) -> tuple[int, str | None]:
        response = service.http.post(f"/v1/jobs/{id}/retry", headers=key)
        return response.status_code, response.json().get("code")

    first, second = (cancelled(key, "3", spent_pusd=USD) for _ in range(2))
    assert retry(cancelled(unlimited, None)) == (409, "budget_required")
    assert retry(first) == (202, None)  # $3 of it and $1 of the other: $1 is left
    assert retry(second) == (402, "budget_exceeded")  # it may still cost $2
    with service.db.write() as tx:
        tx.get_one(JobUsage, second).spent_pusd = 2 * USD
    assert retry(second) == (402, "budget_exceeded")  # $1, and nothing is left
    with service.db.write() as tx:
        transitions.cancel(tx, first)
    assert retry(second) == (202, None)
    with service.db.write() as tx:
        old = first_id_at("job", time.time() - 31 * 86_400)
        tx.add(Job(id=old, kind="enrich", status="cancelled", spec={}, tally=[], num_events=0, created_at=0.0))
        part = Part(id="prt_old", job_id=old, position=0, kind="describe", queue="enrich", status="cancelled", spec={})
        part.stage = part.attempts = part.done = part.total = 0
        part.unit, part.not_before = "", 0.0
        tx.add(part)
        tx.flush()
        usage.create(tx, old, cap_pusd=1, cap_tokens=None, plan={})
    assert retry(old) == (409, "job_too_old")


def test_what_counts_against_a_budget(service: Service) -> None:
    def job(age_days: float, *, ended: bool, cap: int | None) -> None:
        at = time.time() - age_days * 86_400
        row = Job(id=first_id_at("job", at), kind="enrich", status="", spec={}, tally=[], num_events=0, created_at=at)
        row.owner, row.finished_at = "ann", 1.0 if ended else None
        tx.add(row)
        tx.flush()
        usage.create(tx, row.id, cap_pusd=cap, cap_tokens=None, plan={})
        totals = tx.get_one(JobUsage, row.id)
        totals.spent_pusd, totals.reserved_pusd = 10, 1

    with service.db.write() as tx:
        job(1, ended=True, cap=100)
        job(29, ended=True, cap=None)
        job(31, ended=True, cap=100)
        assert limits.committed_pusd(tx, "ann") == 11 + 11
        job(2, ended=False, cap=100)
        job(32, ended=False, cap=1_000)
        job(3, ended=False, cap=None)
        assert limits.committed_pusd(tx, "ann") == 22 + 100 + 1_000 + 11
        assert limits.num_unfinished(tx, "ann") == 3
        assert limits.committed_pusd(tx, "ben") == limits.num_unfinished(tx, "ben") == 0


def test_a_job_without_llm_needs_no_budget(service: Service) -> None:
    key = _key(service, budget_pusd=USD)
    body = {"kind": "encode", "vocabulary_id": service.vocabulary(), "teacher": "ViT-B-32:openai"}
    assert service.http.post("/v1/jobs", json=body, headers=key).status_code == 202


@pytest.mark.parametrize("budget_usd", ["1", None])
def test_a_budget_needs_a_known_price(service: Service, budget_usd: str | None) -> None:
    key = _key(service, budget_pusd=2 * USD)
    body = {"kind": "enrich", "vocabulary_id": service.vocabulary(), "budget_usd": budget_usd}
    response = service.http.post("/v1/jobs", json=body, headers=key)
    assert response.json()["code"] == ("price_unknown" if budget_usd else "budget_required")
