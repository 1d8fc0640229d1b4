"""Plan of an enrich job: strategies about labels, about pairs of labels, or about images, as parts in stages.

stage 0        describe     chunks of labels, all strategies about labels together
stage 1        neighbours   for strategies about pairs: finds confusable labels and adds stage 2, chunks of pairs
repair rounds  mend         gates judge the responses, choose between versions, and plan the questions of the next round
last           assemble     responses become the pages of an attribute set, or a caption file
after it       report       gates judge these pages
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from sqlalchemy.orm import Session

from api.http.problems import json_pointer, not_found_at, unprocessable
from api.http.schemas import ONE_FAULT, PlainText, Usd
from api.jobs.job_options import JobRequestModel
from api.jobs.llm_endpoints import require_price, resolve_endpoint
from api.readers.teacher_refs import TEACHER_FIELD, parse_teacher_ref
from attributes.endpoints.endpoint import DEFAULT_ENDPOINT
from attributes.endpoints.endpoints import ResolvedEndpoint
from attributes.languages import language_fault
from attributes.prompts.customize import system_prompt_fault
from attributes.prompts.selection import StepError, select_strategies
from attributes.prompts.strategy import MAX_SAMPLES, About, Strategy, StrategyError
from limbeck.shared.labels import normalize
from limbeck.shared.money import pusd_from_usd
from store import resources, vocabularies
from store.enrich import usage
from store.jobs.jobs import NewPart
from store.jobs.specs import CaptionSpec, DescribeSpec, NeighboursSpec, RangeSpec, RepairSpec
from store.sets import attribute_sets
from store.sets.attribute_sets import PAGE_SIZE
from store.settings import Settings

MAX_STRATEGIES = 8
MAX_BUDGET_TOKENS = 10**15
MAX_NEIGHBOURS = 10
QUESTIONS_PER_BATCH, IMAGES_PER_BATCH = 5_000, 512  # the responses of a batch are stored in one transaction
MAX_PARTS = 128  # per stage: to start and end a part costs as much as 20 labels whose responses are cached
PAGES_PER_PART = 32
REPAIR_STAGE = 80
LAST_STAGE = 90
MAX_REPAIR_ROUNDS = 3
_PART_KINDS: dict[About, str] = {"label": "describe", "pair": "contrast", "image": "caption"}


def _check_language(language: str | None) -> str | None:
    if language is None:
        return None
    if fault := language_fault(language):
        raise ValueError(fault)
    return normalize(language)


def _check_system_prompt(prompt: str | None) -> str | None:
    if prompt is None:
        return None
    if fault := system_prompt_fault(prompt):
        raise ValueError(fault)
    return prompt.strip()


class EnrichIn(JobRequestModel):
    """Have an LLM describe each label of a vocabulary, or caption each training image of a dataset."""

    kind: Literal["enrich"]
    vocabulary_id: str | None = None
    dataset_id: str | None = Field(
        None, description="For strategies about images: the dataset, instead of a vocabulary."
    )
    strategies: Annotated[list[Annotated[str, Field(max_length=100)]], ONE_FAULT] = Field(
        ["describe"],
        min_length=1,
        max_length=MAX_STRATEGIES,
        description="Strategies, as name or name@version.",
        examples=[["sentence", "phrases", "contrast"]],
    )
    endpoint: PlainText | None = Field(
        None, description="An LLM endpoint of `GET /v1/endpoints`. Default: `default`, the operator's LIMBECK_LLM_*."
    )
    model: PlainText | None = Field(None, description="Default: the model of the endpoint.")
    base_set_id: str | None = Field(
        None, description="A set, of this vocabulary or another, whose locked and human lines are kept."
    )
    teacher: Annotated[str | None, TEACHER_FIELD] = None
    neighbours: int = Field(
        MAX_NEIGHBOURS,
        ge=1,
        le=MAX_NEIGHBOURS,
        description="For strategies about pairs: how many nearest labels each label is compared with.",
    )
    mend_rounds: int = Field(
        1,
        ge=0,
        le=MAX_REPAIR_ROUNDS,
        description="Repair rounds: how often responses that violate a gate are requested again.",
    )
    samples: int | None = Field(
        None,
        ge=1,
        le=MAX_SAMPLES,
        description="Responses per question, for strategies that sample. Default: the strategy's own.",
    )
    mode: Literal["live", "batch"] = Field(
        "live", description="`batch` uses the server's Batch API: its price, and results within a day."
    )
    budget_usd: Usd | None = Field(
        None,
        description="Upper bound of the cost of all calls; the price of the model must be known.",
        examples=["2.50"],
    )
    budget_tokens: int | None = Field(
        None, ge=1, le=MAX_BUDGET_TOKENS, description="Upper bound of the tokens of all calls, prompts and completions."
    )
    language: Annotated[str | None, AfterValidator(_check_language)] = Field(
        None,
        description="Language of the attributes, as a name or a code; labels stay as they are. Default: English.",
        examples=["German", "pt-BR"],
    )
    system_prompt: Annotated[str | None, AfterValidator(_check_system_prompt)] = Field(
        None,
        description="Replaces the system prompt of every strategy. The rules that the response depends on follow it. "
        "Default: the operator's (LIMBECK_SYSTEM_PROMPT), else the strategy's own.",
    )


@dataclass(frozen=True, kw_only=True)
class EnrichPlan:
    """A validated request: the job's spec, its strategies (one per step), its parts, and its LLM without secrets."""

    spec: DescribeSpec | CaptionSpec
    strategies: list[Strategy]
    parts: list[NewPart]
    llm: ResolvedEndpoint

    @property
    def cap_pusd(self) -> int | None:
        """The budget of the job in pico-dollars."""
        return None if self.spec.budget_usd is None else pusd_from_usd(Decimal(self.spec.budget_usd))


