"""The gates over a set, as a part of a job: the report's figures, a file of every offender, the labels caught.

    report   the last part of an enrich job, over the pages of the set that it makes
    check    the one part of a check job, over a set that is there; `workers.gpu.gates_with_teacher` is the one with a
    teacher

The file is JSON Lines, gate by gate; `places` in the figures says at which byte every so many of a gate's offenders
begins, so that any page of them is read by itself.
"""

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from sqlalchemy.orm import Session

from attributes.gates.criteria import GateCriteria, WordLists, load_word_lists
from attributes.gates.evaluate import evaluate_gates
from attributes.gates.margins import Margins
from attributes.gates.token_lengths import TokenCounter, clip_token_counter, token_counter_from_file
from attributes.gates.types import Gate, Violation
from attributes.gates.word_lists import WordListError
from attributes.types import Entry, line_from_json
from store import resources, vocabularies
from store.enrich import assembly
from store.jobs.claims import Claim
from store.sets import attribute_sets, reports
from store.sets.attribute_sets import PAGE_SIZE
from workers.runtime import memory
from workers.runtime.context import Context
from workers.runtime.errors import PartFailed, Stopped
from workers.runtime.lease_renewal import Keeper
from workers.runtime.run_part import Publish

EVERY = 100  # offenders from one place to the next


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a check came to, as `store.sets.reports.put` keeps it."""

    teacher: str
    figures: dict[str, Any]
    file_key: str
    failures: dict[str, list[int]]


def check_set(context: Context, claim: Claim, keeper: Keeper) -> Publish:
    """Check the set of a check job."""
    found = run(context, claim, keeper, teacher="", tokens=clip_token_counter())
    return lambda tx: publish(tx, claim, found)


def report(context: Context, claim: Claim, keeper: Keeper) -> Publish:
    """Check what an enrich job has put together; the sealing of its set keeps the report.

    A set of the same content that was judged alike is not judged again.
    """
    ref = claim.job(DescribeSpec).teacher or ""
    tokens = known_tokens(context, ref) or clip_token_counter()
    found = _found_before(context, claim, GateCriteria(word_lists=lists(context), token_counter=tokens))
    found = found or run(context, claim, keeper, teacher="", tokens=tokens)
    return lambda _tx: {"report": vars(found)}


def _found_before(context: Context, claim: Claim, judges: GateCriteria) -> Found | None:
    with context.db.read() as tx:
        vocabulary = vocabularies.get(tx, claim.job(DescribeSpec).vocabulary_id)
        pages = [digest for _, digest in sorted(assembly.recorded_pages(tx, claim.job_id).items())]
        digest = attribute_sets.content_digest(vocabulary, pages)
        same = reports.find_for_content(tx, vocabulary_id=vocabulary.id, digest=digest, judges=judges.digest)
        if same is None:
            return None
        caught = reports.flagged_positions(tx, same.set_id)
    measured = [one["gate"] for one in same.figures["gates"] if one["holds"] is not None]
    failures = {gate: caught.get(gate, []) for gate in measured}
    return Found(teacher="", figures=same.figures, file_key=same.file_key, failures=failures)


def publish(tx: Session, claim: Claim, found: Found) -> Mapping[str, Any]:
    """Keep the report of a check job; what the part says of it."""
    reports.put(tx, set_id=claim.job_spec["attribute_set_id"], **vars(found))
    return {
        "attribute_set_id": claim.job_spec["attribute_set_id"],
        "failing_gates": reports.failing_gates(found.figures),
    }


def run(
    context: Context,
    claim: Claim,
    keeper: Keeper,
    *,
    teacher: str,
    tokens: TokenCounter,
    margins: Margins | None = None,
) -> Found:
    """Judge the set that the claim's job names, or the pages that it has put together. Raises Stopped, and PartFailed
    for a list of words that cannot be read."""
    with context.db.read() as tx:
        pages = {} if "attribute_set_id" in claim.job_spec else assembly.recorded_pages(tx, claim.job_id)
    num_labels = claim.job_spec["num_labels"]
    judges = GateCriteria(word_lists=lists(context), token_counter=tokens, margins=margins)
    done = 0

    def entries() -> Iterator[Entry]:
        nonlocal done
        for page in range(-(-num_labels // PAGE_SIZE)):
            with context.db.read() as tx:
                held = list(_page(tx, claim.job_spec, page, pages.get(page)))
            yield from held
            done += min(PAGE_SIZE, num_labels - page * PAGE_SIZE)
            keeper.progress(done // 2, num_labels, "labels")

    context.settings.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="check-", dir=context.settings.cache) as folder:
        offenders = Offenders(Path(folder))
        try:
            judged = evaluate_gates(entries, judges, on_violation=offenders.add, should_stop=keeper.should_stop)
        except InterruptedError:
            raise Stopped from None
        finally:
            memory.give_back()
        measured: list[Gate] = [result.gate for result in judged.results if result.holds is not None]
        places = offenders.finish(measured)
        file = context.artefacts.put_file(offenders.path, f"{claim.place}/offenders.jsonl")
    return Found(
        teacher=teacher,
        figures={**judged.as_json(), "places": places, "judges": judges.digest},
        file_key=file.key,
        failures={gate: offenders.positions.get(gate, []) for gate in measured},
    )


def lists(context: Context) -> WordLists:
    """Our word lists with the operator's. Raises PartFailed."""
    extra = context.settings.nonvisual_words
    try:
        return load_word_lists([extra] if extra else [])
    except WordListError as error:
        raise PartFailed("words_unreadable", f"LIMBECK_NONVISUAL_WORDS: {error}") from error


