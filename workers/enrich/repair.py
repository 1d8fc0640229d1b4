"""What the gates catch is asked for again, pointedly, for as many rounds as the job allows.

    mend      judges what is said so far, makes the questions to ask again and the parts that ask them; before that,
              from the second on, judges the last round's answers and lets those stand that leave a label fewer faults
    correct   a chunk of these questions

The answers of round r stand beside the job's own as steps r * ROUND + step until the next mend part has chosen; no
other part sees them. What still fails stays as it is, and the report names it.
"""

import json
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from attributes.gates.criteria import GateCriteria
from attributes.gates.evaluate import evaluate_gates
from attributes.gates.repair_prompts import REPAIRABLE, correction, num_faults
from attributes.gates.token_lengths import clip_token_counter
from attributes.gates.types import Gate, Report, Violation
from attributes.prompts.questions import questions_for_label
from attributes.types import Entry, Label, line_from_json
from store import vocabularies
from store.enrich import assembly, results
from store.enrich import repair_rounds as mend_rounds
from store.enrich.assembly import ROUND
from store.enrich.results import Place
from store.jobs import claims, jobs
from store.jobs.claims import Claim
from store.jobs.jobs import NewPart
from store.jobs.part_results import PartResult, RepairCounts, RepairResult
from store.jobs.specs import CorrectSpec, DescribeSpec, RepairSpec
from store.sets.attribute_sets import PAGE_SIZE
from workers.enrich import gates, llm_settings
from workers.enrich.batch import asking_for
from workers.enrich.questions import PlannedQuestion
from workers.runtime import memory
from workers.runtime.context import Context
from workers.runtime.errors import Stopped
from workers.runtime.lease_renewal import Keeper
from workers.runtime.run_part import Publish

QUESTIONS_PER_PART = 256
_AT_ONCE = 512
_WAY = 1  # of choosing what to ask again; another way wants another number


def mend(context: Context, claim: Claim, keeper: Keeper) -> Publish:
    """Choose between the last round's answers and those before, then make the next round's questions."""
    return _Mending(context, claim, keeper).run()


def correct(context: Context, claim: Claim, keeper: Keeper) -> Publish:
    """Ask a chunk of a round's questions."""
    spec, part = claim.job(DescribeSpec), claim.part(CorrectSpec)
    steps = llm_settings.strategies(context, spec)
    with context.artefacts.open(part.file_key) as file:
        file.seek(part.start)
        asked = [json.loads(line) for line in file.read(part.stop - part.start).splitlines()]
    positions = sorted({one["position"] for one in asked})
    with context.db.read() as tx:
        rows = vocabularies.labels_at(tx, spec.vocabulary_id, positions)
        ended = results.ended(tx, claim, start=positions[0], stop=positions[-1] + 1)
    labels = {row.position: Label(row.name, row.sense) for row in rows}
    questions = []
    for one in asked:
        place = Place(part.round * ROUND + one["step"], one["position"], one["slot"])
        if (place.step, place.position, place.slot) in ended:
            continue
        label = labels[one["position"]]
        ask = questions_for_label(steps[one["step"]], label, spec.domain)[one["slot"]]
        questions.append(PlannedQuestion(replace(ask, correction=one["correction"]), (place,), str(label)))
    asking = asking_for(context, keeper, total=len(asked), unit="answers")
    asking.through(iter(questions), num_ended=len(asked) - len(questions))
    return lambda _tx: PartResult()


@dataclass(frozen=True)
class _Outcome:
    """What a round comes to: labels that fail, the questions to ask again, as (first byte, end, how many) of a file,
    and the positions at which the last round's answers are better, where there was one."""

    num_labels: int = 0
    chunks: Sequence[tuple[int, int, int]] = ()
    file_key: str | None = None
    has_last: bool = False
    better: Sequence[int] = ()


