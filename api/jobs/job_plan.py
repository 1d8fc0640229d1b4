"""A validated job request: its spec, its parts, and a digest of everything that its result depends on."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from api.jobs.plan_enrich import EnrichPlan
from attributes.llm.requests import cache_key_of
from attributes.llm.settings import LLMSettings
from attributes.prompts.questions import ImageFile, questions_for_image, questions_for_label, questions_for_pair
from attributes.prompts.strategy import Strategy
from attributes.types import Label
from distill.config.model_names import check_teacher
from distill.config.training_estimate import TrainingEstimate
from store.jobs.jobs import NewPart
from store.jobs.specs import DistillSpec, JobSpec

_MAX_FILES = 1_000
_IMAGE = ImageFile(b"\xff\xd8\xff")


@dataclass(frozen=True)
class JobPlan:
    """A job that can be created. `enrich`: the plan of an enrichment, whose usage is recorded. `training`: what a
    training will do on images of these `counts`; `given_config`: its config as the client wrote it."""

    spec: JobSpec
    parts: Sequence[NewPart]
    enrich: EnrichPlan | None = None
    training: TrainingEstimate | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    given_config: Mapping[str, object] = field(default_factory=dict)

    def inputs_digest(self, data_root: Path) -> str:
        """sha256 of everything that the result depends on; jobs with equal digests can share a result.

        Stored resources never change, so their ids are enough. Weights below the data root count with the size and time
        of their files, prompts and LLM settings with the cache keys of a question.
        """
        fields = {
            "kind": self.spec.kind,
            "spec": self.spec.as_json(),
            "files": [list(_stamps(data_root, path)) for path in _paths(self.spec)],
            "prompts": list(_prompt_keys(self.enrich)) if self.enrich else [],
        }
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _paths(spec: JobSpec) -> Iterator[str]:
    """The weights below the data root that a job reads."""
    teacher: str | None = getattr(spec, "teacher", None)
    if teacher is not None and (path := check_teacher(teacher).path) is not None:
        yield path
    if isinstance(spec, DistillSpec) and spec.config.student.weights is not None:
        yield spec.config.student.weights


def _stamps(root: Path, relative: str) -> Iterator[tuple[str, int, int]]:
    """(path, bytes, time in ns) of a file, or of the first files of a folder."""
    path = root / relative
    found = [path] if path.is_file() else sorted(Path(at, name) for at, _, names in os.walk(path) for name in names)
    for file in found[:_MAX_FILES]:
        stat = file.stat()
        yield file.relative_to(root).as_posix(), stat.st_size, stat.st_mtime_ns


def _prompt_keys(plan: EnrichPlan) -> Iterator[str]:
    """The cache key of one question of each strategy: a digest of its prompt and of the LLM's settings."""
    for strategy in plan.strategies:
        yield _key(strategy, plan.spec.domain, plan.llm.settings)


def _key(strategy: Strategy, domain: str, llm: LLMSettings) -> str:
    label, other = Label("a"), Label("b")
    if strategy.about == "pair":
        questions = questions_for_pair(strategy, label, other, domain)
    elif strategy.about == "image":
        questions = questions_for_image(strategy, _IMAGE, domain=domain)
    else:
        questions = questions_for_label(strategy, label, domain)
    return cache_key_of(questions[0], llm)