def known_tokens(context: Context, ref: str) -> TokenCounter | None:
    """The tokens of a teacher that a worker has loaded before; None for one that is not known."""
    if not ref:
        return None
    with context.db.read() as tx:
        row = resources.newest_teacher(tx, ref)
    if row is None:
        return None
    with context.artefacts.open(row.tokenizer_key) as file:
        return token_counter_from_file(file.read(), row.context_length, f"{ref}, context {row.context_length}")


class Offenders:
    """Every offence of a check, written down gate by gate."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "offenders.jsonl"
        self.positions: dict[Gate, list[int]] = {}
        self._folder = folder
        self._files: dict[Gate, IO[bytes]] = {}
        self._places: dict[Gate, list[list[int]]] = {}

    def add(self, offence: Violation) -> None:
        """Take an offence; those of a gate come in the order of their positions."""
        file = self._files.get(offence.gate)
        if file is None:
            file = self._files[offence.gate] = (self._folder / offence.gate).open("w+b")
        positions = self.positions.setdefault(offence.gate, [])
        if len(positions) % EVERY == 0:
            self._places.setdefault(offence.gate, []).append([offence.position, file.tell()])
        positions.append(offence.position)
        file.write(json.dumps(offence.as_json(), ensure_ascii=False).encode() + b"\n")

    def finish(self, gates: Iterable[Gate]) -> dict[str, list[list[int]]]:
        """Put the gates' offenders into one file; gate → (position, byte) of every so manieth, and where they end."""
        places: dict[str, list[list[int]]] = {}
        with self.path.open("wb") as out:
            for gate in gates:
                start = out.tell()
                if (file := self._files.get(gate)) is not None:
                    file.seek(0)
                    shutil.copyfileobj(file, out)
                    file.close()
                begun = [[position, start + at] for position, at in self._places.get(gate, [])]
                places[gate] = [*begun, [-1, out.tell()]]
        return places


def _page(tx: Session, spec: Mapping[str, Any], page: int, digest: str | None) -> Iterator[Entry]:
    """The entries of a page's labels: of the page with this digest, or of the set that the job names."""
    start = page * PAGE_SIZE
    labels = vocabularies.labels(tx, spec["vocabulary_id"], start=start, stop=start + PAGE_SIZE)
    if digest is not None:
        rows = attribute_sets.entries_on(tx, digest)
    else:
        rows = attribute_sets.entries(tx, spec["attribute_set_id"], start=start, stop=start + PAGE_SIZE)
    for label, row in zip(labels, rows, strict=True):
        yield Entry(label.name, label.sense, tuple(map(line_from_json, row.lines)) if row else ())
