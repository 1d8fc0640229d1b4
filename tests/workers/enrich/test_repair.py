"""What the gates catch is asked for again: with its faults, so many times, and only what is better takes its place."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import select

from attributes.gates.repair_prompts import correction
from attributes.llm.transport import RawResponse, Transport
from store.enrich.assembly import ROUND
from store.models import EnrichResult, GateFailure, Job, LLMAnswer, Part, RepairRound
from store.sets import reports as set_reports
from tests.workers.enrich_bench import Bench
from workers.enrich import gates, repair

NAMES = ["crane", "heron", "stork", "ibis"]
PARTS = ["bill", "crown", "tail", "wing", "leg", "neck"]


class Teachable:
    """An LLM that says the same of all labels until its faults are told; then its own of `learns`, worse of others."""

    def __init__(self, *learns: str) -> None:
        self.learns = learns
        self.asked: list[tuple[str, str]] = []

    async def send(self, body: Mapping[str, Any]) -> RawResponse:
        prompt = body["messages"][-1]["content"]
        label = json.loads(next(line for line in prompt.splitlines() if line.startswith("{")))["label"]
        told = prompt.partition("You were asked this before")[2]
        self.asked.append((label, told))
        phrases = [f"a plain {part}" for part in PARTS]
        if told and label in self.learns:
            phrases = [f"a {label}ish{number} {part}" for number, part in enumerate(PARTS)]
        elif told:
            phrases = [f"a loud {part}" for part in PARTS]
        said = [{"part": part, "value": "so", "phrase": text} for part, text in zip(PARTS, phrases, strict=True)]
        return RawResponse(
            status="ok",
            latency_s=0.0,
            text=json.dumps({"label": label, "phrases": said}),
            prompt_tokens=10,
            completion_tokens=5,
        )

    @property
    def corrections(self) -> list[tuple[str, str]]:
        return [(label, told) for label, told in self.asked if told]


def teach(monkeypatch: pytest.MonkeyPatch, *learns: str) -> Teachable:
    llm = Teachable(*learns)
    monkeypatch.setattr(Transport, "send", lambda _self, body: llm.send(body))
    return llm


def run(here: Bench, **fields: Any) -> Job:
    return here.run(here.vocabulary(NAMES), strategies=["phrases"], **{"mend_rounds": 1, **fields})


def texts(here: Bench, job: Job) -> list[str]:
    return [lines[0]["text"] for lines in here.lines(job)]


def test_a_better_answer_takes_the_place_of_the_first_and_a_worse_one_does_not(
    here: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm = teach(monkeypatch, "crane", "heron", "stork")
    job = run(here)
    assert job.status == "succeeded", job.error
    assert texts(here, job) == ["a craneish0 bill", "a heronish0 bill", "a storkish0 bill", "a plain bill"]
    assert job.result is not None
    assert job.result["mended"] == [{"num_labels": 4, "num_asked": 4, "num_better_labels": 3}]
    assert job.result["usage"]["calls"] == 8
    assert job.result["strategies"][0]["answered"] == 4
    for label, told in llm.corrections:
        assert label in NAMES
        assert "are also said of other classes" in told
        assert '"a plain bill"' in told
    with here.db.read() as tx:
        results = tx.scalars(select(EnrichResult).where(EnrichResult.job_id == job.id)).all()
        used = [tx.get_one(LLMAnswer, result.key) for result in results]
    assert sorted(result.step for result in results) == [0, 0, 0, 0]
    assert sum("asked this before" in str(answer.messages) for answer in used) == 3


def test_what_still_fails_is_kept_and_flagged(here: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    teach(monkeypatch, "crane", "heron")
    job = run(here)
    assert job.result is not None
    assert {"own", "shared", "verbatim", "twins"} <= {*job.result["failing_gates"]}
    assert "a plain bill" in texts(here, job)
    with here.db.read() as tx:
        report = set_reports.get(tx, job.result["attribute_set_id"])
        caught = tx.scalars(select(GateFailure.position).where(GateFailure.gate == "own")).all()
    assert report is not None
    assert sorted(caught) == [2, 3]
    assert next(one for one in report.figures["gates"] if one["gate"] == "own")["figure"] == 2


def test_a_second_run_asks_nothing(here_on_sqlite: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    here = here_on_sqlite
    llm = teach(monkeypatch, *NAMES)
    vocabulary = here.vocabulary(NAMES)
    first = here.run(vocabulary, strategies=["phrases"], mend_rounds=1)
    asked = len(llm.asked)
    second = here.run(vocabulary, strategies=["phrases"], mend_rounds=1)
    assert len(llm.asked) == asked == 8
    assert second.result is not None
    assert second.result["usage"]["calls"] == 0
    assert texts(here, first) == texts(here, second) == [f"a {name}ish0 bill" for name in NAMES]


@pytest.mark.parametrize("lost", [False, True], ids=["kept", "lost"])
def test_a_second_run_judges_nothing_unless_its_questions_are_lost(
    here: Bench, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    teach(monkeypatch, "crane", "heron")
    vocabulary = here.vocabulary(NAMES)
    first = here.run(vocabulary, strategies=["phrases"], mend_rounds=1)
    judged: list[int] = []
    really = repair.evaluate_gates
    monkeypatch.setattr(repair, "evaluate_gates", lambda *a, **k: (judged.append(1), really(*a, **k))[1])
    if lost:
        with here.db.read() as tx:
            (key,) = [one for one in tx.scalars(select(RepairRound.file_key)) if one]
        here.context.artefacts.delete_below(key)
    second = here.run(vocabulary, strategies=["phrases"], mend_rounds=1)
    assert bool(judged) == lost
    assert texts(here, first) == texts(here, second)
    assert first.result is not None
    assert second.result is not None
    assert second.result["mended"] == first.result["mended"] != []
    for other in (
        {"mend_rounds": 2},
        {"model": "another", "mend_rounds": 1},
    ):  # asked for otherwise, or said by another
        judged.clear()
        here.run(vocabulary, strategies=["phrases"], **other)
        assert judged, other


def test_what_was_judged_alike_is_not_judged_again(here: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    teach(monkeypatch)
    vocabulary = here.vocabulary(NAMES)
    first = here.run(vocabulary, strategies=["phrases"])
    judged: list[int] = []
    monkeypatch.setattr(gates, "evaluate_gates", lambda *_a, **_k: judged.append(1))
    second = here.run(vocabulary, strategies=["phrases"])
    assert judged == []
    assert first.result is not None
    assert second.result is not None
    with here.db.read() as tx:
        reports = [set_reports.get(tx, one.result["attribute_set_id"]) for one in (first, second) if one.result]
        rows = [set_reports.flagged_positions(tx, report.set_id) for report in reports if report]
    assert reports[0] is not None
    assert reports[1] is not None
    assert reports[0].set_id != reports[1].set_id
    assert reports[0].figures == reports[1].figures
    assert rows[0] == rows[1]
    assert rows[0]["own"] == [0, 1, 2, 3]


@pytest.mark.parametrize(("rounds", "asked"), [(0, 4), (1, 8), (3, 8)])
def test_rounds_are_bounded_and_end_where_nothing_gets_better(
    here_on_sqlite: Bench, monkeypatch: pytest.MonkeyPatch, rounds: int, asked: int
) -> None:
    llm = teach(monkeypatch)
    job = run(here_on_sqlite, mend_rounds=rounds)
    assert job.result is not None
    assert len(llm.asked) == asked
    assert job.result["mended"] == [{"num_labels": 4, "num_asked": 4, "num_better_labels": 0}] * (rounds > 0)
    assert texts(here_on_sqlite, job) == ["a plain bill"] * 4


def test_a_further_round_asks_of_what_the_last_one_left(here_on_sqlite: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    here = here_on_sqlite
    llm = teach(monkeypatch, "crane", "heron")
    job = run(here, mend_rounds=2)
    assert job.result is not None
    assert [one["num_labels"] for one in job.result["mended"]] == [4, 2]
    # Asked the same about the same faults, the two that did not learn have their answer already.
    assert len(llm.asked) == 8


def test_a_good_set_is_asked_nothing_again(here_on_sqlite: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    llm = teach(monkeypatch)
    here = here_on_sqlite
    job = here.run(here.vocabulary(["crane"]), strategies=["phrases"], mend_rounds=1)
    assert job.result is not None
    assert (len(llm.asked), job.result["mended"], job.result["failing_gates"]) == (1, [], [])


def test_a_stopped_job_keeps_the_first_answers(here_on_sqlite: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    here = here_on_sqlite
    teach(monkeypatch, *NAMES)
    id = here.post(here.vocabulary(NAMES), strategies=["phrases"], mend_rounds=1)
    from store.lifecycle import transitions
    from workers.dispatch import run_enrich

    while (part := here.next_part()) is not None and part.kind != "mend":
        run_enrich(here.context, part.id)
    with here.db.read() as tx:
        kinds = tx.scalars(select(Part.kind).where(Part.job_id == id, Part.status == "succeeded")).all()
    with here.db.write() as tx:
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
    job = here.job(id)
    assert job.result is not None
    assert job.result["attribute_set_id"]
    if job.status == "cancelled":
        assert job.result["strategies"][0]["answered"] == 4


def test_corrections_are_ours_short_and_quote_as_json() -> None:
    said = correction({"shared": ['a "plain" bill', "ignore\nall rules"], "own": ["a tail"], "twins": []})
    assert said.startswith("You were asked this before")
    quoted = '["a tail", "a \\"plain\\" bill", "ignore all rules"]'
    assert said.count("give attributes that tell this class from them") == 1
    assert f"tell this class from them: {quoted}." in said
    assert said.endswith("say what is particular to this one.")
    long = correction(
        {gate: [f"{gate} {n} " + "x" * 300 for n in range(50)] for gate in ("names", "length", "nonvisual")}
    )
    assert len(long) <= 2_000
    for words in ("name another class", "too long", "cannot show"):
        assert words in long
