"""Distill jobs with automatic settings and time budgets: the stored config, and dry runs that measure."""

from typing import Any

import pytest

from api.jobs import machine_checks
from api.jobs.machine_checks import TrainingTrial
from distill.config.train_config import TrainConfig
from tests.api.conftest import Service
from tests.job_specs import TEACHER

TRIAL = TrainingTrial(view_s=0.5, step_s=2.0, width=512, chosen={"batch_size": 8, "lr": 0.001})


@pytest.fixture(autouse=True)
def no_student_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_checks, "try_student", lambda config, settings: None)
    monkeypatch.setattr(machine_checks, "_measure", lambda spec, data_root, step_images: TRIAL)


def distill(service: Service, **config: Any) -> dict[str, Any]:
    dataset_id = service.dataset(service.vocabulary())
    return {"kind": "distill", "dataset_id": dataset_id, "teacher": TEACHER, "config": config}


def test_the_stored_config_holds_what_follows_from_the_images(service: Service) -> None:
    body = distill(service)
    job = service.post("/v1/jobs", body, status=202)
    config = TrainConfig.model_validate(job["spec"]["config"])
    assert (config.schedule.epochs, config.data.num_views, config.schedule.batch_size) == (300, 30, 32)
    started = service.post("/v1/jobs", {**body, "config": {"pretrained": True}}, status=202)["spec"]["config"]
    assert started["optimizer"]["lr"] < config.optimizer.lr


def test_a_dry_run_estimates_the_time_if_it_is_asked_to(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    body = distill(service, epochs=10, num_views=3)
    asked: list[int] = []

    def measure(_spec: object, _root: object, step_images: int) -> TrainingTrial:
        asked.append(step_images)
        return TRIAL

    monkeypatch.setattr(machine_checks, "_measure", measure)
    plain = service.post("/v1/jobs?dry_run=true", body, status=200)["training"]
    assert (plain["views_s"], plain["steps_s"], plain["feature_bytes"]) == (None, None, None)
    measured = service.post("/v1/jobs?dry_run=true&measure=true", body, status=200)["training"]
    assert measured["batch_size"] == 6  # all images
    assert asked == [6]
    assert measured["steps_s"] == 2.0 * measured["total_steps"]
    assert measured["views_s"] == 0.5 * measured["teacher_cached"]
    assert measured["feature_bytes"] == 2 * 512 * (measured["teacher_cached"] + measured["measured"])
    assert measured["origins"]["batch_size"].startswith("number of images, 32 to 256; less if the worker's memory")
    assert (measured["settings"]["epochs"], measured["settings"]["batch_size"]) == (10, 8)


def test_a_time_that_is_not_known_is_not_made_up(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    body = distill(service, epochs=10)
    monkeypatch.setattr(machine_checks, "_measure", lambda spec, data_root, step_images: TrainingTrial(step_s=2.0))
    measured = service.post("/v1/jobs?dry_run=true&measure=true", body, status=200)["training"]
    assert (measured["views_s"], measured["feature_bytes"]) == (None, None)
    assert measured["steps_s"] > 0
    for failed in (None, TrainingTrial(error="no")):
        monkeypatch.setattr(machine_checks, "_measure", lambda spec, data_root, step_images, failed=failed: failed)
        measured = service.post("/v1/jobs?dry_run=true&measure=true", body, status=200)["training"]
        assert measured["steps_s"] is None
        assert measured["total_steps"] > 0


def test_a_time_budget_is_fitted_or_refused_by_a_dry_run(service: Service) -> None:
    body = distill(service, time_budget_s=300)
    training = service.post("/v1/jobs?dry_run=true&measure=true", body, status=200)["training"]
    assert training["views_s"] + training["steps_s"] <= 300
    assert training["origins"]["epochs"] == "time budget of 5 min, fitted by the worker"
    assert training["settings"]["epochs"] * training["steps_per_epoch"] == training["total_steps"]
    short = {**body, "config": {"time_budget_s": 3}}
    problem = service.post("/v1/jobs?dry_run=true&measure=true", short, status=422)
    assert problem["code"] == "time_budget_too_short"
    assert problem["errors"][0]["pointer"] == "/config/time_budget_s"
    job = service.post("/v1/jobs", short, status=202)  # the worker may be faster than this machine
    assert job["spec"]["config"]["schedule"]["time_budget_s"] == 3


def test_a_whole_plan_measures_its_training(service: Service) -> None:
    body = {"jobs": [distill(service, epochs=2)]}
    (plain,) = service.post("/v1/plan", body, status=200)["jobs"]
    (measured,) = service.post("/v1/plan?measure=true", body, status=200)["jobs"]
    assert plain["training"]["steps_s"] is None
    assert measured["training"]["steps_s"] > 0


def test_two_lengths_are_refused_where_they_stand(service: Service) -> None:
    body = distill(service)
    for config, pointer in (
        ({"epochs": 3, "time_budget_s": 60}, "/config/time_budget_s"),
        ({"schedule": {"epochs": 3, "images_seen": 60}}, "/config/schedule/images_seen"),
    ):
        problem = service.post("/v1/jobs", {**body, "config": config}, status=422)
        assert problem["errors"][0]["pointer"] == pointer
        assert "both set the length of the training" in problem["errors"][0]["detail"]
