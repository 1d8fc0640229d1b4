"""Enrich jobs as they run: what is asked, what is asked again, what is kept and what is shared. On both databases."""

import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from sqlalchemy import select, update

from distill.texts.nearest_labels import nearest_labels, nearest_pairs
from examples.fieldguide.world import species
from store.enrich import assembly, single_flight
from store.enrich import results as enrichment
from store.lifecycle import transitions
from store.models import EnrichPage, EnrichResult, LLMFlight, Part
from store.sets import attribute_sets
from store.sets.attribute_sets import EntryContent
from store.vocabularies import NewLabel
from tests.workers.enrich_bench import Bench, HashingTeacher
from workers.dispatch import run_enrich
from workers.enrich import live
from workers.gpu import confusable_labels, inputs

NAMES = [one.name for one in species()]
LINE = {"kind": "phrase", "text": "a long bill", "origin": "llm"}


@pytest.fixture
def teacher(monkeypatch: pytest.MonkeyPatch) -> HashingTeacher:
    """Features by hash in place of a loaded teacher."""
    made = HashingTeacher()

    class Encoded:
        def __init__(self, features: torch.Tensor) -> None:
            self.features = features

    def encode(teacher: HashingTeacher, prompts: Sequence[Sequence[str]], **_: Any) -> Encoded:
        return Encoded(teacher.features([texts[0] for texts in prompts]))

    monkeypatch.setattr(inputs, "teacher", lambda _context, _ref: made)
    monkeypatch.setattr(confusable_labels, "encode_text_targets", encode)
    return made


def put_set(here: Bench, vocabulary_id: str, lines: Sequence[Sequence[dict[str, Any]]]) -> str:
    """A set that says this of each label of a vocabulary."""
    from store import vocabularies

    with here.db.write() as tx:
        labels = vocabularies.labels(tx, vocabulary_id)
        contents = [
            EntryContent(label=label.name, sense=label.sense, lines=list(said), flags=[]) if said else None
            for label, said in zip(labels, lines, strict=True)
        ]
        pages = attribute_sets.put_pages(tx, contents)
        return attribute_sets.create(tx, vocabulary_id=vocabulary_id, pages=pages, source={}).id


def test_a_chain_says_all_of_each_label_in_the_order_of_its_steps(here: Bench) -> None:
    job = here.run(here.vocabulary(NAMES[:20]), strategies=["phrases", "sentence"])
    assert (job.status, job.spec["strategies"]) == ("succeeded", ["phrases@1", "sentence@1"])
    assert job.result is not None
    assert [(one["strategy"], one["answered"], one["failed"]) for one in job.result["strategies"]] == [
        ("phrases@1", 20, {}),
        ("sentence@1", 20, {}),
    ]
    assert sum(one["calls"] for one in job.result["strategies"]) == job.result["usage"]["calls"] == 40
    for lines in here.lines(job):
        kinds = [line["kind"] for line in lines]
        assert kinds == ["phrase"] * (len(kinds) - 1) + ["sentence"]
        assert {line["strategy"] for line in lines} == {"phrases@1", "sentence@1"}


