"""What is learned about a model is remembered, per base URL and model, for a limited time."""

import json
import time
from typing import Any

import pytest

from attributes.llm import model_profile
from attributes.llm.model_profile import LIFETIME_S, MAX_FAILURES, LearnedProfiles, ModelProfile
from attributes.llm.settings import LLMSettings
from tests.attributes.conftest import RunQuestion
from tests.attributes.fake_llm import FakeLLM, FakeRequest, FakeResponse, error_response, respond_correctly

SETTINGS = LLMSettings(base_url="http://127.0.0.1:9/v1", model="m")
TOP, LOWER = ModelProfile(), ModelProfile(level="json_object_schema")


def demoted() -> LearnedProfiles:
    profiles = LearnedProfiles()
    profiles.record_success(SETTINGS, TOP)
    for _ in range(MAX_FAILURES - 1):
        profiles.record_failure(SETTINGS, TOP)
        profiles.record_success(SETTINGS, LOWER)
        assert profiles.profile(SETTINGS) == TOP
    profiles.record_failure(SETTINGS, TOP)
    profiles.record_success(SETTINGS, LOWER)
    return profiles


def test_the_level_changes_after_max_failures_in_a_row() -> None:
    profiles = demoted()
    assert profiles.profile(SETTINGS) == LOWER
    profiles.record_success(SETTINGS, TOP)
    assert profiles.profile(SETTINGS) == TOP


def test_a_bad_hour_does_not_demote_a_model_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    profiles = demoted()
    assert profiles.profile(SETTINGS) == LOWER
    monkeypatch.setattr(model_profile.time, "time", lambda: now + 2 * 3600)
    assert profiles.profile(SETTINGS) == TOP
    assert not profiles.is_proven(SETTINGS)


def test_everything_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    profiles = LearnedProfiles()
    profiles.record_success(SETTINGS, ModelProfile(omitted=("temperature",)))
    monkeypatch.setattr(model_profile.time, "time", lambda: now + LIFETIME_S - 60)
    assert profiles.profile(SETTINGS).omitted == ("temperature",)
    monkeypatch.setattr(model_profile.time, "time", lambda: now + LIFETIME_S + 60)
    assert profiles.profile(SETTINGS) == ModelProfile()


def test_questions_in_flight_do_not_undo_what_others_have_learned() -> None:
    profiles = LearnedProfiles()
    profiles.record_success(SETTINGS, TOP)
    profiles.record_refusal(SETTINGS, ModelProfile(omitted=("temperature",)))
    profiles.record_reasoning(SETTINGS, 2_000)
    profiles.record_reasoning(SETTINGS, 1_000)
    profiles.record_success(SETTINGS, TOP)  # sent before
    assert profiles.profile(SETTINGS) == ModelProfile(omitted=("temperature",), reasoning_tokens=2_000)


def test_a_restored_profile_needs_no_probing(llm: FakeLLM, run_question: RunQuestion) -> None:
    def selective(request: FakeRequest, index: int) -> FakeResponse:
        if "max_tokens" in request.body:
            return error_response(400, "Use 'max_completion_tokens' instead.", param="max_tokens")
        return error_response(400) if request.level == "json_schema" else respond_correctly(request, index)

    llm.script = selective
    learned: list[tuple[str, str, dict[str, Any], float]] = []
    profiles = LearnedProfiles(lambda *change: learned.append(json.loads(json.dumps(change))))
    run_question("robin", profiles=profiles)
    run_question("wren", profiles=profiles)
    assert len(learned) == 1
    assert learned[0][:2] == [llm.url, "m"]
    assert learned[0][2]["limit_name"] == "max_completion_tokens"
    before = llm.num_calls
    other = LearnedProfiles()
    other.restore(*learned[0])
    assert run_question("heron", profiles=other).reason is None
    assert llm.num_calls == before + 1


@pytest.mark.parametrize(
    "saved", [{}, {"rung": "prose"}, TOP.as_json() | {"more": 1}, TOP.as_json() | {"level": "xml"}]
)
def test_an_unknown_stored_profile_is_ignored(saved: dict[str, Any]) -> None:
    profiles = LearnedProfiles()
    profiles.restore(SETTINGS.base_url, SETTINGS.model, saved, time.time() + 60)
    assert not profiles.is_proven(SETTINGS)
    assert profiles.profile(SETTINGS) == TOP


def test_a_stored_profile_that_has_expired_is_ignored() -> None:
    profiles = LearnedProfiles()
    profiles.restore(SETTINGS.base_url, SETTINGS.model, LOWER.as_json(), time.time() - 1)
    assert profiles.profile(SETTINGS) == TOP