def add_usage(tx: Session, plan: EnrichPlan, job_id: str) -> None:
    """Record a usage of 0 for a new job, with its budget."""
    usage.create(
        tx,
        job_id,
        cap_pusd=plan.cap_pusd,
        cap_tokens=plan.spec.budget_tokens,
        plan=_questions_by_kind(plan),
    )


def plan_enrich(tx: Session, request: EnrichIn, settings: Settings) -> EnrichPlan:
    """The plan of a request; nothing is stored. Raises ProblemError with pointers."""
    strategies = _strategies(request, settings)
    llm = resolve_endpoint(settings, request.endpoint, request.model)
    if request.budget_usd is not None:
        require_price(llm)
    if any(strategy.about == "image" for strategy in strategies):
        return _plan_captions(tx, request, strategies, llm, settings)
    return _plan_descriptions(tx, request, strategies, llm, settings)


def _system_prompt(request: EnrichIn, settings: Settings) -> str:
    return request.system_prompt or settings.system_prompt.strip()


def _strategies(request: EnrichIn, settings: Settings) -> list[Strategy]:
    try:
        strategies = select_strategies(
            request.strategies,
            folder=settings.strategies_dir,
            samples=request.samples,
            language=request.language or "",
            system_prompt=_system_prompt(request, settings),
        )
    except StepError as error:
        pointer = "/samples" if error.step is None else json_pointer("strategies", str(error.step))
        raise unprocessable("strategy_unknown" if error.is_unknown else "strategy_unfit", str(error), pointer) from None
    except StrategyError as error:  # one of the operator's files cannot be read
        raise unprocessable("strategy_unfit", str(error), "/strategies") from None
    for step, strategy in enumerate(strategies):
        if (strategy.about == "image") != (request.dataset_id is not None):
            source = "images: name a dataset_id" if strategy.about == "image" else "labels: name a vocabulary_id"
            pointer = json_pointer("strategies", str(step))
            raise unprocessable("strategy_unfit", f"{strategy.ref} asks about {source}", pointer)
    return strategies


