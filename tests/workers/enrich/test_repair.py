"""Repair of failing labels: a correction, a limited number of rounds, and only better responses are accepted."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from attributes.llm.transport import RawResponse, Transport
from store.enrich.assembly import ROUND
from store.lifecycle import transitions
from store.models import EnrichResult, GateFailure, Job, LLMAnswer, Part, RepairRound
from store.sets import reports as set_reports
from tests.workers.enrich_bench import Bench
from workers.enrich import repair

NAMES = ["crane", "heron", "stork", "ibis"]
PARTS = ["bill", "crown", "tail", "wing", "leg", "neck"]


class CorrectableLLM:
    """Gives all labels the same phrases. After a correction, labels in `improves` get phrases of their own, others
    worse ones. `sent`: (label, correction) of each call; the correction may be empty."""

    def __init__(self, *improves: str) -> None:
        self.improves = improves
        self.sent: list[tuple[str, str]] = []

    async def send(self, body: Mapping[str, Any]) -> RawResponse:
        prompt = body["messages"][-1]["content"]
        label = json.loads(next(line for line in prompt.splitlines() if line.startswith("{")))["label"]
        correction = prompt.partition("You were asked this before")[2]
        self.sent.append((label, correction))
        phrases = [f"a plain {part}" for part in PARTS]
        if correction and label in self.improves:
            phrases = [f"a {label}ish{number} {part}" for number, part in enumerate(PARTS)]
        elif correction:
            phrases = [f"a loud {part}" for part in PARTS]
        fields = [{"part": part, "value": "so", "phrase": text} for part, text in zip(PARTS, phrases, strict=True)]
        return RawResponse(
            status="ok",
            latency_s=0.0,
            text=json.dumps({"label": label, "phrases": fields}),
            prompt_tokens=10,
            completion_tokens=5,
        )

    @property
    def corrections(self) -> list[tuple[str, str]]:
        return [(label, correction) for label, correction in self.sent if correction]


def use_llm(monkeypatch: pytest.MonkeyPatch, *improves: str) -> CorrectableLLM:
    llm = CorrectableLLM(*improves)
    monkeypatch.setattr(Transport, "send", lambda _self, body: llm.send(body))
    return llm


def run(bench: Bench, **fields: Any) -> Job:
    return bench.run(bench.vocabulary(NAMES), strategies=["phrases"], **{"mend_rounds": 1, **fields})


def first_texts(bench: Bench, job: Job) -> list[str]:
    return [lines[0]["text"] for lines in bench.lines(job)]


@pytest.mark.slow
def test_only_better_responses_replace_the_first_ones(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    llm = use_llm(monkeypatch, "crane", "heron", "stork")
    job = run(bench)
    assert job.status == "succeeded", job.error
    assert first_texts(bench, job) == ["a craneish0 bill", "a heronish0 bill", "a storkish0 bill", "a plain bill"]
    assert job.result is not None
    assert job.result["mended"] == [{"num_labels": 4, "num_asked": 4, "num_better_labels": 3}]
    assert job.result["usage"]["calls"] == 8
    assert job.result["strategies"][0]["answered"] == 4
    for label, correction in llm.corrections:
        assert label in NAMES
        assert "are also said of other classes" in correction
        assert '"a plain bill"' in correction
    with bench.db.read() as tx:
        results = tx.scalars(select(EnrichResult).where(EnrichResult.job_id == job.id)).all()
        used = [tx.get_one(LLMAnswer, result.key) for result in results]
    assert sorted(result.step for result in results) == [0, 0, 0, 0]
    assert sum("asked this before" in str(response.messages) for response in used) == 3


class TalkingLLM(CorrectableLLM):
    """Gives each label phrases of its own; without a correction, the first phrase of the crane is talk."""

    async def send(self, body: Mapping[str, Any]) -> RawResponse:
        response = await super().send(body)
        label, correction = self.sent[-1]
        fields = json.loads(response.text)
        for number, (part, field) in enumerate(zip(PARTS, fields["phrases"], strict=True)):
            field["phrase"] = f"a {label}ish{number} {part}"
        if label == "crane" and not correction:
            fields["phrases"][0]["phrase"] = "Note: this is hard"
        return replace(response, text=json.dumps(fields))


@pytest.mark.slow
def test_lines_that_are_no_description_are_requested_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    llm = TalkingLLM()
    monkeypatch.setattr(Transport, "send", lambda _self, body: llm.send(body))
    job = run(bench)
    assert job.result is not None
    ((label, correction),) = llm.corrections
    assert label == "crane"
    assert "These are no description" in correction
    assert '["Note: this is hard"]' in correction
    assert first_texts(bench, job)[0] == "a craneish0 bill"
    assert job.result["mended"] == [{"num_labels": 1, "num_asked": 1, "num_better_labels": 1}]
    assert job.result["failing_gates"] == []


@pytest.mark.slow
def test_labels_that_still_fail_are_kept_and_reported(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    use_llm(monkeypatch, "crane", "heron")
    job = run(bench)
    assert job.result is not None
    assert {"own", "shared", "verbatim", "twins"} <= {*job.result["failing_gates"]}
    assert "a plain bill" in first_texts(bench, job)
    with bench.db.read() as tx:
        report = set_reports.get(tx, job.result["attribute_set_id"])
        failing = tx.scalars(select(GateFailure.position).where(GateFailure.gate == "own")).all()
    assert report is not None
    assert sorted(failing) == [2, 3]
    assert next(one for one in report.figures["gates"] if one["gate"] == "own")["figure"] == 2


@pytest.mark.slow
def test_a_second_run_sends_nothing(bench_on_sqlite: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = bench_on_sqlite
    llm = use_llm(monkeypatch, *NAMES)
    vocabulary = bench.vocabulary(NAMES)
    first = bench.run(vocabulary, strategies=["phrases"], mend_rounds=1)
    num_sent = len(llm.sent)
    second = bench.run(vocabulary, strategies=["phrases"], mend_rounds=1)
    assert len(llm.sent) == num_sent == 8
    assert second.result is not None
    assert second.result["usage"]["calls"] == 0
    assert first_texts(bench, first) == first_texts(bench, second) == [f"a {name}ish0 bill" for name in NAMES]


@pytest.mark.slow
@pytest.mark.parametrize("lost", [False, True], ids=["kept", "lost"])
def test_an_equal_round_is_not_judged_again_unless_its_file_is_lost(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    use_llm(monkeypatch, "crane", "heron")
    vocabulary = bench.vocabulary(NAMES)
    first = bench.run(vocabulary, strategies=["phrases"], mend_rounds=1)
    judged: list[int] = []
    evaluate = repair.evaluate_gates
    monkeypatch.setattr(repair, "evaluate_gates", lambda *a, **k: (judged.append(1), evaluate(*a, **k))[1])
    if lost:
        with bench.db.read() as tx:
            (key,) = [one for one in tx.scalars(select(RepairRound.file_key)) if one]
        bench.context.artefacts.delete_below(key)
    second = bench.run(vocabulary, strategies=["phrases"], mend_rounds=1)
    assert bool(judged) == lost
    assert first_texts(bench, first) == first_texts(bench, second)
    assert first.result is not None
    assert second.result is not None
    assert second.result["mended"] == first.result["mended"] != []
    for other in ({"mend_rounds": 2}, {"model": "another", "mend_rounds": 1}):
        judged.clear()
        bench.run(vocabulary, strategies=["phrases"], **other)
        assert judged, other


@pytest.mark.slow
@pytest.mark.parametrize(("rounds", "num_sent"), [(0, 4), (1, 8), (3, 8)])
def test_rounds_end_at_the_limit_or_without_improvement(
    bench_on_sqlite: Bench, monkeypatch: pytest.MonkeyPatch, rounds: int, num_sent: int
) -> None:
    llm = use_llm(monkeypatch)
    job = run(bench_on_sqlite, mend_rounds=rounds)
    assert job.result is not None
    assert len(llm.sent) == num_sent
    assert job.result["mended"] == [{"num_labels": 4, "num_asked": 4, "num_better_labels": 0}] * (rounds > 0)
    assert first_texts(bench_on_sqlite, job) == ["a plain bill"] * 4


@pytest.mark.slow
def test_a_second_round_repairs_the_labels_that_still_fail(
    bench_on_sqlite: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm = use_llm(monkeypatch, "crane", "heron")
    job = run(bench_on_sqlite, mend_rounds=2)
    assert job.result is not None
    assert [one["num_labels"] for one in job.result["mended"]] == [4, 2]
    # The two labels without improvement get the same correction again, and its response is cached.
    assert len(llm.sent) == 8


def test_labels_that_pass_are_not_sent_again(bench_on_sqlite: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    llm = use_llm(monkeypatch)
    bench = bench_on_sqlite
    job = bench.run(bench.vocabulary(["crane"]), strategies=["phrases"], mend_rounds=1)
    assert job.result is not None
    assert (len(llm.sent), job.result["mended"], job.result["failing_gates"]) == (1, [], [])


@pytest.mark.slow
def test_a_stopped_job_keeps_the_first_responses(bench_on_sqlite: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A result of a repair round that was not judged yet is not part of the set."""
    bench = bench_on_sqlite
    use_llm(monkeypatch, *NAMES)
    id = bench.post(bench.vocabulary(NAMES), strategies=["phrases"], mend_rounds=1)
    while (part := bench.next_part()) is not None and part.kind != "mend":
        bench.run_next_part()
    with bench.db.read() as tx:
        kinds = tx.scalars(select(Part.kind).where(Part.job_id == id, Part.status == "succeeded")).all()
    with bench.db.write() as tx:
        tx.add(
            EnrichResult(
                job_id=id,
                step=ROUND,
                position=0,
                slot=0,
                key=tx.scalars(select(LLMAnswer.key)).first(),
                side=0,
                reason=None,
                detail=None,
            )
        )
        if "assemble" not in kinds:
            transitions.cancel(tx, id)
    job = bench.job(id)
    assert job.result is not None
    assert job.result["attribute_set_id"]
    if job.status == "cancelled":
        assert job.result["strategies"][0]["answered"] == 4
