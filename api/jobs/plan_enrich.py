"""What an enrich job is asked to do: a chain of strategies about labels, about pairs of them, or about images.

stage 0   describe     chunks of labels, all strategies about labels at once
stage 1   neighbours   with a teacher, where a strategy asks about pairs; makes stage 2, the chunks of pairs
then      mend         with rounds: judges what is said, makes the questions to ask again, chooses among the answers
last      assemble     the answers become the pages of a set, or a file of captions
after it  report       the gates over these pages
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from sqlalchemy.orm import Session

from api.http.problems import ProblemError, StorableInput, at, json_pointer, refused
from api.http.schemas import PlainText
from api.readers.teacher_refs import TEACHER, teacher_ref
from attributes.llm.prices import Price, PriceError, load_prices, pusd
from attributes.llm.settings import OPENAI_BASE_URL
from attributes.prompts.chain import StepError, pick_chain
from attributes.prompts.strategy import MAX_SAMPLES, About, Strategy, StrategyError
from store import resources, vocabularies
from store.enrich import usage
from store.jobs import lifecycle
from store.jobs.lifecycle import NewPart
from store.models import Job
from store.sets import attribute_sets
from store.sets.attribute_sets import PAGE_SIZE
from store.settings import Settings

MAX_STRATEGIES = 8
MAX_BUDGET_TOKENS = 10**15
MAX_NEIGHBOURS = 10
ASKS_PER_BATCH, IMAGES_PER_BATCH = 5_000, 512  # what a batch brought is kept in one transaction
MOST_PARTS = 128  # of a stage: to begin and end one costs what some twenty labels cost whose answers are known
PAGES_PER_PART = 32
MEND_STAGE = 80
LAST_STAGE = 90
MAX_MEND_ROUNDS = 3
_KINDS: dict[About, str] = {"label": "describe", "pair": "contrast", "image": "caption"}
_USD = re.compile(r"\d{1,6}(\.\d{1,12})?")


def _dollars(given: str | None) -> str | None:
    if given is None:
        return None
    if not _USD.fullmatch(given) or not Decimal(given):
        raise ValueError('must be dollars above 0 as text, such as "2.50", with at most 12 digits after the point')
    return given


class EnrichIn(StorableInput):
    """Have an LLM describe each label of a vocabulary, or caption each training image of a dataset."""

    kind: Literal["enrich"]
    vocabulary_id: str | None = None
    dataset_id: str | None = Field(None, description="In place of a vocabulary, for strategies about images.")
    strategies: list[Annotated[str, Field(max_length=100)]] = Field(
        ["describe"],
        min_length=1,
        max_length=MAX_STRATEGIES,
        description="By name, or name@version.",
        examples=[["sentence", "phrases", "contrast"]],
    )
    model: PlainText | None = Field(None, description="The operator's (LIMBECK_LLM_MODEL) where absent.")
    base_set_id: str | None = Field(
        None, description="A set, of this vocabulary or another, whose locked and human lines are kept."
    )
    teacher: Annotated[str | None, TEACHER] = None
    neighbours: int = Field(
        MAX_NEIGHBOURS, ge=1, le=MAX_NEIGHBOURS, description="How many of the nearest labels each is told apart from."
    )
    mend_rounds: int = Field(
        1, ge=0, le=MAX_MEND_ROUNDS, description="How often what the gates catch is asked for again, with its faults."
    )
    samples: int | None = Field(
        None,
        ge=1,
        le=MAX_SAMPLES,
        description="Answers to a question, for strategies that sample; their own where absent.",
    )
    mode: Literal["live", "batch"] = Field(
        "live", description="`batch`: by the server's Batch API, at its price and within a day."
    )
    budget_usd: Annotated[str | None, AfterValidator(_dollars)] = Field(
        None, description="The most that all calls may cost; the model's price must be known.", examples=["2.50"]
    )
    budget_tokens: int | None = Field(
        None, ge=1, le=MAX_BUDGET_TOKENS, description="The most tokens that all calls may take, answers included."
    )


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What a body asks for, found to be right."""

    spec: dict[str, Any]
    chain: list[Strategy]
    parts: list[NewPart]


