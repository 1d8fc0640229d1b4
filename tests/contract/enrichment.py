"""Contract of enrich jobs: killed workers, an LLM that fails for some or all labels, and no question sent twice."""

import random
import time
from typing import Any

import pytest

from examples.fieldguide.world import species
from limbeck.errors import JobFailed
from limbeck.models import Job
from tests.contract.cluster import Cluster, wait_until
from tests.contract.fixtures import wait_for_end


def test_an_enrichment_with_killed_workers_has_the_same_result(cluster: Cluster) -> None:
    """The set equals the set of an uninterrupted job, and only calls that were in flight at a kill are repeated."""
    labels = [one.name for one in species("validation")][:32]
    concurrency = int(cluster.env["LIMBECK_LLM_CONCURRENCY"]) * (4 if cluster.mode == "distributed" else 1)
    vocabularies = [cluster.client.vocabularies.create(f"v{n}", labels, domain=f"creatures {n}") for n in range(2)]
    calls_before = cluster.llm.stats()["calls"]
    job = cluster.client.jobs.create("enrich", vocabulary_id=vocabularies[0].id, mend_rounds=0)
    rng = random.Random(7)
    num_kills = 3
    for _ in range(num_kills):
        wait_until(lambda: cluster.client.jobs.get(job.id).status == "running", what="enrich job running")
        time.sleep(rng.uniform(0.05, 0.5))
        cluster.kill(cluster.enrich_worker)
        cluster.start(cluster.enrich_worker)
    interrupted = wait_for_end(cluster, job, timeout_s=90)
    calls = cluster.llm.stats()["calls"] - calls_before
    assert len(labels) <= calls <= len(labels) + num_kills * concurrency
    assert interrupted.spend is not None
    assert interrupted.spend.calls >= calls
    uninterrupted = cluster.client.jobs.wait(
        cluster.client.jobs.create("enrich", vocabulary_id=vocabularies[1].id, mend_rounds=0)
    )
    sets = [attributes_of(cluster, done) for done in (interrupted, uninterrupted)]
    assert sets[0] == sets[1]
    assert [row[0] for row in sets[0]] == labels


def test_concurrent_enrichments_share_their_calls(cluster: Cluster) -> None:
    labels = [one.name for one in species("validation")][:24]
    vocabularies = [cluster.client.vocabularies.create(f"v{n}", labels, domain="shared") for n in range(2)]
    calls = cluster.llm.stats()["calls"]
    jobs_at_once = [
        cluster.client.jobs.create("enrich", vocabulary_id=one.id, strategies=["sentence"], mend_rounds=0)
        for one in vocabularies
    ]
    one, other = (cluster.client.jobs.wait(job, timeout_s=60) for job in jobs_at_once)
    assert cluster.llm.stats()["calls"] - calls == len(labels)
    assert attributes_of(cluster, one) == attributes_of(cluster, other)
    assert sum((job.result or {})["usage"]["calls"] for job in (one, other)) == len(labels)


def test_no_call_is_made_after_a_cancel(cluster: Cluster) -> None:
    """Of 300 calls, with the workers of all processes at work."""
    cluster.llm.set_faults([{"fault": "slow", "seconds": 0.2}])
    vocabulary = cluster.client.vocabularies.create("v", [f"Label {n}" for n in range(300)], domain="cancelled")
    calls_before = cluster.llm.stats()["calls"]
    job = cluster.client.jobs.create("enrich", vocabulary_id=vocabulary.id, strategies=["sentence"], mend_rounds=0)
    wait_until(lambda: cluster.llm.stats()["calls"] > calls_before, what="first call")
    time.sleep(0.3)
    cluster.client.jobs.cancel(job.id)
    ended = wait_for_end(cluster, job, timeout_s=5)
    calls = cluster.llm.stats()["calls"] - calls_before
    time.sleep(0.3)
    assert (ended.status, cluster.llm.stats()["calls"] - calls_before) == ("cancelled", calls)
    assert calls < 200
    assert (ended.result or {})["usage"]["calls"] == calls