def _plan_descriptions(
    tx: Session, request: EnrichIn, strategies: list[Strategy], llm: ResolvedEndpoint, settings: Settings
) -> EnrichPlan:
    if request.vocabulary_id is None:
        raise unprocessable("vocabulary_missing", "name the vocabulary whose labels to describe", "/vocabulary_id")
    with not_found_at("/vocabulary_id"):
        vocabulary = vocabularies.get(tx, request.vocabulary_id)
    same_vocabulary: bool | None = None
    if request.base_set_id is not None:
        with not_found_at("/base_set_id"):
            same_vocabulary = attribute_sets.get(tx, request.base_set_id).vocabulary_id == vocabulary.id
    pair_steps = _pair_steps(strategies)
    spec = DescribeSpec(
        vocabulary_id=vocabulary.id,
        num_labels=vocabulary.num_labels,
        domain=vocabulary.domain,
        strategies=tuple(strategy.ref for strategy in strategies),
        model=llm.settings.model,
        endpoint=_stored_endpoint(llm),
        samples=request.samples,
        mode=request.mode,
        budget_usd=request.budget_usd,
        budget_tokens=request.budget_tokens,
        language=request.language or "",
        system_prompt=_system_prompt(request, settings),
        base_set_id=request.base_set_id,
        same_vocabulary=same_vocabulary,
        teacher=_teacher(request, strategies, pair_steps, settings),
        neighbours=request.neighbours if pair_steps else None,
        mend_rounds=request.mend_rounds,
    )
    parts = _description_parts(request, strategies, spec, settings)
    return EnrichPlan(spec=spec, strategies=strategies, parts=parts, llm=llm)


def _stored_endpoint(llm: ResolvedEndpoint) -> str | None:
    """The endpoint in the spec; None for `default`, so that earlier releases can run the job after a downgrade."""
    return None if llm.endpoint == DEFAULT_ENDPOINT else llm.endpoint


