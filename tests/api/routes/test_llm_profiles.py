"""Learned model profiles: the list, and their reset by server, endpoint and model."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from attributes.llm.model_profile import ModelProfile
from store.enrich import llm_profiles
from tests.api.conftest import Service

A, B, OPENAI = "http://a/v1", "http://b/v1", "https://api.openai.com/v1"
PROFILE = ModelProfile(
    level="json_object",
    limit_name="max_completion_tokens",
    omitted=("temperature",),
    has_system_role=False,
    reasoning_tokens=900,
)


@pytest.fixture
def learned(make_service: Callable[..., Service], tmp_path: Path) -> Service:
    """Profiles of two models at A, one at B and one at the default endpoint; one more has expired."""
    path = tmp_path / "endpoints.toml"
    path.write_text(f'[[endpoint]]\nname = "a"\nbase_url = "{A}"\nmodel = "m"\n')
    service = make_service(llm_endpoints=path)
    learn(service)
    return service


def learn(service: Service) -> None:
    expires_at = time.time() + 3600
    with service.db.write() as tx:
        for base_url, model in ((A, "m"), (A, "n"), (B, "m"), (OPENAI, "m")):
            llm_profiles.save(tx, base_url=base_url, model=model, profile=PROFILE.as_json(), expires_at=expires_at)
        llm_profiles.save(tx, base_url=B, model="old", profile=PROFILE.as_json(), expires_at=time.time() - 1)


def places(service: Service) -> list[tuple[str, str]]:
    return [(one["base_url"], one["model"]) for one in service.get("/v1/llm-profiles")["data"]]


def test_profiles_are_listed_page_by_page(learned: Service) -> None:
    assert places(learned) == [(A, "m"), (A, "n"), (B, "m"), (OPENAI, "m")]
    first = learned.get("/v1/llm-profiles", limit=3)
    one = first["data"][0]
    assert (one["response_format"], one["limit_name"]) == ("json_object", "max_completion_tokens")
    assert (one["omitted"], one["has_system_role"], one["reasoning_tokens"]) == (["temperature"], False, 900)
    assert one["learned_at"] < one["expires_at"]
    rest = learned.get("/v1/llm-profiles", after=first["last_id"])
    assert [one["base_url"] for one in rest["data"]] == [OPENAI]


def test_a_profile_of_another_release_is_listed_and_can_be_reset(learned: Service) -> None:
    with learned.db.write() as tx:
        llm_profiles.save(tx, base_url=A, model="m", profile={"level": "xml"}, expires_at=time.time() + 60)
    one = learned.get("/v1/llm-profiles")["data"][0]
    assert (one["model"], one["response_format"], one["omitted"]) == ("m", None, [])


def test_a_reset(learned: Service) -> None:
    cases: list[tuple[dict[str, str], int, list[tuple[str, str]]]] = [
        ({"base_url": A, "model": "m"}, 1, [(A, "n"), (B, "m"), (OPENAI, "m")]),
        ({"base_url": f"{A}/"}, 2, [(B, "m"), (OPENAI, "m")]),
        ({"endpoint": "a"}, 2, [(B, "m"), (OPENAI, "m")]),
        ({"endpoint": "default"}, 1, [(A, "m"), (A, "n"), (B, "m")]),
        ({"model": "m"}, 3, [(A, "n")]),
        ({"model": "nonesuch"}, 0, [(A, "m"), (A, "n"), (B, "m"), (OPENAI, "m")]),
        ({"all": "true"}, 4, []),
    ]
    for query, num_deleted, left in cases:
        learn(learned)
        response = learned.http.delete("/v1/llm-profiles", params=query)
        assert (response.status_code, response.json()["num_deleted"]) == (200, num_deleted), query
        assert places(learned) == left, query


def test_an_unclear_reset_is_rejected(learned: Service) -> None:
    cases: list[tuple[dict[str, str], str, str]] = [
        ({}, "all", "must be true if"),
        ({"all": "false"}, "all", "must be true if"),
        ({"all": "true", "model": "m"}, "all", "and only then"),
        ({"endpoint": "a", "base_url": A}, "endpoint", "must not be given with base_url"),
        ({"endpoint": "aa"}, "endpoint", "there is no endpoint 'aa'; did you mean a?"),
    ]
    for query, parameter, detail in cases:
        response = learned.http.delete("/v1/llm-profiles", params=query)
        assert response.status_code == 422
        (error,) = response.json()["errors"]
        assert error["parameter"] == parameter
        assert detail in error["detail"]
    assert len(places(learned)) == 4
