"""Repair of labels that fail a quality gate: their questions are sent again with a correction, for a number of rounds.

    mend      judges the current responses, and plans the repair prompts of a round and the parts that send them; from
              round 2 on it first judges the last round's responses, and accepts those that leave a label fewer faults
    correct   sends a chunk of the repair prompts

Responses of round r are stored at steps r * ROUND + step until the next `mend` part has accepted or deleted them; no
other part reads them. Labels that still fail keep their responses, and the report names them.
"""

import json
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple, TypedDict

from sqlalchemy.orm import Session

from attributes.gates.criteria import GateCriteria
from attributes.gates.evaluate import evaluate_gates
from attributes.gates.repair_prompts import REPAIRABLE, correction, num_faults
from attributes.gates.token_lengths import clip_token_counter
from attributes.gates.types import Gate, Report, Violation
from attributes.prompts.questions import questions_for_label
from attributes.types import Entry, Label, line_from_json
from limbeck.shared.text import counted
from store import vocabularies
from store.enrich import assembly, repair_rounds, results
from store.enrich.assembly import ROUND
from store.enrich.results import ResultSlot
from store.jobs import claims, jobs
from store.jobs.claims import Claim
from store.jobs.jobs import NewPart
from store.jobs.part_results import PartResult, RepairCounts, RepairResult
from store.jobs.specs import CorrectSpec, DescribeSpec, RepairSpec
from store.sets.attribute_sets import PAGE_SIZE
from workers.enrich import free_memory, gates, llm_settings
from workers.enrich.enrichment import create_enrichment
from workers.enrich.questions import PlannedQuestion
from workers.runtime.context import Context
from workers.runtime.errors import Stopped
from workers.runtime.lease_renewal import LeaseRenewal
from workers.runtime.run_part import Publish

QUESTIONS_PER_PART = 256
_LABELS_PER_QUERY = 512
_ALGORITHM = 1  # version of how repairs are planned; part of the digest of a round


class RepairQuestion(TypedDict):
    """A line of the file of repair prompts. `faults`: the number of faults of the label before the repair."""

    position: int
    step: int
    slot: int
    faults: int
    correction: str


def plan_repairs(context: Context, claim: Claim, lease: LeaseRenewal) -> Publish:
    """Accept the better responses of the last round, then plan the repair prompts of this round."""
    return _RoundPlanner(context, claim, lease).run()


def query_repairs(context: Context, claim: Claim, lease: LeaseRenewal) -> Publish:
    """Send a chunk of a round's repair prompts."""
    spec, part = claim.job(DescribeSpec), claim.part(CorrectSpec)
    strategies = llm_settings.strategies(context, spec)
    with context.artefacts.open(part.file_key) as file:
        file.seek(part.start)
        repairs: list[RepairQuestion] = [json.loads(line) for line in file.read(part.stop - part.start).splitlines()]
    positions = sorted({repair["position"] for repair in repairs})
    with context.db.read() as tx:
        rows = vocabularies.labels_at(tx, spec.vocabulary_id, positions)
        finished = results.finished_questions(tx, claim, start=positions[0], stop=positions[-1] + 1)
    labels = {row.position: Label(row.name, row.sense) for row in rows}
    questions = []
    for repair in repairs:
        slot = ResultSlot(part.round * ROUND + repair["step"], repair["position"], repair["slot"])
        if (slot.step, slot.position, slot.slot) in finished:
            continue
        label = labels[repair["position"]]
        question = questions_for_label(strategies[repair["step"]], label, spec.domain)[repair["slot"]]
        questions.append(PlannedQuestion(replace(question, correction=repair["correction"]), (slot,), str(label)))
    enrichment = create_enrichment(context, lease, total=len(repairs), unit="answers")
    enrichment.run(iter(questions), num_finished=len(repairs) - len(questions))
    return lambda _tx: PartResult()