def _description_parts(
    request: EnrichIn, strategies: list[Strategy], spec: DescribeSpec, settings: Settings
) -> list[NewPart]:
    """The parts of the job, in the order of their stages: describe, neighbours, repair rounds, assemble, report."""
    num_labels = spec.num_labels
    pair_steps = _pair_steps(strategies)
    parts: list[NewPart] = []
    if per_label := sum(strategy.num_questions for strategy in strategies if strategy.about == "label"):
        min_size = _min_chunk(request, settings, QUESTIONS_PER_BATCH // per_label)
        parts += _chunks("describe", num_labels, min_size, unit="labels")
    if pair_steps:
        neighbours = NeighboursSpec(steps=pair_steps)
        parts.append(NewPart(kind="neighbours", queue="gpu", stage=1, spec=neighbours, total=num_labels, unit="texts"))
    # One more part after the last round chooses between its responses and the earlier ones.
    for number in range(1, request.mend_rounds + 2) if request.mend_rounds else ():
        stage, repair = REPAIR_STAGE + 2 * (number - 1), RepairSpec(round=number)
        parts.append(NewPart(kind="mend", queue="enrich", stage=stage, spec=repair, total=num_labels, unit="labels"))
    num_pages = -(-num_labels // PAGE_SIZE)
    parts += _chunks("assemble", num_pages, PAGES_PER_PART, unit="pages", stage=LAST_STAGE)
    parts.append(NewPart(kind="report", queue="enrich", stage=LAST_STAGE + 1, total=num_labels, unit="labels"))
    return parts


def _pair_steps(strategies: list[Strategy]) -> tuple[int, ...]:
    return tuple(step for step, strategy in enumerate(strategies) if strategy.about == "pair")


def _teacher(
    request: EnrichIn, strategies: list[Strategy], pair_steps: tuple[int, ...], settings: Settings
) -> str | None:
    """The teacher that finds confusable labels; required by strategies about pairs, refused without one."""
    if pair_steps and request.teacher is None:
        detail = f"{strategies[pair_steps[0]].ref} compares labels that a teacher confuses: name the teacher"
        raise unprocessable("teacher_missing", detail, "/teacher")
    if request.teacher is None:
        return None
    if not pair_steps:
        detail = "no strategy of this job compares pairs: leave the teacher out"
        raise unprocessable("teacher_unused", detail, "/teacher")
    return parse_teacher_ref(request.teacher, settings.data)


def _plan_captions(
    tx: Session, request: EnrichIn, strategies: list[Strategy], llm: ResolvedEndpoint, settings: Settings
) -> EnrichPlan:
    for field in ("vocabulary_id", "base_set_id", "teacher"):
        if getattr(request, field) is not None:
            raise unprocessable("field_unused", f"captions are of a dataset's images: leave {field} out", f"/{field}")
    if len(strategies) > 1:
        detail = "a caption set comes from one strategy: post a job for each"
        raise unprocessable("strategy_unfit", detail, "/strategies/1")
    with not_found_at("/dataset_id"):
        dataset = resources.dataset(tx, request.dataset_id or "")
    num_images = dataset.counts["train"]
    spec = CaptionSpec(
        dataset_id=dataset.id,
        num_images=num_images,
        domain=vocabularies.get(tx, dataset.vocabulary_id).domain,
        strategies=(strategies[0].ref,),
        model=llm.settings.model,
        endpoint=_stored_endpoint(llm),
        samples=request.samples,
        mode=request.mode,
        budget_usd=request.budget_usd,
        budget_tokens=request.budget_tokens,
        language=request.language or "",
        system_prompt=_system_prompt(request, settings),
    )
    parts = _chunks("caption", num_images, _min_chunk(request, settings, IMAGES_PER_BATCH), unit="images")
    last = NewPart(kind="assemble", queue="enrich", stage=LAST_STAGE, total=num_images, unit="images")
    return EnrichPlan(spec=spec, strategies=strategies, parts=[*parts, last], llm=llm)


def _questions_by_kind(plan: EnrichPlan) -> dict[str, list[int]]:
    """Kind of part -> [units, questions per unit].

    All steps about labels share the labels of a part. Each step about pairs has parts of its own; the number of pairs
    is an upper bound.
    """
    spec = plan.spec
    by_kind: dict[str, list[int]] = {}
    for strategy in plan.strategies:
        kind = _PART_KINDS[strategy.about]
        units, questions = by_kind.get(kind, [0, 0])
        if isinstance(spec, CaptionSpec):
            by_kind[kind] = [spec.num_images, questions + strategy.num_questions]
        elif strategy.about == "pair":
            pairs = spec.num_labels * (spec.neighbours or 0)
            by_kind[kind] = [units + pairs, max(questions, strategy.num_questions)]
        else:
            by_kind[kind] = [spec.num_labels, questions + strategy.num_questions]
    if isinstance(spec, DescribeSpec) and spec.mend_rounds:
        by_kind["correct"] = [0, 1]  # the number of questions is known only after the gates have judged
    return by_kind


def _min_chunk(request: EnrichIn, settings: Settings, per_batch: int) -> int:
    """Least units per part; in batch mode as many as fit one batch."""
    return settings.enrich_chunk if request.mode == "live" else max(1, per_batch)


def _chunks(kind: str, total: int, min_size: int, *, unit: str, stage: int = 0) -> list[NewPart]:
    """Parts of at least `min_size` units, at most `MAX_PARTS` of them."""
    size = max(min_size, -(-total // MAX_PARTS))
    ranges = [RangeSpec(start=start, stop=min(start + size, total)) for start in range(0, total, size)]
    return [
        NewPart(kind=kind, queue="enrich", stage=stage, spec=one, total=one.stop - one.start, unit=unit)
        for one in ranges
    ]
