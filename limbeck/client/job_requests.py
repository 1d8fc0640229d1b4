"""Options of jobs by kind, typed for `jobs.create`, and the bodies of their requests.

None, or a missing option, is the service's default.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Literal, Required, TypedDict

from limbeck.client.paths import without_none
from limbeck.models import TextKind


class JobOptions(TypedDict, total=False):
    """Options of every job."""

    priority: int | None
    """From -100 to 100; jobs with a higher priority come first in their queue. 0 by default."""


class LLMOptions(JobOptions, total=False):
    """Options of every job that calls an LLM."""

    endpoint: str | None
    """The LLM endpoint; the operator's `default` by default."""
    model: str | None
    """The LLM; the endpoint's by default."""
    samples: int | None
    """Responses per question, for strategies that sample."""
    budget_usd: Decimal | str | None
    """Maximum cost of all LLM calls in US dollars; results up to then are kept."""
    budget_tokens: int | None
    """Maximum number of tokens of all LLM calls."""
    mode: Literal["live", "batch"] | None
    """`batch` uses the server's Batch API, which costs less and can take a day."""
    language: str | None
    """The language of the attributes, as a name or a code: `German`, `pt-BR`; English by default."""
    system_prompt: str | None
    """Replaces the system prompt of the strategies; the rules that the response depends on are added to it."""


class EnrichOptions(LLMOptions, total=False):
    """Options of a job in which an LLM describes each label of a vocabulary, without the vocabulary."""

    strategies: Sequence[str]
    """Prompt strategies, in order; `describe` by default."""
    base_set_id: str | None
    """A set whose locked and human lines are kept."""
    teacher: str | None
    """For the strategy `contrast`: the teacher that finds confusable labels."""
    neighbours: int | None
    """For the strategy `contrast`: the number of confusable labels; 10 by default."""
    mend_rounds: int | None
    """Maximum number of repair rounds for labels that violate the quality gates; 1 by default."""


class EnrichRequest(EnrichOptions, total=False):
    """Describe each label of a vocabulary with an LLM."""

    vocabulary_id: Required[str]


class CaptionRequest(LLMOptions, total=False):
    """Write a sentence about each training image of a dataset with a multimodal LLM."""

    dataset_id: Required[str]
    strategies: Sequence[str]
    """Prompt strategies about images; `captions` by default."""


class TextOptions(JobOptions, total=False):
    """Which text of a label a teacher encodes."""

    text: TextKind
    """The text of a label besides its name; `names` by default."""
    attribute_set_id: str | None
    """The source of every text except `names`."""
    concept: str
    """A word for all labels: `bird`."""
    templates: Sequence[str]
    """Text templates with `{}` for the name."""


class EncodeRequest(TextOptions, total=False):
    """Encode the texts of a vocabulary's labels with a teacher, or with the teacher of a checkpoint."""

    vocabulary_id: str | None
    """By default, the vocabulary of the attribute set."""
    teacher: str | None
    checkpoint_id: str | None
    """Encode with the teacher of this student, so that the features are targets for it."""


class DistillRequest(TextOptions, total=False):
    """Distil a teacher into a student, and evaluate it."""

    dataset_id: Required[str]
    teacher: Required[str]
    recipe: str
    """The recipe; `limbeck` by default."""
    config: Mapping[str, object] | None
    """Settings that override the recipe's: `{"epochs": 10}`."""
    start_checkpoint_id: str | None
    """For the protocol `fine_tune`: the initial student."""
    caption_set_id: str | None
    """For the loss `cap`: captions of the dataset's images."""
    save_checkpoints: Mapping[str, int] | None
    """Students to keep while the training runs: `{"every_epochs": 5, "keep": 3}`; the newest 5 without `keep`."""
    nproc: int
    """Processes (ranks) of one machine that train together, each on a GPU; 1 by default."""
    nnodes: int
    """Machines (GPU workers) that train together, each with `nproc` ranks; 1 by default."""


class EvaluateRequest(TextOptions, total=False):
    """Evaluate a checkpoint or a teacher on a dataset."""

    dataset_id: Required[str]
    checkpoint_id: str | None
    teacher: str | None
    shots: int
    """Images per label for a further evaluation by retrieval; 0: none."""
    domain_dataset_ids: Sequence[str]
    """Datasets of the same labels in other styles, each a domain; for a checkpoint, as all options below."""
    far_dataset_id: str | None
    """A dataset of other things: far unknowns for the open-set results."""
    corruption_images: int
    """Number of images for the 15 corruptions of ImageNet-C at 5 strengths; 0: none."""
    baseline_job_id: str | None
    """With `corruption_images`: the distill job of a closed-set baseline, by whose errors the student's are divided."""
    outlier_set_id: str | None
    """An attribute set with outlier labels, for the open-set score `outliers`."""


class ProveRequest(JobOptions, total=False):
    """Measure whether a set's attributes improve a teacher over controls without information; the measurements are the
    job's `result["proof"]`."""

    attribute_set_id: Required[str]
    dataset_id: Required[str]
    teacher: Required[str]
    concept: str
    """A word for all labels: `bird`."""
    seeds: int
    """Number of random samples of each control; 3 by default."""
    filter_phrases: bool
    """Also create a set without the phrases that the training images contradict."""


CreatedKind = Literal["enrich", "encode", "distill", "evaluate", "prove"]
_OPTIONS: Mapping[str, frozenset[str]] = {
    "enrich": frozenset((*EnrichRequest.__annotations__, *CaptionRequest.__annotations__)),
    "encode": frozenset(EncodeRequest.__annotations__),
    "distill": frozenset(DistillRequest.__annotations__),
    "evaluate": frozenset(EvaluateRequest.__annotations__),
    "prove": frozenset(ProveRequest.__annotations__),
}


def job_body(kind: CreatedKind, options: Mapping[str, Any]) -> dict[str, object]:
    """The body of a request that creates or estimates a job. Raises ValueError for an unknown kind, TypeError for an
    unknown option."""
    if kind not in _OPTIONS:
        raise ValueError(f"unknown kind of job {kind!r}; it is one of {', '.join(_OPTIONS)}")
    if unknown := sorted(set(options) - _OPTIONS[kind]):
        near = get_close_matches(unknown[0], _OPTIONS[kind], n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; it has {', '.join(sorted(_OPTIONS[kind]))}"
        raise TypeError(f"a job of kind {kind} has no option {unknown[0]}{hint}")
    fields = dict(options)
    if kind == "enrich":
        fields["strategies"] = list(fields.get("strategies") or _default_strategies(fields))
        if fields.get("budget_usd") is not None:
            fields["budget_usd"] = f"{Decimal(fields['budget_usd']):f}"
    elif kind != "prove":
        prompt = {name: value for name in ("concept", "templates") if (value := fields.pop(name, None))}
        fields["prompt"] = {name: value if name == "concept" else list(value) for name, value in prompt.items()} or None
    return {"kind": kind, **without_none(**fields)}


def _default_strategies(fields: Mapping[str, Any]) -> tuple[str]:
    return ("captions",) if fields.get("dataset_id") else ("describe",)
