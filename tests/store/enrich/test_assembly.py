"""Assembly of pages: kept lines of the base set, duplicates, and reuse of pages. On both databases."""

from typing import Any

import pytest

from store.enrich import assembly
from store.sets import attribute_sets
from store.vocabularies import NewLabel
from tests.workers.enrich_bench import LINE, NAMES, Bench


@pytest.mark.slow
def test_kept_lines_are_found_by_label_and_sense_in_any_vocabulary(bench: Bench) -> None:
    crane, machine = NewLabel("Crane", "bird"), NewLabel("Crane", "machine")
    before = bench.vocabulary([crane, machine, "Heron", "Gone", "Stork"])
    human = {**LINE, "text": "drawn by hand", "origin": "human"}
    locked = {**LINE, "text": "kept from before", "locked": True}
    base = bench.put_set(before, [[LINE, human], [locked], [LINE], [human], [LINE, locked]])
    after = bench.vocabulary(["stork", "Heron", "Ibis", NewLabel("crane", "BIRD"), NewLabel("Crane", "dance")])
    job = bench.run(after, strategies=["sentence"], base_set_id=base)
    kept = [[line["text"] for line in lines if line["kind"] == "phrase"] for lines in bench.lines(job)]
    assert kept == [["kept from before"], [], [], ["drawn by hand"], []]
    assert all(lines[-1]["kind"] == "sentence" for lines in bench.lines(job))
    with bench.db.read() as tx:
        assert attribute_sets.get(tx, (job.result or {})["attribute_set_id"]).parent_id is None
    same = bench.run(before, strategies=["sentence"], base_set_id=base)
    with bench.db.read() as tx:
        assert attribute_sets.get(tx, (same.result or {})["attribute_set_id"]).parent_id == base


def test_the_first_of_equal_lines_is_kept(bench: Bench) -> None:
    vocabulary_id = bench.vocabulary(NAMES[:1])
    first = bench.run(vocabulary_id, strategies=["describe"])
    lines = bench.lines(first)[0]
    again = {**lines[2], "locked": True}
    base = bench.put_set(vocabulary_id, [[again]])
    merged = bench.lines(bench.run(vocabulary_id, strategies=["describe"], base_set_id=base))[0]
    assert merged == [again, *(line for line in lines if line is not lines[2])]


@pytest.mark.slow
def test_a_page_of_an_earlier_job_is_reused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    vocabulary_id = bench.vocabulary(NAMES[:20])
    fields: dict[str, Any] = {"strategies": ["sentence", "phrases"]}
    first = bench.run(vocabulary_id, **fields)
    assembled: list[int] = []
    assemble_labels = assembly.assemble_labels

    def counted(tx: Any, job_id: Any, spec: Any, labels: Any) -> Any:
        assembled.append(len(labels))
        return assemble_labels(tx, job_id, spec, labels)

    monkeypatch.setattr(assembly, "assemble_labels", counted)
    assert bench.lines(bench.run(vocabulary_id, **fields)) == bench.lines(first)
    assert assembled == []
    for other in ({"strategies": ["phrases", "sentence"]}, {"strategies": ["sentence"]}):
        assert bench.lines(bench.run(vocabulary_id, **other)) != bench.lines(first)
    base = bench.put_set(vocabulary_id, [[{**LINE, "locked": True}], *([[]] * 19)])
    kept = bench.lines(bench.run(vocabulary_id, **fields, base_set_id=base))
    assert [line["text"] for line in kept[0]][0] == LINE["text"]
    assert kept[1:] == bench.lines(first)[1:]
    assert assembled == [20, 20, 20]