@dataclass(frozen=True)
class _RoundOutcome:
    """The outcome of a round; the names of the fields are a stored format.

    `num_labels` labels fail a gate. `chunks`: (first byte, end, number of questions) in the file of repair prompts.
    `has_last`: there was a round before; its responses are better at the positions in `better`.
    """

    num_labels: int = 0
    chunks: Sequence[tuple[int, int, int]] = ()
    file_key: str | None = None
    has_last: bool = False
    better: Sequence[int] = ()


class _RoundPlanner:
    """Runs the `mend` part of one round."""

    def __init__(self, context: Context, claim: Claim, lease: LeaseRenewal) -> None:
        self._context, self._claim, self._lease = context, claim, lease
        self._spec, self._round = claim.job(DescribeSpec), claim.part(RepairSpec).round
        tokens = gates.known_tokens(context, self._spec.teacher or "") or clip_token_counter()
        self._criteria = GateCriteria(
            word_lists=gates.word_lists(context),
            token_counter=tokens,
            language=gates.gate_language(self._spec.language),
        )
        strategies = llm_settings.strategies(context, self._spec)
        self._steps = [step for step, strategy in enumerate(strategies) if strategy.about == "label"]

    def run(self) -> Publish:
        with self._context.db.read() as tx:
            inputs = repair_rounds.inputs_of(tx, self._claim.job_id, self._spec, self._digest_inputs())
        outcome = self._stored_outcome(inputs) or self._judge()
        num_questions = sum(total for _, _, total in outcome.chunks)
        if num_questions:
            self._lease.note(
                f"{counted(outcome.num_labels, 'label fails', 'labels fail')} a gate: "
                f"{counted(num_questions, 'question is', 'questions are')} sent again with a correction",
                round=self._round,
                num_labels=outcome.num_labels,
                num_asked=num_questions,
            )
        parts = [
            NewPart(
                kind="correct",
                queue="enrich",
                stage=self._claim.stage + 1,
                unit="answers",
                total=total,
                spec=CorrectSpec(round=self._round, file_key=outcome.file_key or "", start=start, stop=stop),
            )
            for start, stop, total in outcome.chunks
        ]

        def publish(tx: Session) -> PartResult:
            stored = asdict(outcome)
            repair_rounds.put(tx, inputs=inputs, file_key=stored.pop("file_key"), outcome=stored)
            if outcome.has_last:
                results.accept_repairs(tx, self._claim, round=self._round - 1, positions=outcome.better)
            jobs.add_parts(tx, self._claim, parts)
            counts = RepairCounts(
                round=self._round,
                num_labels=outcome.num_labels,
                num_asked=num_questions,
                num_better=len(outcome.better),
                file_key=outcome.file_key,
            )
            return RepairResult(mended=counts)

        return publish

    def _digest_inputs(self) -> dict[str, object]:
        """Everything that decides the outcome of a round, except for the job's results. The keys enter a digest."""
        return {
            "way": _ALGORITHM,
            "judges": self._criteria.digest,
            "round": self._round,
            "rounds": self._spec.mend_rounds,
            "strategies": list(self._spec.strategies),
            "steps": self._steps,
        }

    def _stored_outcome(self, inputs: str) -> "_RoundOutcome | None":
        """The outcome of an equal round of an earlier job; None if there is none or its file is deleted."""
        with self._context.db.read() as tx:
            stored = repair_rounds.outcome(tx, inputs)
        if stored is None:
            return None
        if stored.file_key is not None:
            try:
                self._context.artefacts.open(stored.file_key).close()
            except FileNotFoundError:
                return None
        return _RoundOutcome(**stored.outcome, file_key=stored.file_key)

    def _judge(self) -> "_RoundOutcome":
        """Judge the last round, then plan this one, except after the last allowed round or one without improvement."""
        faults_before = self._faults_before_last_round()
        better = self._improved_labels(faults_before) if faults_before else set()
        outcome = _RoundOutcome()
        if self._round <= self._spec.mend_rounds and (self._round == 1 or better):
            outcome = self._plan_questions(better)
        return replace(outcome, has_last=bool(faults_before), better=sorted(better))

    def _faults_before_last_round(self) -> dict[int, int]:
        """Position -> number of faults before the last round, of the labels that it tried to repair."""
        if self._round == 1:
            return {}
        with self._context.db.read() as tx:
            last = claims.result_of(tx, self._claim, RepairResult)
        key = last.mended.file_key if last else None
        if key is None:
            return {}
        with self._context.artefacts.open(key) as file:
            return {repair["position"]: repair["faults"] for repair in map(json.loads, file)}

    def _improved_labels(self, faults_before: Mapping[int, int]) -> set[int]:
        """The labels that have fewer faults with the last round's responses.

        All new responses are judged together first. Labels that still have faults are then judged with their earlier
        responses: what these share with other labels may not be shared with the new responses of those labels.
        """
        faults_new = self._count_faults(faults_before, only=None)
        better = {position for position, before in faults_before.items() if faults_new[position] < before}
        faults_better = faults_new
        if len(better) < len(faults_before):
            faults_better = self._count_faults(faults_before, only=better)
        doubtful = {position for position in better if faults_better[position]}
        if doubtful:
            faults_reverted = self._count_faults(faults_before, only=better - doubtful)
            better -= {position for position in doubtful if faults_reverted[position] < faults_better[position]}
        return better

    def _count_faults(self, positions: Collection[int], *, only: Collection[int] | None) -> Counter[int]:
        """The number of faults of each label, with the last round's responses at the positions in `only`, or at all."""
        faults: Counter[int] = Counter()

        def count(violation: Violation) -> None:
            if violation.position in positions:
                faults[violation.position] += num_faults(violation, self._criteria.thresholds)

        self._evaluate(count, only=only)
        return faults

    def _plan_questions(self, better: Collection[int]) -> "_RoundOutcome":
        """Judge the current responses and write the repair prompts of the failing labels to a file."""
        self._context.settings.cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="repair-", dir=self._context.settings.cache) as folder:
            violations = Path(folder) / "violations"
            with violations.open("w", encoding="utf-8") as out:

                def write(violation: Violation) -> None:
                    lines = [[line.call, line.text] for line in violation.lines]
                    faults = num_faults(violation, self._criteria.thresholds)
                    out.write(json.dumps([violation.position, violation.gate, faults, lines]) + "\n")

                report = self._evaluate(write, only=better)
            failing = {result.gate for result in report.results if result.holds is False} & {*REPAIRABLE}
            questions = Path(folder) / "questions.jsonl"
            num_labels, ends = self._write_questions(violations, failing, questions, better)
            file_key = None
            if num_labels:
                file_key = self._context.artefacts.put_file(questions, f"{self._claim.place}/questions.jsonl").key
        return _RoundOutcome(num_labels=num_labels, chunks=_chunks(ends), file_key=file_key)

    def _write_questions(
        self, violations: Path, failing: Collection[Gate], path: Path, better: Collection[int]
    ) -> tuple[int, list[int]]:
        """Write the repair prompts. Returns the number of labels, and the byte offsets: 0 and the end of each line."""
        num_labels, ends = 0, [0]
        with path.open("wb") as out:
            for labels in _violations_by_label(violations, failing):
                slots = self._current_slots([label.position for label in labels], better)
                for label in labels:
                    questions = _questions_to_repair(label.violations, slots.get(label.position, {}))
                    num_labels += bool(questions)
                    for (step, slot), faults in questions.items():
                        repair = RepairQuestion(
                            position=label.position,
                            step=step,
                            slot=slot,
                            faults=label.num_faults,
                            correction=correction(faults),
                        )
                        out.write(json.dumps(repair).encode() + b"\n")
                        ends.append(out.tell())
        return num_labels, ends

    def _current_slots(
        self, positions: Sequence[int], better: Collection[int]
    ) -> dict[int, dict[str, tuple[int, int]]]:
        """Position -> key of a current response -> (step, slot) of its question; only questions about labels."""
        with self._context.db.read() as tx:
            rows = assembly.current_results(tx, self._claim.job_id, positions, trial=self._round - 1, only=better)
        slots: defaultdict[int, dict[str, tuple[int, int]]] = defaultdict(dict)
        for row in rows:
            if row.key is not None and row.step % ROUND in self._steps:
                slots[row.position][row.key] = row.step % ROUND, row.slot
        return slots

    def _evaluate(self, on_violation: Callable[[Violation], None], *, only: Collection[int] | None) -> Report:
        """Judge the current responses with those of the last round at the positions in `only`, or at all positions."""
        num_labels, trial = self._spec.num_labels, self._round - 1
        done = 0

        def entries() -> Iterator[Entry]:
            nonlocal done
            for start in range(0, num_labels, PAGE_SIZE):
                with self._context.db.read() as tx:
                    labels = vocabularies.labels(tx, self._spec.vocabulary_id, start=start, stop=start + PAGE_SIZE)
                    assembled = assembly.assemble_labels(
                        tx, self._claim.job_id, self._spec, labels, trial=trial, only=only
                    )
                for label, content in zip(labels, assembled, strict=True):
                    yield Entry(label.name, label.sense, tuple(map(line_from_json, content.lines)))
                done += len(labels)
                self._lease.progress(done // 2, num_labels, "labels")

        try:
            return evaluate_gates(
                entries, self._criteria, on_violation=on_violation, should_stop=self._lease.should_stop
            )
        except InterruptedError:
            raise Stopped from None
        finally:
            free_memory.release_free_memory()


def _chunks(ends: Sequence[int]) -> list[tuple[int, int, int]]:
    """(first byte, end, number of questions) of each part; `ends`: byte offsets 0 and of the end of each question."""
    last = len(ends) - 1
    firsts = range(0, last, QUESTIONS_PER_PART)
    stops = [min(first + QUESTIONS_PER_PART, last) for first in firsts]
    return [(ends[first], ends[stop], stop - first) for first, stop in zip(firsts, stops, strict=True)]


class _GateViolation(NamedTuple):
    """A gate, and (cache key of the response, text) of the violating lines; no lines: the whole set of lines."""

    gate: Gate
    lines: list[tuple[str, str]]


class _LabelViolations(NamedTuple):
    """The violations of the failing gates at a label; `num_faults` counts the faults of all gates."""

    position: int
    num_faults: int
    violations: list[_GateViolation]


def _violations_by_label(path: Path, failing: Collection[Gate]) -> Iterator[list[_LabelViolations]]:
    """The labels that violate one of the failing gates, in lists of `_LABELS_PER_QUERY`."""
    labels: list[_LabelViolations] = []
    with path.open(encoding="utf-8") as file:
        for position, group in groupby(map(json.loads, file), key=itemgetter(0)):
            rows = list(group)
            violations = [_GateViolation(gate, lines) for _, gate, _, lines in rows if gate in failing]
            if violations:
                labels.append(_LabelViolations(position, sum(faults for _, _, faults, _ in rows), violations))
            if len(labels) == _LABELS_PER_QUERY:
                yield labels
                labels = []
    if labels:
        yield labels


def _questions_to_repair(
    violations: Sequence[_GateViolation], slots: Mapping[str, tuple[int, int]]
) -> dict[tuple[int, int], dict[Gate, list[str]]]:
    """(step, slot) of the questions to send again -> gate -> texts of the violating lines.

    Set-level violations apply to every response. Lines without a question of this job (human lines) are not repaired.
    """
    questions: dict[tuple[int, int], dict[Gate, list[str]]] = {}
    for gate, lines in violations:
        for key, text in lines:
            if key in slots:
                questions.setdefault(slots[key], {}).setdefault(gate, []).append(text)
        for slot in slots.values() if not lines else ():
            questions.setdefault(slot, {}).setdefault(gate, [])
    return questions