def create_enrich(tx: Session, given: EnrichIn, settings: Settings) -> Job:
    """The queued job, with nothing spent yet. Raises ProblemError with pointers."""
    planned = plan_enrich(tx, given, settings)
    spec = planned.spec
    job = lifecycle.create(tx, "enrich", spec, planned.parts)
    cap_pusd = pusd(Decimal(spec["budget_usd"])) if "budget_usd" in spec else None
    plan = _plan(spec, planned.chain)
    usage.begin(tx, job.id, cap_pusd=cap_pusd, cap_tokens=spec.get("budget_tokens"), plan=plan)
    return job


def plan_enrich(tx: Session, given: EnrichIn, settings: Settings) -> Planned:
    """What such a job would be, without making one. Raises ProblemError with pointers."""
    chain = _chain(given, settings)
    model = given.model or settings.llm_model
    if not model:
        raise refused("model_missing", "name a model; the operator has set none (LIMBECK_LLM_MODEL)", "/model")
    spec: dict[str, Any] = {"strategies": [one.ref for one in chain], "model": model}
    if given.samples is not None:
        spec["samples"] = given.samples
    if given.mode == "batch":
        spec["mode"] = given.mode
    if given.budget_tokens is not None:
        spec["budget_tokens"] = given.budget_tokens
    if given.budget_usd is not None:
        must_be_priced(model, settings)
        spec["budget_usd"] = given.budget_usd
    if any(one.about == "image" for one in chain):
        return _caption(tx, given, chain, spec, settings)
    return _describe(tx, given, chain, spec, settings)


def must_be_priced(model: str, settings: Settings) -> Price:
    """The model's price. Raises ProblemError where it is not known: a cap that counted it as 0 would hold nobody."""
    found = price_of(model, settings)
    if found is None:
        place = settings.llm_base_url or OPENAI_BASE_URL
        detail = f"the price of {model} at {place} is not known: give budget_tokens, or a price in LIMBECK_PRICES"
        raise refused("price_unknown", detail, "/budget_usd")
    return found


def price_of(model: str, settings: Settings) -> Price | None:
    """What the operator's server takes for the model, None where nobody said. Raises ProblemError."""
    try:
        return load_prices(settings.prices).of(model, settings.llm_base_url)
    except PriceError as error:
        raise ProblemError(500, "prices_unreadable", str(error)) from None


def _chain(given: EnrichIn, settings: Settings) -> list[Strategy]:
    try:
        chain = pick_chain(given.strategies, folder=settings.strategies_dir, samples=given.samples)
    except StepError as error:
        pointer = "/samples" if error.step is None else json_pointer("strategies", str(error.step))
        raise refused("strategy_unknown" if error.is_unknown else "strategy_unfit", str(error), pointer) from None
    except StrategyError as error:  # a file of the operator's own that cannot be read
        raise refused("strategy_unfit", str(error), "/strategies") from None
    for step, strategy in enumerate(chain):
        if (strategy.about == "image") != (given.dataset_id is not None):
            wants = "images: name a dataset_id" if strategy.about == "image" else "labels: name a vocabulary_id"
            pointer = json_pointer("strategies", str(step))
            raise refused("strategy_unfit", f"{strategy.ref} asks about {wants}", pointer)
    return chain