def test_samples_and_questions_are_questions_of_their_own(here: Bench) -> None:
    job = here.run(here.vocabulary(NAMES[:2]), strategies=["questions"], samples=2)
    assert job.result is not None
    (figures,) = job.result["strategies"]
    assert figures["answered"] == len(here.asked(job.id))
    with here.db.read() as tx:
        slots = tx.scalars(select(EnrichResult.slot).where(EnrichResult.position == 0).order_by(EnrichResult.slot))
        assert list(slots) == list(range(figures["answered"] // 2))


def test_a_second_run_asks_nothing_and_order_does_not_matter(here: Bench) -> None:
    first = here.run(here.vocabulary(NAMES[:20]), strategies=["sentence"])
    calls = here.llm.calls
    second = here.run(here.vocabulary(NAMES[:20][::-1]), strategies=["sentence"])
    assert here.llm.calls == calls == 20
    assert here.lines(second) == here.lines(first)[::-1]
    assert (second.result or {})["usage"]["calls"] == 0


def test_one_label_more_costs_its_own_calls_and_the_pairs_that_changed(
    here_on_sqlite: Bench, teacher: HashingTeacher
) -> None:
    here = here_on_sqlite
    chain: dict[str, Any] = {"strategies": ["sentence", "contrast"], "teacher": "ViT-B-32:openai", "neighbours": 3}
    names = [f"{name} {n}" for n in range(2) for name in NAMES][:201]
    first = here.run(here.vocabulary(names[:200]), **chain)
    more = here.run(here.vocabulary(names), **chain)
    assert first.result is not None
    assert more.result is not None

    def pairs(job_lines: list[list[dict[str, Any]]], labels: Sequence[str]) -> set[frozenset[str]]:
        sentences = [lines[0]["text"] for lines in job_lines]
        said = [f"a photo of {name} . {text}" for name, text in zip(labels, sentences, strict=True)]
        found = nearest_pairs(nearest_labels(teacher.features(said), 3))
        return {frozenset((labels[low], labels[high])) for low, high in found}

    before, after = pairs(here.lines(first), names[:200]), pairs(here.lines(more), names)
    assert 200 * 3 / 2 <= len(before) <= 200 * 3
    assert first.result["strategies"][1]["answered"] == len(before)
    assert more.result["strategies"][1]["answered"] == len(after)
    new = after - before
    assert 3 <= len(new) < 40
    # One sentence for the label, and one question for each new pair; all else was answered before.
    assert len(here.asked(more.id)) == 1 + len(new)
    assert len(here.asked(first.id)) == 200 + len(before)


def test_what_tells_a_pair_apart_is_said_of_both(here: Bench, teacher: HashingTeacher) -> None:
    job = here.run(here.vocabulary(NAMES[:2]), strategies=["contrast"], teacher="ViT-B-32:openai", neighbours=1)
    one, other = here.lines(job)
    assert (job.result or {})["strategies"][0]["answered"] == 1
    assert {line["about"] for line in one} == {NAMES[1]}
    assert {line["about"] for line in other} == {NAMES[0]}
    assert one[0]["value"] == other[0]["other_value"]


def test_a_teacher_that_is_not_there_fails_the_job(here: Bench) -> None:
    (here.context.settings.data / "none").mkdir()
    job = here.run(here.vocabulary(NAMES[:4]), strategies=["sentence", "contrast"], teacher="local-dir:none")
    assert job.status == "failed"
    assert job.error is not None
    assert job.error["code"] != "internal_error"
    assert (job.result or {})["num_described"] == 4  # what was answered is kept


def test_two_jobs_at_once_make_each_call_once(here: Bench) -> None:
    here.llm.latency_s = 0.05
    ids = [here.post(here.vocabulary(NAMES[:32]), strategies=["sentence"]) for _ in range(2)]

    def work() -> None:
        give_up = time.monotonic() + 30
        while any(here.job(id).status != "succeeded" for id in ids) and time.monotonic() < give_up:
            here.work()
            time.sleep(0.05)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    one, other = (here.job(id) for id in ids)
    assert (one.status, other.status) == ("succeeded", "succeeded")
    assert here.llm.calls == 32
    assert here.lines(one) == here.lines(other)
    assert sum((job.result or {})["usage"]["calls"] for job in (one, other)) == 32
    with here.db.read() as tx:
        assert tx.scalars(select(LLMFlight.key)).all() == []


def test_a_call_that_failed_elsewhere_is_made_here(here: Bench) -> None:
    here.llm.refused = dict.fromkeys(NAMES[:3], 1)
    ids = [here.post(here.vocabulary(NAMES[:3]), strategies=["sentence"]) for _ in range(2)]
    here.work()
    results = [here.job(id).result or {} for id in ids]
    assert [one["failed_labels"] for one in results] == [{"refused": 3}, {}]
    assert here.llm.calls == 6


def test_what_a_dead_worker_was_asking_is_waited_for_and_then_taken(
    here: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_MAX_WAIT_S", 0.1)
    monkeypatch.setattr(live, "_POLL_S", 0.05)
    first = here.run(here.vocabulary(NAMES[:3]), strategies=["sentence"])
    keys = here.asked(first.id)
    with here.db.write() as tx:
        tx.execute(update(EnrichResult).values(key=None))
        tx.execute(enrichment.LLMAnswer.__table__.delete())  # type: ignore[attr-defined]
        assert single_flight.acquire(tx, "prt_dead", keys, lease_s=60) == set(keys)
    id = here.post(here.vocabulary(NAMES[:4]), strategies=["sentence"])
    here.work()  # asks for the fourth, and steps back
    with here.db.read() as tx:
        part = tx.scalars(select(Part).where(Part.job_id == id, Part.kind == "describe")).one()
        assert (part.status, part.attempts, part.done) == ("queued", 0, 1)
    assert here.llm.calls == 4
    with here.db.write() as tx:
        single_flight.renew(tx, "prt_dead", lease_s=-1)
        tx.execute(update(Part).values(not_before=0.0))
    here.work()
    assert (here.job(id).status, here.llm.calls) == ("succeeded", 7)


def test_kept_lines_follow_label_and_sense_into_any_vocabulary(here: Bench) -> None:
    crane, machine = NewLabel("Crane", "bird"), NewLabel("Crane", "machine")
    before = here.vocabulary([crane, machine, "Heron", "Gone", "Stork"])
    human = {**LINE, "text": "drawn by hand", "origin": "human"}
    locked = {**LINE, "text": "kept from before", "locked": True}
    base = put_set(here, before, [[LINE, human], [locked], [LINE], [human], [LINE, locked]])
    after = here.vocabulary(["stork", "Heron", "Ibis", NewLabel("crane", "BIRD"), NewLabel("Crane", "dance")])
    job = here.run(after, strategies=["sentence"], base_set_id=base)
    kept = [[line["text"] for line in lines if line["kind"] == "phrase"] for lines in here.lines(job)]
    assert kept == [["kept from before"], [], [], ["drawn by hand"], []]
    assert all(lines[-1]["kind"] == "sentence" for lines in here.lines(job))
    with here.db.read() as tx:
        assert attribute_sets.get(tx, (job.result or {})["attribute_set_id"]).parent_id is None
    same = here.run(before, strategies=["sentence"], base_set_id=base)
    with here.db.read() as tx:
        assert attribute_sets.get(tx, (same.result or {})["attribute_set_id"]).parent_id == base


def test_a_line_said_twice_stands_where_it_was_said_first(here: Bench) -> None:
    vocabulary_id = here.vocabulary(NAMES[:1])
    first = here.run(vocabulary_id, strategies=["describe"])
    lines = here.lines(first)[0]
    again = {**lines[2], "locked": True}
    base = put_set(here, vocabulary_id, [[again]])
    merged = here.lines(here.run(vocabulary_id, strategies=["describe"], base_set_id=base))[0]
    assert merged == [again, *(line for line in lines if line is not lines[2])]


def test_labels_that_partly_failed_are_named_by_reason(here: Bench) -> None:
    here.llm.refused = {NAMES[1]: 1}
    job = here.run(here.vocabulary(NAMES[:3]), strategies=["sentence", "phrases"])
    assert job.result is not None
    assert (job.result["num_described"], job.result["failed_labels"]) == (3, {})
    assert (job.result["partly_failed_labels"], job.result["partly_failed_positions"]) == ({"refused": 1}, [1])
    assert sum(one["failed"].get("refused", 0) for one in job.result["strategies"]) == 1


def test_pages_are_put_together_before_the_sealing_and_inline_for_a_stopped_job(here_on_sqlite: Bench) -> None:
    here = here_on_sqlite
    names = [f"{name} {n}" for n in range(3) for name in NAMES][:300]
    whole = here.run(here.vocabulary(names), strategies=["sentence"])
    with here.db.read() as tx:
        assert tx.query(EnrichPage).filter_by(job_id=whole.id).count() == 2
    id = here.post(here.vocabulary(names), strategies=["sentence"])
    part = here.next_part()
    assert part is not None
    run_enrich(here.context, part.id)
    with here.db.write() as tx:
        transitions.cancel(tx, id)
    stopped = here.job(id)
    assert stopped.status == "cancelled"
    assert (stopped.result or {})["failed_labels"] == {"cancelled": 300 - 16}
    assert here.lines(stopped)[:16] == here.lines(whole)[:16]
    with here.db.read() as tx:
        assert tx.query(EnrichPage).filter_by(job_id=id).count() == 0


def test_a_page_that_was_made_before_is_not_made_again(here: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    vocabulary_id = here.vocabulary(NAMES[:20])
    chain: dict[str, Any] = {"strategies": ["sentence", "phrases"]}
    first = here.run(vocabulary_id, **chain)
    read: list[int] = []
    assemble_labels = assembly.assemble_labels

    def counted(tx: Any, job_id: Any, spec: Any, labels: Any) -> Any:
        read.append(len(labels))
        return assemble_labels(tx, job_id, spec, labels)

    monkeypatch.setattr(assembly, "assemble_labels", counted)
    assert here.lines(here.run(vocabulary_id, **chain)) == here.lines(first)
    assert read == []
    for other in ({"strategies": ["phrases", "sentence"]}, {"strategies": ["sentence"]}):
        assert here.lines(here.run(vocabulary_id, **other)) != here.lines(first)
    base = put_set(here, vocabulary_id, [[{**LINE, "locked": True}], *([[]] * 19)])
    kept = here.lines(here.run(vocabulary_id, **chain, base_set_id=base))
    assert [line["text"] for line in kept[0]][0] == LINE["text"]
    assert kept[1:] == here.lines(first)[1:]
    assert read == [20, 20, 20]


def test_a_killed_attempt_is_gone_on_with(here: Bench) -> None:
    """What was committed before the worker died is not asked again, and what it held is taken up at once."""
    id = here.post(here.vocabulary(NAMES[:16]), strategies=["sentence"])
    part = here.next_part()
    assert part is not None
    wrote = live.LiveEnrichment._write
    written = []

    def dies(self: live.LiveEnrichment, outcomes: Any) -> None:
        if written:
            raise MemoryError("the worker is gone")
        wrote(self, outcomes)
        written.extend(outcomes)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live.LiveEnrichment, "_write", dies)
        patch.setattr(live.LiveEnrichment, "_release_locks", lambda _self: None)
        run_enrich(here.context, part.id)
    calls = here.llm.calls
    assert 0 < len(written) < 16
    with here.db.write() as tx:
        assert tx.scalars(select(LLMFlight.owner)).first() == part.id
        tx.execute(update(Part).values(not_before=0.0))
    here.work()
    assert here.job(id).status == "succeeded"
    assert here.llm.calls == calls + 16 - len(written)


def test_partial_results_hold_what_has_come(here: Bench) -> None:
    id = here.post(here.vocabulary(NAMES[:32]), strategies=["sentence"])
    part = here.next_part()
    assert part is not None
    run_enrich(here.context, part.id)
    with here.db.read() as tx:
        assert enrichment.positions_with_results(tx, id, after=-1, limit=100) == list(range(16))
        assert assembly.recorded_pages(tx, id) == {}