@pytest.mark.nightly
def test_a_paused_enrichment_makes_no_call_and_repeats_none_after_the_resume(cluster: Cluster) -> None:
    cluster.llm.set_faults([{"fault": "slow", "seconds": 0.2}])
    labels = [f"Label {n}" for n in range(100)]
    vocabulary = cluster.client.vocabularies.create("v", labels, domain="paused")
    calls_before = cluster.llm.stats()["calls"]
    job = cluster.client.jobs.create("enrich", vocabulary_id=vocabulary.id, strategies=["sentence"], mend_rounds=0)
    wait_until(lambda: cluster.llm.stats()["calls"] > calls_before, what="first call")
    cluster.client.jobs.pause(job.id)
    time.sleep(2)
    calls = cluster.llm.stats()["calls"]
    wait_until(lambda: cluster.client.jobs.get(job.id).status == "paused", what="paused job")
    time.sleep(1)
    assert cluster.llm.stats()["calls"] == calls
    assert calls - calls_before < len(labels)
    assert cluster.client.jobs.get(job.id).status == "paused"
    cluster.client.jobs.resume(job.id)
    done = wait_for_end(cluster, job, timeout_s=180)
    assert (done.status, cluster.llm.stats()["calls"] - calls_before) == ("succeeded", len(labels))
    assert (done.result or {})["usage"]["calls"] == len(labels)


def attributes_of(cluster: Cluster, job: Job) -> list[Any]:
    assert job.result is not None
    entries = cluster.client.attribute_sets.labels(job.result["attribute_set_id"])
    return [(entry.label, entry.sentence, list(entry.phrases)) for entry in entries]


def test_a_repeated_enrichment_makes_no_calls(cluster: Cluster, dataset_id: str, attribute_set_id: str) -> None:
    calls = cluster.llm.stats()["calls"]
    repeated = cluster.client.jobs.wait(
        cluster.client.jobs.create("enrich", vocabulary_id=cluster.client.datasets.get(dataset_id).vocabulary_id)
    )
    assert cluster.llm.stats()["calls"] == calls
    assert (repeated.result or {})["usage"]["calls"] == 0


def test_failed_labels_are_reported_and_the_others_are_kept(cluster: Cluster) -> None:
    labels = [one.name for one in species("validation")][32:38]
    cluster.llm.set_faults(
        [
            {"fault": "refusal", "label": labels[1]},
            {"fault": "rubbish", "label": labels[3]},
            {"fault": "status", "status": 500, "label": labels[4], "attempts": [0]},
        ]
    )
    vocabulary = cluster.client.vocabularies.create("v", labels, domain="with faults")
    job = cluster.client.jobs.wait(
        cluster.client.jobs.create("enrich", vocabulary_id=vocabulary.id, mend_rounds=0), timeout_s=60
    )
    assert job.result is not None
    assert job.result["num_described"] == 4
    assert job.result["failed_positions"] == [1, 3]
    assert job.result["failed_labels"]["refused"] == 1
    warnings = [event for event in cluster.client.jobs.events(job.id) if event.level == "warning"]
    assert any(labels[1] in event.message and "refused" in event.message for event in warnings)
    cluster.llm.set_faults([])
    calls = cluster.llm.stats()["calls"]
    repeated = cluster.client.jobs.wait(
        cluster.client.jobs.create("enrich", vocabulary_id=vocabulary.id, mend_rounds=0), timeout_s=60
    )
    assert (repeated.result or {})["num_described"] == 6
    assert cluster.llm.stats()["calls"] - calls == 2


def test_a_job_without_any_described_label_fails(cluster: Cluster) -> None:
    cluster.llm.set_faults([{"fault": "refusal"}])
    vocabulary = cluster.client.vocabularies.create("v", ["Alpha", "Beta"], domain="refused")
    with pytest.raises(JobFailed):
        cluster.client.jobs.wait(cluster.client.jobs.create("enrich", vocabulary_id=vocabulary.id), timeout_s=60)
    (failed,) = [job for job in cluster.client.jobs.list() if job.spec.get("vocabulary_id") == vocabulary.id]
    assert failed.error is not None
    assert failed.error.code == "all_labels_failed"
    assert (failed.result or {})["failed_labels"] == {"refused": 2}


def test_an_unknown_model_stops_the_job_at_the_first_calls(cluster: Cluster) -> None:
    cluster.llm.set_faults([{"fault": "status", "status": 404}])
    labels = [f"Label {n}" for n in range(60)]
    vocabulary = cluster.client.vocabularies.create("v", labels, domain="no model")
    calls = cluster.llm.stats()["calls"]
    failed = wait_for_end(cluster, cluster.client.jobs.create("enrich", vocabulary_id=vocabulary.id), timeout_s=60)
    assert failed.status == "failed"
    assert failed.error is not None
    assert failed.error.code == "llm_unknown_model"
    assert cluster.llm.stats()["calls"] - calls <= 16
