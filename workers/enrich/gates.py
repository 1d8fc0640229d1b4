"""Parts that judge an attribute set with the quality gates: figures, a file of every violation, the failing labels.

    report   the last part of an enrich job, over the pages that the job has assembled
    check    the only part of a check job, over a stored set; with a teacher: `workers.gpu.gates_with_teacher`

The file is JSON Lines, ordered by gate. `places` in the figures holds the byte offset of every `EVERY`-th violation of
a gate, so that a page of violations is read without the rest of the file.
"""

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO

from sqlalchemy.orm import Session

from attributes.gates.criteria import GateCriteria, WordLists, load_word_lists
from attributes.gates.evaluate import evaluate_gates
from attributes.gates.margins import Margins
from attributes.gates.token_lengths import TokenCounter, clip_token_counter, token_counter_from_file
from attributes.gates.types import Gate, Violation
from attributes.gates.words.word_lists import WordListError
from attributes.languages import is_english
from attributes.types import Entry, line_from_json
from store import resources, vocabularies
from store.enrich import assembly
from store.jobs.claims import Claim
from store.jobs.part_results import CheckResult, GateReport, ReportResult
from store.jobs.specs import CheckSpec, DescribeSpec
from store.sets import attribute_sets, reports
from store.sets.attribute_sets import PAGE_SIZE
from workers.enrich import free_memory
from workers.runtime.context import Context
from workers.runtime.errors import PartError, Stopped
from workers.runtime.lease_renewal import LeaseRenewal
from workers.runtime.run_part import Publish

EVERY = 100  # violations from one recorded offset to the next


def check_set(context: Context, claim: Claim, lease: LeaseRenewal) -> Publish:
    """Judge the set of a check job, without a teacher."""
    report = judge_set(context, claim, lease, teacher="", tokens=clip_token_counter())
    return lambda tx: publish_check(tx, claim, report)


def report(context: Context, claim: Claim, lease: LeaseRenewal) -> Publish:
    """Judge the pages of an enrich job; the report is stored with the job's set.

    A set with the same content that was judged by the same criteria is not judged again.
    """
    spec = claim.job(DescribeSpec)
    tokens = known_tokens(context, spec.teacher or "") or clip_token_counter()
    criteria = GateCriteria(word_lists=word_lists(context), token_counter=tokens, language=gate_language(spec.language))
    found = _earlier_report(context, claim.job_id, spec, criteria)
    found = found or judge_set(context, claim, lease, teacher="", tokens=tokens)
    return lambda _tx: ReportResult(report=found)


def _earlier_report(context: Context, job_id: str, spec: DescribeSpec, criteria: GateCriteria) -> GateReport | None:
    """The report over a set of the same content, judged by the same criteria; None if there is none."""
    with context.db.read() as tx:
        vocabulary = vocabularies.get(tx, spec.vocabulary_id)
        pages = [digest for _, digest in sorted(assembly.recorded_pages(tx, job_id).items())]
        digest = attribute_sets.content_digest(vocabulary, pages)
        earlier = reports.find_for_content(tx, vocabulary_id=vocabulary.id, digest=digest, judges=criteria.digest)
        if earlier is None:
            return None
        flagged = reports.flagged_positions(tx, earlier.set_id)
    measured = [one["gate"] for one in earlier.figures["gates"] if one["holds"] is not None]
    failures = {gate: flagged.get(gate, []) for gate in measured}
    return GateReport(teacher="", figures=earlier.figures, file_key=earlier.file_key, failures=failures)


def publish_check(tx: Session, claim: Claim, report: GateReport) -> CheckResult:
    """Store the report of a check job. Returns the result of its part."""
    set_id = claim.job(CheckSpec).attribute_set_id
    reports.put(tx, set_id=set_id, **report.as_json())
    return CheckResult(attribute_set_id=set_id, failing_gates=reports.failing_gates(report.figures))


