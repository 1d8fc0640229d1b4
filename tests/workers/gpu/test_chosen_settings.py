"""Settings that a worker chooses: in the training, in the result of the job, and in the manifest of the student."""

import json
from collections.abc import Callable

import pytest

from distill.bundle.verify import MANIFEST_FILE
from distill.config.time_budget import Rates
from distill.fitting import choice
from store.blobs import reading
from store.jobs import claims, events, jobs
from tests.workers.gpu.test_distill import context, new_job, run_next  # noqa: F401
from workers.runtime.context import Context


@pytest.mark.slow
def test_a_time_budget_in_a_job(
    context: Context,  # noqa: F811
    new_job: Callable[..., str],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(choice, "first_rates", lambda *_: Rates(decode_s=0, view_s=1, step_s=10))
    monkeypatch.setattr(choice, "step_seconds", lambda *_: 10)
    job_id = new_job(time_budget_s=300, automatic=["epochs", "precision"])
    assert [run_next(context) for _ in range(3)] == ["encode", "train", "evaluate"]
    with context.db.read() as tx:
        result = jobs.get(tx, job_id).result
        listed = events.after(tx, job_id, 0, limit=1000)
        assert result is not None
        files = reading.contents(tx, str(result["checkpoint_id"]), (MANIFEST_FILE,))
    chosen = result["chosen"]
    assert (chosen["precision"], chosen["batch_size"]) == ("float32", 2)
    assert chosen["epochs"] > 1
    assert result["num_steps"] % chosen["epochs"] == 0
    assert "automatic settings" in [event.data["stage"] for event in listed if "stage" in event.data]
    assert sum(event.message.startswith("time budget 5 min: ") for event in listed) == 2
    reading.get_file(context.artefacts, files[MANIFEST_FILE], context.settings.home / "manifest.json")
    manifest = (context.settings.home / "manifest.json").read_text(encoding="utf-8")
    assert f'"epochs": {chosen["epochs"]}' in json.dumps(json.loads(manifest))


@pytest.mark.slow
def test_a_job_whose_time_is_too_short_fails_with_what_fits(
    context: Context,  # noqa: F811
    new_job: Callable[..., str],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(choice, "first_rates", lambda *_: Rates(decode_s=0, view_s=0, step_s=1000))
    job_id = new_job(time_budget_s=60, automatic=["epochs"])
    assert [run_next(context) for _ in range(2)] == ["encode", "train"]
    with context.db.read() as tx:
        job = jobs.get(tx, job_id)
        assert claims.ready(tx, ["gpu"]) == []
    assert job.error is not None
    assert job.error["code"] == "time_budget_too_short"
    assert "give at least" in job.error["message"]
