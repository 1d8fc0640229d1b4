"""Runs enrich jobs in this process: the shared helpers of the enrichment tests.

The stand-in LLM responds without a server in between, so that hundreds of calls are cheap.
"""

import asyncio
import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from api.jobs import job_requests
from api.jobs.plan_enrich import EnrichIn
from attributes.llm.transport import RawResponse, Transport
from examples.fieldguide.llm.answers import entry_for_prompt, label_of, response_text
from examples.fieldguide.llm.prompts import parse_prompt
from examples.fieldguide.world import species
from store import vocabularies
from store.access.principals import LOCAL_PRINCIPAL
from store.artefacts import Artefacts
from store.db import Database
from store.jobs import claims, jobs
from store.models import Job, LLMCall, Part
from store.sets import attribute_sets
from store.sets.attribute_sets import EntryContent
from store.settings import Settings
from store.vocabularies import NewLabel
from workers.dispatch import run_enrich
from workers.gpu import confusable_labels
from workers.runtime.context import Context
from workers.runtime.run_part import claim_part, run_claimed

NAMES = [one.name for one in species()]
LINE = {"kind": "phrase", "text": "a long bill", "origin": "llm"}
_DIFFERENCES = [
    {
        "part": part,
        "target_value": "broad",
        "other_value": "narrow",
        "target_phrase": f"a broad {part}",
        "other_phrase": f"a narrow {part}",
    }
    for part in ("bill", "tail", "wing")
]


class InProcessLLM:
    """The stand-in LLM in place of the transport. `refused`: label -> number of calls about it that are refused."""

    def __init__(self, latency_s: float = 0.0) -> None:
        self.latency_s = latency_s
        self.calls = 0
        self.refused: dict[str, int] = {}

    async def send(self, body: Mapping[str, Any]) -> RawResponse:
        self.calls += 1
        await asyncio.sleep(self.latency_s)
        prompt = parse_prompt(body)
        label = prompt.subject.get("label", "")
        if self.refused.get(label, 0) > 0:
            self.refused[label] -= 1
            return RawResponse(status="refused", latency_s=0.0, detail="I would rather not.")
        entry = replace(entry_for_prompt(prompt, label_of(label)), label=label)
        if prompt.subject.get("other"):
            entry = replace(entry, fields={**entry.fields, "differences": _DIFFERENCES})
        text = response_text(prompt.text, entry, body.get("response_format"), prompt.schema)
        return RawResponse(status="ok", latency_s=self.latency_s, text=text, prompt_tokens=10, completion_tokens=5)


class Bench:
    """A worker's context, the stand-in LLM, and methods that create, run and read jobs."""

    def __init__(self, context: Context, llm: InProcessLLM) -> None:
        self.context, self.llm, self.db = context, llm, context.db

    def vocabulary(self, names: Sequence[str | NewLabel], domain: str = "creatures") -> str:
        labels = [NewLabel(name) if isinstance(name, str) else name for name in names]
        with self.db.write() as tx:
            return vocabularies.create(tx, name="v", domain=domain, labels=labels).id

    def put_set(self, vocabulary_id: str, lines: Sequence[Sequence[dict[str, Any]]]) -> str:
        """Create an attribute set with these lines of each label. Returns its id."""
        with self.db.write() as tx:
            labels = vocabularies.labels(tx, vocabulary_id)
            contents = [
                EntryContent(label=label.name, sense=label.sense, lines=list(of_label), flags=[]) if of_label else None
                for label, of_label in zip(labels, lines, strict=True)
            ]
            pages = attribute_sets.put_pages(tx, contents)
            return attribute_sets.create(tx, vocabulary_id=vocabulary_id, pages=pages, source={}).id

    def post(self, vocabulary_id: str | None = None, **fields: Any) -> str:
        """Create an enrich job, without repair rounds unless `mend_rounds` is given. Returns its id."""
        request = EnrichIn(kind="enrich", vocabulary_id=vocabulary_id, **{"mend_rounds": 0, **fields})
        with self.db.write() as tx:
            return job_requests.create(tx, request, self.context.settings, LOCAL_PRINCIPAL)[0].id

    def next_part(self) -> Part | None:
        with self.db.read() as tx:
            ready = claims.ready(tx, ["enrich", "gpu"], limit=1)
            return tx.get(Part, ready[0]) if ready else None

    def run_next_part(self) -> str:
        """Run the next part, which must exist and be on the `enrich` queue. Returns its id."""
        part = self.next_part()
        assert part is not None
        run_enrich(self.context, part.id)
        return part.id

    def work(self) -> None:
        """Run parts until none is ready."""
        while (part := self.next_part()) is not None:
            if part.queue == "enrich":
                run_enrich(self.context, part.id)
            elif (claim := claim_part(self.context, part.id)) is not None:
                run_claimed(self.context, claim, confusable_labels.neighbours)

    def run(self, vocabulary_id: str | None = None, **fields: Any) -> Job:
        job_id = self.post(vocabulary_id, **fields)
        self.work()
        return self.job(job_id)

    def job(self, job_id: str) -> Job:
        with self.db.read() as tx:
            return jobs.get(tx, job_id)

    def call_keys(self, job_id: str) -> list[str]:
        """The distinct cache keys of the job's calls."""
        with self.db.read() as tx:
            return sorted({call.key for call in tx.query(LLMCall).filter_by(job_id=job_id)})

    def lines(self, job: Job) -> list[list[dict[str, Any]]]:
        """The lines of each label in the job's set."""
        assert job.result is not None
        with self.db.read() as tx:
            entries = attribute_sets.entries(tx, job.result["attribute_set_id"])
        return [list(entry.lines) if entry else [] for entry in entries]


def make_bench(db: Database, folder: Path, monkeypatch: pytest.MonkeyPatch, *, latency_s: float = 0.0) -> Bench:
    """A bench with leases of 5 s and 16 labels per part."""
    llm = InProcessLLM(latency_s)
    monkeypatch.setattr(Transport, "send", lambda _self, body: llm.send(body))
    fields: dict[str, Any] = {
        "home": folder,
        "redis_url": "",
        "database_url": "",
        "data_root": folder / "data",
        "lease_s": 5.0,
        "llm_base_url": "http://stand-in/v1",
        "llm_model": "fieldguide",
        "enrich_chunk": 16,
    }
    settings = Settings(**fields)
    settings.data.mkdir(parents=True)
    return Bench(Context(settings, db, Artefacts(settings.artefacts), threading.Event()), llm)


class HashingTeacher:
    """A teacher whose features are a function of the text alone: nearest labels without a model."""

    digest = "hashing"
    width = 16

    def features(self, texts: Sequence[str]) -> torch.Tensor:
        seeds = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1 for text in texts]
        return torch.stack([torch.randn(self.width, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