def judge_set(
    context: Context,
    claim: Claim,
    lease: LeaseRenewal,
    *,
    teacher: str,
    tokens: TokenCounter,
    margins: Margins | None = None,
) -> GateReport:
    """Judge the set of a check job, or the pages that an enrich job has assembled.

    Raises Stopped, and PartError for a word list that cannot be read.
    """
    spec = claim.job_spec
    assert isinstance(spec, CheckSpec | DescribeSpec)
    pages: Mapping[int, str] = {}
    if isinstance(spec, DescribeSpec):
        with context.db.read() as tx:
            pages = assembly.recorded_pages(tx, claim.job_id)
    num_labels = spec.num_labels
    criteria = GateCriteria(
        word_lists=word_lists(context),
        token_counter=tokens,
        margins=margins,
        language=_language_of(context, spec),
    )
    done = 0

    def entries() -> Iterator[Entry]:
        nonlocal done
        for page in range(-(-num_labels // PAGE_SIZE)):
            with context.db.read() as tx:
                of_page = list(_page(tx, spec, page, pages.get(page)))
            yield from of_page
            done += min(PAGE_SIZE, num_labels - page * PAGE_SIZE)
            lease.progress(done // 2, num_labels, "labels")

    context.settings.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="check-", dir=context.settings.cache) as folder:
        violations = ViolationFile(Path(folder))
        try:
            judged = evaluate_gates(entries, criteria, on_violation=violations.add, should_stop=lease.should_stop)
        except InterruptedError:
            raise Stopped from None
        finally:
            free_memory.release_free_memory()
        measured: list[Gate] = [result.gate for result in judged.results if result.holds is not None]
        places = violations.finish(measured)
        file = context.artefacts.put_file(violations.path, f"{claim.place}/offenders.jsonl")
    return GateReport(
        teacher=teacher,
        figures={**judged.as_json(), "places": places, "judges": criteria.digest},
        file_key=file.key,
        failures={gate: violations.positions.get(gate, []) for gate in measured},
    )


def gate_language(language: str) -> str | None:
    """The language that a job asked for, as the gates take it; None if it is to be detected.

    Also detected for a job in English: lines of another language would be judged with English word lists.
    """
    return None if is_english(language) else language


def _language_of(context: Context, spec: CheckSpec | DescribeSpec) -> str | None:
    """The language of an enrich job, or of the job that made a stored set without edits."""
    if isinstance(spec, DescribeSpec):
        return gate_language(spec.language)
    with context.db.read() as tx:
        source = attribute_sets.get(tx, spec.attribute_set_id).source
    return gate_language(str(source.get("language", "")))


def word_lists(context: Context) -> WordLists:
    """The shipped word lists and the operator's. Raises PartError."""
    extra = context.settings.nonvisual_words
    try:
        return load_word_lists([extra] if extra else [])
    except WordListError as error:
        raise PartError("words_unreadable", f"LIMBECK_NONVISUAL_WORDS: {error}") from error


def known_tokens(context: Context, ref: str) -> TokenCounter | None:
    """A token counter with the tokenizer of a teacher that a worker has loaded before; None for an unknown teacher."""
    if not ref:
        return None
    with context.db.read() as tx:
        row = resources.newest_teacher(tx, ref)
    if row is None:
        return None
    with context.artefacts.open(row.tokenizer_key) as file:
        return token_counter_from_file(file.read(), row.context_length, f"{ref}, context {row.context_length}")


class ViolationFile:
    """Writes the violations of a set into one file per gate, then joins them."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "offenders.jsonl"
        self.positions: dict[Gate, list[int]] = {}
        self._folder = folder
        self._files: dict[Gate, IO[bytes]] = {}
        self._places: dict[Gate, list[list[int]]] = {}

    def add(self, violation: Violation) -> None:
        """Write a violation; those of one gate arrive ordered by position."""
        file = self._files.get(violation.gate)
        if file is None:
            file = self._files[violation.gate] = (self._folder / violation.gate).open("w+b")
        positions = self.positions.setdefault(violation.gate, [])
        if len(positions) % EVERY == 0:
            self._places.setdefault(violation.gate, []).append([violation.position, file.tell()])
        positions.append(violation.position)
        file.write(json.dumps(violation.as_json(), ensure_ascii=False).encode() + b"\n")

    def finish(self, gates: Iterable[Gate]) -> dict[str, list[list[int]]]:
        """Join the files; gate -> [position, byte offset] of every `EVERY`-th violation, and [-1, end of the gate]."""
        places: dict[str, list[list[int]]] = {}
        with self.path.open("wb") as out:
            for gate in gates:
                start = out.tell()
                if (file := self._files.get(gate)) is not None:
                    file.seek(0)
                    shutil.copyfileobj(file, out)
                    file.close()
                offsets = [[position, start + at] for position, at in self._places.get(gate, [])]
                places[gate] = [*offsets, [-1, out.tell()]]
        return places


def _page(tx: Session, spec: CheckSpec | DescribeSpec, page: int, digest: str | None) -> Iterator[Entry]:
    """The entries of a page: of the page with this digest, or of the set that a check job names."""
    start = page * PAGE_SIZE
    labels = vocabularies.labels(tx, spec.vocabulary_id, start=start, stop=start + PAGE_SIZE)
    if digest is not None:
        rows = attribute_sets.entries_on(tx, digest)
    else:
        assert isinstance(spec, CheckSpec)
        rows = attribute_sets.entries(tx, spec.attribute_set_id, start=start, stop=start + PAGE_SIZE)
    for label, row in zip(labels, rows, strict=True):
        yield Entry(label.name, label.sense, tuple(map(line_from_json, row.lines)) if row else ())
