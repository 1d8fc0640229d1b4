"""Parts of enrich jobs: questions about labels and pairs, and assembly of pages. On both databases."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from sqlalchemy import select

from distill.texts.nearest_labels import nearest_labels, nearest_pairs
from store.lifecycle import transitions
from store.models import EnrichPage, EnrichResult
from tests.workers.enrich_bench import NAMES, Bench, HashingTeacher
from workers.gpu import confusable_labels, inputs


@pytest.fixture
def teacher(monkeypatch: pytest.MonkeyPatch) -> HashingTeacher:
    """Features by hash in place of a loaded teacher."""
    hashing = HashingTeacher()

    class Encoded:
        def __init__(self, features: torch.Tensor) -> None:
            self.features = features

    def encode(teacher: HashingTeacher, prompts: Sequence[Sequence[str]], **_: Any) -> Encoded:
        return Encoded(teacher.features([texts[0] for texts in prompts]))

    monkeypatch.setattr(inputs, "teacher", lambda _context, _ref: hashing)
    monkeypatch.setattr(confusable_labels, "encode_text_targets", encode)
    return hashing


@pytest.mark.slow
def test_lines_of_a_label_are_in_the_order_of_the_strategies(bench: Bench) -> None:
    job = bench.run(bench.vocabulary(NAMES[:20]), strategies=["phrases", "sentence"])
    assert (job.status, job.spec["strategies"]) == ("succeeded", ["phrases@1", "sentence@1"])
    assert job.result is not None
    assert [(one["strategy"], one["answered"], one["failed"]) for one in job.result["strategies"]] == [
        ("phrases@1", 20, {}),
        ("sentence@1", 20, {}),
    ]
    assert sum(one["calls"] for one in job.result["strategies"]) == job.result["usage"]["calls"] == 40
    for lines in bench.lines(job):
        kinds = [line["kind"] for line in lines]
        assert kinds == ["phrase"] * (len(kinds) - 1) + ["sentence"]
        assert {line["strategy"] for line in lines} == {"phrases@1", "sentence@1"}


def test_each_sample_of_each_question_has_a_slot(bench: Bench) -> None:
    job = bench.run(bench.vocabulary(NAMES[:2]), strategies=["questions"], samples=2)
    assert job.result is not None
    (figures,) = job.result["strategies"]
    assert figures["answered"] == len(bench.call_keys(job.id))
    with bench.db.read() as tx:
        slots = tx.scalars(select(EnrichResult.slot).where(EnrichResult.position == 0).order_by(EnrichResult.slot))
        assert list(slots) == list(range(figures["answered"] // 2))


@pytest.mark.slow
def test_an_additional_label_costs_its_own_calls_and_those_of_new_pairs(
    bench_on_sqlite: Bench, teacher: HashingTeacher
) -> None:
    bench = bench_on_sqlite
    fields: dict[str, Any] = {"strategies": ["sentence", "contrast"], "teacher": "ViT-B-32:openai", "neighbours": 3}
    names = [f"{name} {n}" for n in range(2) for name in NAMES][:201]
    first = bench.run(bench.vocabulary(names[:200]), **fields)
    second = bench.run(bench.vocabulary(names), **fields)
    assert first.result is not None
    assert second.result is not None

    def pairs(job_lines: list[list[dict[str, Any]]], labels: Sequence[str]) -> set[frozenset[str]]:
        sentences = [lines[0]["text"] for lines in job_lines]
        texts = [f"a photo of {name} . {text}" for name, text in zip(labels, sentences, strict=True)]
        found = nearest_pairs(nearest_labels(teacher.features(texts), 3))
        return {frozenset((labels[low], labels[high])) for low, high in found}

    before, after = pairs(bench.lines(first), names[:200]), pairs(bench.lines(second), names)
    assert 200 * 3 / 2 <= len(before) <= 200 * 3
    assert first.result["strategies"][1]["answered"] == len(before)
    assert second.result["strategies"][1]["answered"] == len(after)
    new = after - before
    assert 3 <= len(new) < 40
    # One sentence for the label and one question per new pair; all other responses are cached.
    assert len(bench.call_keys(second.id)) == 1 + len(new)
    assert len(bench.call_keys(first.id)) == 200 + len(before)


def test_the_response_about_a_pair_is_stored_at_both_labels(bench: Bench, teacher: HashingTeacher) -> None:
    job = bench.run(bench.vocabulary(NAMES[:2]), strategies=["contrast"], teacher="ViT-B-32:openai", neighbours=1)
    one, other = bench.lines(job)
    assert (job.result or {})["strategies"][0]["answered"] == 1
    assert {line["about"] for line in one} == {NAMES[1]}
    assert {line["about"] for line in other} == {NAMES[0]}
    assert one[0]["value"] == other[0]["other_value"]


def test_a_missing_teacher_fails_the_job_and_keeps_the_responses(bench: Bench) -> None:
    (bench.context.settings.data / "none").mkdir()
    job = bench.run(bench.vocabulary(NAMES[:4]), strategies=["sentence", "contrast"], teacher="local-dir:none")
    assert job.status == "failed"
    assert job.error is not None
    assert job.error["code"] != "internal_error"
    assert (job.result or {})["num_described"] == 4


@pytest.mark.slow
def test_pages_are_assembled_by_parts_and_for_a_stopped_job_when_it_is_finished(bench_on_sqlite: Bench) -> None:
    bench = bench_on_sqlite
    names = [f"{name} {n}" for n in range(3) for name in NAMES][:300]
    complete = bench.run(bench.vocabulary(names), strategies=["sentence"])
    with bench.db.read() as tx:
        assert tx.query(EnrichPage).filter_by(job_id=complete.id).count() == 2
    id = bench.post(bench.vocabulary(names), strategies=["sentence"])
    bench.run_next_part()
    with bench.db.write() as tx:
        transitions.cancel(tx, id)
    stopped = bench.job(id)
    assert stopped.status == "cancelled"
    assert (stopped.result or {})["failed_labels"] == {"cancelled": 300 - 16}
    assert bench.lines(stopped)[:16] == bench.lines(complete)[:16]
    with bench.db.read() as tx:
        assert tx.query(EnrichPage).filter_by(job_id=id).count() == 0