class _Mending:
    def __init__(self, context: Context, claim: Claim, keeper: Keeper) -> None:
        self._context, self._claim, self._keeper = context, claim, keeper
        self._spec, self._round = claim.job(DescribeSpec), claim.part(RepairSpec).round
        tokens = gates.known_tokens(context, self._spec.teacher or "") or clip_token_counter()
        self._judges = GateCriteria(word_lists=gates.word_lists(context), token_counter=tokens)
        chain = llm_settings.strategies(context, self._spec)
        self._steps = [step for step, strategy in enumerate(chain) if strategy.about == "label"]

    def run(self) -> Publish:
        with self._context.db.read() as tx:
            inputs = mend_rounds.inputs_of(tx, self._claim.job_id, self._spec, self._ways())
        outcome = self._known(inputs) or self._judged()
        num_asked = sum(total for _, _, total in outcome.chunks)
        told: dict[str, Any] = {"round": self._round, "num_labels": outcome.num_labels, "num_asked": num_asked}
        if num_asked:
            self._keeper.note(f"{outcome.num_labels} labels fail a gate: {num_asked} questions are asked again", **told)
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
            kept = asdict(outcome)
            mend_rounds.put(tx, inputs=inputs, file_key=kept.pop("file_key"), outcome=kept)
            if outcome.has_last:
                results.adopt(tx, self._claim, round=self._round - 1, positions=outcome.better)
            jobs.add_parts(tx, self._claim, parts)
            counts = RepairCounts(**told, num_better=len(outcome.better), file_key=outcome.file_key)
            return RepairResult(mended=counts)

        return publish

    def _ways(self) -> dict[str, Any]:
        """All that a round goes by, but for what the job has said so far."""
        return {
            "way": _WAY,
            "judges": self._judges.digest,
            "round": self._round,
            "rounds": self._spec.mend_rounds,
            "strategies": list(self._spec.strategies),
            "steps": self._steps,
        }

    def _known(self, inputs: str) -> "_Outcome | None":
        """What the same round came to in an earlier job, as long as its questions are still there."""
        with self._context.db.read() as tx:
            found = mend_rounds.outcome(tx, inputs)
        if found is None:
            return None
        if found.file_key is not None:
            try:
                self._context.artefacts.open(found.file_key).close()
            except FileNotFoundError:
                return None
        return _Outcome(**found.outcome, file_key=found.file_key)

    def _judged(self) -> "_Outcome":
        last = self._last_round()
        better = self._better(last) if last else set()
        asked = _Outcome()
        if self._round <= self._spec.mend_rounds and (self._round == 1 or better):
            asked = self._ask_again(better)
        return replace(asked, has_last=bool(last), better=sorted(better))

    def _last_round(self) -> dict[int, int]:
        """The labels asked about again in the round before: position → its faults then."""
        if self._round == 1:
            return {}
        with self._context.db.read() as tx:
            last = claims.result_of(tx, self._claim, RepairResult)
        key = last.mended.file_key if last else None
        if key is None:
            return {}
        with self._context.artefacts.open(key) as file:
            return {one["position"]: one["faults"] for one in map(json.loads, file)}

    def _better(self, last: Mapping[int, int]) -> set[int]:
        """The labels that the last round's answers leave fewer faults.

        All of them are tried together; then those that still have faults are tried with their answers of before, for
        what was shared with others need not be shared with the others' new answers.
        """
        tried = self._faults(last, only=None)
        better = {position for position, before in last.items() if tried[position] < before}
        after = tried if len(better) == len(last) else self._faults(last, only=better)
        doubtful = {position for position in better if after[position]}
        if doubtful:
            reverted = self._faults(last, only=better - doubtful)
            better -= {position for position in doubtful if reverted[position] < after[position]}
        return better

    def _faults(self, of: Collection[int], *, only: Collection[int] | None) -> Counter[int]:
        """The faults of each of these labels where the last round's answers stand at the positions in `only`, or at
        all."""
        faults: Counter[int] = Counter()

        def count(offence: Violation) -> None:
            if offence.position in of:
                faults[offence.position] += num_faults(offence, self._judges.thresholds)

        self._check(count, trial=self._round - 1, only=only)
        return faults

    def _ask_again(self, better: Collection[int]) -> "_Outcome":
        """How many labels fail, and the questions to ask about them again, in a file."""
        self._context.settings.cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="mend-", dir=self._context.settings.cache) as folder:
            heard = Path(folder) / "offences"
            with heard.open("w", encoding="utf-8") as out:

                def note(offence: Violation) -> None:
                    lines = [[line.call, line.text] for line in offence.lines]
                    faults = num_faults(offence, self._judges.thresholds)
                    out.write(json.dumps([offence.position, offence.gate, faults, lines]) + "\n")

                report = self._check(note, trial=self._round - 1, only=better)
            return self._write(heard, report, Path(folder) / "questions.jsonl", better)

    def _write(self, heard: Path, report: Report, path: Path, better: Collection[int]) -> "_Outcome":
        failing = {result.gate for result in report.results if result.holds is False} & {*REPAIRABLE}
        num_labels, ends = 0, [0]
        with path.open("wb") as out:
            for some in _by_label(heard, failing):
                places = self._places([position for position, _, _ in some], better)
                for position, faults, said in some:
                    questions = _questions(said, places.get(position, {}))
                    num_labels += bool(questions)
                    for (step, slot), about in questions.items():
                        row: dict[str, Any] = {"position": position, "step": step, "slot": slot, "faults": faults}
                        row["correction"] = correction(about)
                        out.write(json.dumps(row).encode() + b"\n")
                        ends.append(out.tell())
        file_key = None
        if num_labels:
            file_key = self._context.artefacts.put_file(path, f"{self._claim.place}/questions.jsonl").key
        last = len(ends) - 1
        firsts = range(0, last, QUESTIONS_PER_PART)
        stops = [min(first + QUESTIONS_PER_PART, last) for first in firsts]
        chunks = [(ends[first], ends[stop], stop - first) for first, stop in zip(firsts, stops, strict=True)]
        return _Outcome(num_labels=num_labels, chunks=chunks, file_key=file_key)

    def _places(self, positions: Sequence[int], better: Collection[int]) -> dict[int, dict[str, tuple[int, int]]]:
        """Position → key of an answer that stands → the step and slot of its question, of questions about labels."""
        with self._context.db.read() as tx:
            rows = assembly.current_results(tx, self._claim.job_id, positions, trial=self._round - 1, only=better)
        places: defaultdict[int, dict[str, tuple[int, int]]] = defaultdict(dict)
        for row in rows:
            if row.key is not None and row.step % ROUND in self._steps:
                places[row.position][row.key] = row.step % ROUND, row.slot
        return places

    def _check(
        self, on_violation: Callable[[Violation], None], *, trial: int, only: Collection[int] | None = None
    ) -> Report:
        """The gates over what is said so far, where a round's answers stand in for those before: of all labels, or only
        of some."""
        num_labels = self._spec.num_labels
        done = 0

        def entries() -> Iterator[Entry]:
            nonlocal done
            for start in range(0, num_labels, PAGE_SIZE):
                with self._context.db.read() as tx:
                    labels = vocabularies.labels(tx, self._spec.vocabulary_id, start=start, stop=start + PAGE_SIZE)
                    said = assembly.assemble_labels(tx, self._claim.job_id, self._spec, labels, trial=trial, only=only)
                for label, own in zip(labels, said, strict=True):
                    yield Entry(label.name, label.sense, tuple(map(line_from_json, own.lines)))
                done += len(labels)
                self._keeper.progress(done // 2, num_labels, "labels")

        try:
            return evaluate_gates(
                entries, self._judges, on_violation=on_violation, should_stop=self._keeper.should_stop
            )
        except InterruptedError:
            raise Stopped from None
        finally:
            memory.give_back()


_Said = tuple[Gate, list[tuple[str, str]]]  # a gate, and the lines that offend: (key of their answer, text)


def _by_label(heard: Path, failing: Collection[Gate]) -> Iterator[list[tuple[int, int, list[_Said]]]]:
    """(position, faults in all, what was heard of failing gates) of the labels that one of these caught, some at a
    time."""
    some: list[tuple[int, int, list[_Said]]] = []
    with heard.open(encoding="utf-8") as file:
        for position, heard_of_it in groupby(map(json.loads, file), key=itemgetter(0)):
            offences = list(heard_of_it)
            said = [(gate, lines) for _, gate, _, lines in offences if gate in failing]
            if said:
                some.append((position, sum(faults for _, _, faults, _ in offences), said))
            if len(some) == _AT_ONCE:
                yield some
                some = []
    if some:
        yield some


def _questions(
    said: Sequence[_Said], places: Mapping[str, tuple[int, int]]
) -> dict[tuple[int, int], dict[Gate, list[str]]]:
    """(step, slot) of the questions to ask again → gate → the texts that offend. An offence that is of no line is one
    of every answer; lines that no question of this job is behind (people's) are nobody's to mend."""
    found: dict[tuple[int, int], dict[Gate, list[str]]] = {}
    for gate, lines in said:
        for key, text in lines:
            if key in places:
                found.setdefault(places[key], {}).setdefault(gate, []).append(text)
        for place in places.values() if not lines else ():
            found.setdefault(place, {}).setdefault(gate, [])
    return found