def _describe(tx: Session, given: EnrichIn, chain: list[Strategy], spec: dict[str, Any], settings: Settings) -> Planned:
    if given.vocabulary_id is None:
        raise refused("vocabulary_missing", "name the vocabulary whose labels are to be described", "/vocabulary_id")
    with at("/vocabulary_id"):
        vocabulary = vocabularies.get(tx, given.vocabulary_id)
    num_labels = vocabulary.num_labels
    spec = {"vocabulary_id": vocabulary.id, "num_labels": num_labels, "domain": vocabulary.domain, **spec}
    if given.base_set_id is not None:
        with at("/base_set_id"):
            base = attribute_sets.get(tx, given.base_set_id)
        spec |= {"base_set_id": base.id, "same_vocabulary": base.vocabulary_id == vocabulary.id}
    parts: list[NewPart] = []
    if any(one.about == "label" for one in chain):
        per_label = sum(one.num_asks for one in chain if one.about == "label")
        parts += _chunks("describe", num_labels, _least(given, settings, ASKS_PER_BATCH // per_label), unit="labels")
    pairs = [step for step, one in enumerate(chain) if one.about == "pair"]
    if pairs:
        if given.teacher is None:
            detail = f"{chain[pairs[0]].ref} tells labels apart that a teacher takes for each other: name the teacher"
            raise refused("teacher_missing", detail, "/teacher")
        spec |= {"teacher": teacher_ref(given.teacher, settings.data), "neighbours": given.neighbours}
        parts.append(
            NewPart(kind="neighbours", queue="gpu", stage=1, spec={"steps": pairs}, total=num_labels, unit="texts")
        )
    elif given.teacher is not None:
        raise refused("teacher_unused", "no strategy of this job asks about pairs: leave the teacher out", "/teacher")
    spec["mend_rounds"] = given.mend_rounds
    parts += [
        NewPart(
            kind="mend",
            queue="enrich",
            stage=MEND_STAGE + 2 * (number - 1),
            spec={"round": number},
            total=num_labels,
            unit="labels",
        )
        for number in range(1, given.mend_rounds + 2 if given.mend_rounds else 1)
    ]
    num_pages = -(-num_labels // PAGE_SIZE)
    parts += _chunks("assemble", num_pages, PAGES_PER_PART, unit="pages", stage=LAST_STAGE)
    parts.append(NewPart(kind="report", queue="enrich", stage=LAST_STAGE + 1, total=num_labels, unit="labels"))
    return Planned(spec=spec, chain=chain, parts=parts)


def _caption(tx: Session, given: EnrichIn, chain: list[Strategy], spec: dict[str, Any], settings: Settings) -> Planned:
    for field in ("vocabulary_id", "base_set_id", "teacher"):
        if getattr(given, field) is not None:
            raise refused("field_unused", f"captions are of a dataset's images: leave {field} out", f"/{field}")
    if len(chain) > 1:
        raise refused("strategy_unfit", "a caption set comes from one strategy: post a job for each", "/strategies/1")
    with at("/dataset_id"):
        dataset = resources.dataset(tx, given.dataset_id or "")
    num_images = dataset.counts["train"]
    domain = vocabularies.get(tx, dataset.vocabulary_id).domain
    spec = {"dataset_id": dataset.id, "num_images": num_images, "domain": domain, **spec}
    parts = _chunks("caption", num_images, _least(given, settings, IMAGES_PER_BATCH), unit="images")
    last = NewPart(kind="assemble", queue="enrich", stage=LAST_STAGE, total=num_images, unit="images")
    return Planned(spec=spec, chain=chain, parts=[*parts, last])


def _plan(spec: dict[str, Any], chain: list[Strategy]) -> dict[str, list[int]]:
    """Kind of part → its units, and the questions of each. All steps about labels share a part's labels; each of those
    about pairs has parts of its own, and how many pairs there will be nobody knows before: at most that many."""
    plan: dict[str, list[int]] = {}
    for strategy in chain:
        kind = _KINDS[strategy.about]
        units, questions = plan.get(kind, [0, 0])
        if strategy.about == "pair":
            plan[kind] = [units + spec["num_labels"] * spec["neighbours"], max(questions, strategy.num_asks)]
        else:
            plan[kind] = [spec.get("num_labels") or spec["num_images"], questions + strategy.num_asks]
    if spec.get("mend_rounds"):
        plan["correct"] = [0, 1]  # how many answers will be asked for again is known once the gates have looked
    return plan


def _least(given: EnrichIn, settings: Settings, per_batch: int) -> int:
    """Units a part: in batches as many as make one worth its while."""
    return settings.enrich_chunk if given.mode == "live" else max(1, per_batch)


def _chunks(kind: str, total: int, least: int, *, unit: str, stage: int = 0) -> list[NewPart]:
    """Parts of at least `least` units, and no more than `MOST_PARTS` of them."""
    size = max(least, -(-total // MOST_PARTS))
    return [
        NewPart(
            kind=kind, queue="enrich", stage=stage, spec={"start": start, "stop": stop}, total=stop - start, unit=unit
        )
        for start in range(0, total, size)
        for stop in (min(start + size, total),)
    ]
