"""Bodies of job requests by `kind`, checked against the stored resources and turned into a spec and its parts.

Every error that can be known when the job is posted is reported here, not by a worker an hour later.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ModelWrapValidatorHandler, PrivateAttr, model_validator
from sqlalchemy.orm import Session

from api.http.problems import (
    not_found_at,
    unprocessable,
)
from api.jobs import few_shot, multi_label
from api.jobs.evaluate_request import EvaluateIn, further_sets
from api.jobs.image_captions import has_captions
from api.jobs.job_options import PROMPT_FIELD, SET_FIELD, JobRequestModel, TextOfLabels
from api.jobs.job_plan import JobPlan
from api.jobs.plan_enrich import EnrichIn, add_usage, plan_enrich
from api.jobs.training_config import train_config
from api.readers.teacher_refs import TEACHER_FIELD, parse_teacher_ref
from distill.config.loss_registry import UnlabelledUnused, check_unlabelled_used
from distill.config.model_names import check_student
from distill.config.recipes import RECIPES
from distill.config.train_config import TrainConfig, TrainSettings
from distill.config.training_estimate import TrainingEstimate, estimate_training
from distill.data.image_index import ImageIndex
from distill.data.splits import PARTS
from distill.texts.text_templates import PromptOptions, TextKind
from limbeck.shared.text import counted
from store import resources, vocabularies
from store.access import limits
from store.access.principals import Principal
from store.jobs import jobs
from store.jobs.jobs import NewPart, distill_spec
from store.jobs.specs import (
    CheckpointSubject,
    DistillSpec,
    EncodeSpec,
    EvaluateSpec,
    NodeSpec,
    ProveSpec,
    RangeSpec,
    SaveCheckpoints,
    TeacherSubject,
)
from store.models import Dataset, Job
from store.removal import holds
from store.sets import attribute_sets, caption_sets
from store.settings import Settings

MAX_NPROC = 64
MAX_NNODES = 64


class EncodeIn(JobRequestModel):
    """Encode the texts of a vocabulary's labels with a teacher."""

    kind: Literal["encode"]
    vocabulary_id: str | None = Field(None, description="If absent, the vocabulary of the attribute set.")
    attribute_set_id: str | None = SET_FIELD
    teacher: Annotated[str | None, TEACHER_FIELD] = None
    checkpoint_id: str | None = Field(
        None, description="Encode with the teacher of this student, so that the features are targets for it."
    )
    text: TextOfLabels = "names"
    prompt: PromptOptions = PROMPT_FIELD

    @model_validator(mode="after")
    def _names_a_teacher(self) -> "EncodeIn":
        if self.checkpoint_id is None and self.teacher is None:
            raise ValueError("name a teacher, or a checkpoint_id whose teacher is used")
        return self


class DistillIn(JobRequestModel):
    """Distil a teacher into a student, evaluate it, and publish it as a checkpoint."""

    kind: Literal["distill"]
    dataset_id: str
    attribute_set_id: str | None = SET_FIELD
    teacher: str = TEACHER_FIELD
    text: TextOfLabels = "names"
    prompt: PromptOptions = PROMPT_FIELD
    recipe: str = Field("limbeck", description=f"One of {', '.join(RECIPES)}.")
    config: TrainSettings = Field(
        TrainSettings(), description="Settings that override the recipe's.", examples=[{"schedule": {"epochs": 10}}]
    )
    start_checkpoint_id: str | None = Field(None, description="For protocol fine_tune: the initial student.")
    caption_set_id: str | None = Field(None, description="For the loss cap: captions of the dataset's images.")
    save_checkpoints: SaveCheckpoints | None = Field(
        None, description="Keep students while the training runs: `/v1/jobs/{id}/checkpoints`."
    )
    nproc: int = Field(
        1,
        ge=1,
        le=MAX_NPROC,
        description="Processes (ranks) of one machine that train the student together, each on one GPU, or "
        "all on the CPU of a worker without GPUs. `batch_size` is that of all ranks together.",
    )
    nnodes: int = Field(
        1,
        ge=1,
        le=MAX_NNODES,
        description="Machines that train the student together, each with `nproc` ranks: as many GPU workers, which "
        "must be free at the same time and reach each other.",
    )
    _given_config: Mapping[str, object] = PrivateAttr(default_factory=dict)

    @model_validator(mode="wrap")
    @classmethod
    def _keep_given_config(cls, body: object, validate: ModelWrapValidatorHandler[Self]) -> Self:
        """Keep the config as the client wrote it: pointers of errors must lead into it, also with short names."""
        request = validate(body)
        given = body.get("config") if isinstance(body, Mapping) else None
        request._given_config = given if isinstance(given, Mapping) else request.config.model_dump(exclude_unset=True)
        return request


class ProveIn(JobRequestModel):
    """Measure whether a set's attributes improve a teacher more than controls without information."""

    kind: Literal["prove"]
    dataset_id: str
    attribute_set_id: str
    teacher: str = TEACHER_FIELD
    concept: str = Field("", max_length=100, description="A word for all labels (`bird`), for the arms that use one.")
    seeds: int = Field(3, ge=1, le=20, description="Number of random samples of each control.")
    filter_phrases: bool = Field(
        False,
        description="Also create a set without the phrases that the training images contradict, unless the accuracy on "
        "held-out images falls without them.",
    )


JobIn = Annotated[EnrichIn | EncodeIn | DistillIn | EvaluateIn | ProveIn, Field(discriminator="kind")]
EXAMPLES: list[Any] = [
    {"kind": "enrich", "vocabulary_id": "voc_01k9yzc3sw8r1mv5n3f4b7qd2x", "strategies": ["sentence", "phrases"]},
    {
        "kind": "distill",
        "dataset_id": "dst_01k9yzf0m1x6tq8v2c9w5rj7ae",
        "attribute_set_id": "ats_01k9yzd7gh2n4p6s8t0v1w3x5y",
        "teacher": "ViT-B-32:openai",
        "text": "phrases",
        "recipe": "limbeck",
        "config": {"student": {"architecture": "resnet18"}, "schedule": {"epochs": 30}},
    },
    {
        "kind": "evaluate",
        "dataset_id": "dst_01k9yzf0m1x6tq8v2c9w5rj7ae",
        "checkpoint_id": "ckp_01k9yzk4m7q2w8e5r1t6y3u9p0",
    },
]


JobRequest = EnrichIn | EncodeIn | DistillIn | EvaluateIn | ProveIn


def create(
    tx: Session, request: JobRequest, settings: Settings, principal: Principal, *, reuse: bool = False
) -> tuple[Job, bool]:
    """Create the queued job that the body asks for, of this principal; returns it, and whether it existed before.

    `reuse`: return the newest job with the same inputs that runs or has succeeded, if there is one. Raises ProblemError
    with pointers, and NotFound if an input is deleted at the same time.
    """
    planned = plan(tx, request, settings)
    inputs_digest = planned.inputs_digest(settings.data)
    if reuse:
        jobs.lock_inputs(tx, inputs_digest)
        if (found := jobs.newest_usable(tx, inputs_digest)) is not None:
            return found, True
    enrich = planned.enrich
    limits.check_new_job(
        tx, principal, uses_llm=enrich is not None, cap_pusd=enrich.cap_pusd if enrich is not None else None
    )
    holds.hold_named(tx, planned.spec.as_json())
    job = jobs.create(
        tx,
        planned.spec,
        planned.parts,
        inputs_digest=inputs_digest,
        owner=principal.owner,
        priority=request.priority,
    )
    if enrich is not None:
        add_usage(tx, enrich, job.id)
    return job, False


def plan(tx: Session, request: JobRequest, settings: Settings, planned_images: ImageIndex | None = None) -> JobPlan:
    """The job that the body asks for; nothing is stored. Raises ProblemError with pointers.

    `planned_images`: those of a dataset whose row will not be kept.
    """
    if isinstance(request, EnrichIn):
        enrich = plan_enrich(tx, request, settings)
        return JobPlan(enrich.spec, enrich.parts, enrich)
    if isinstance(request, EncodeIn):
        return _encode(tx, request, settings)
    if isinstance(request, DistillIn):
        return _distill(tx, request, settings, planned_images)
    if isinstance(request, ProveIn):
        return _prove(tx, request, settings)
    return _evaluate(tx, request, settings)


def _encode(tx: Session, request: EncodeIn, settings: Settings) -> JobPlan:
    vocabulary_id = request.vocabulary_id
    if vocabulary_id is None:
        if request.attribute_set_id is None:
            raise unprocessable("vocabulary_missing", "name a vocabulary_id or an attribute_set_id", "/vocabulary_id")
        with not_found_at("/attribute_set_id"):
            vocabulary_id = attribute_sets.get(tx, request.attribute_set_id).vocabulary_id
    with not_found_at("/vocabulary_id"):
        vocabulary = vocabularies.get(tx, vocabulary_id)
    _check_text(tx, request.text, request.attribute_set_id, vocabulary_id)
    spec = EncodeSpec(
        vocabulary_id=vocabulary_id,
        attribute_set_id=request.attribute_set_id,
        teacher=_teacher(tx, request.teacher, request.checkpoint_id, settings),
        text=request.text,
        prompt=request.prompt,
    )
    return JobPlan(spec, [_encode_part(vocabulary.num_labels)])


def _distill(tx: Session, request: DistillIn, settings: Settings, planned_images: ImageIndex | None) -> JobPlan:
    with not_found_at("/dataset_id"):
        dataset = resources.dataset(tx, request.dataset_id)
    if not dataset.counts["train"]:
        detail = "the dataset has no image to train on: register it with another split"
        raise unprocessable("no_images", detail, "/dataset_id")
    _check_text(tx, request.text, request.attribute_set_id, dataset.vocabulary_id)
    given, num_ranks = request._given_config, request.nproc * request.nnodes
    config = train_config(request.recipe, given, dataset.counts, settings.data, num_ranks=num_ranks)
    try:
        check_unlabelled_used(config.objective.losses.above_zero(), dataset.counts.get("unlabelled", 0))
    except UnlabelledUnused as error:
        raise unprocessable("unlabelled_unused", str(error), "/config") from None
    if dataset.labels_per_image is not None:
        multi_label.check_training(config, given)
    _check_ranks(config, request.nproc, request.nnodes, num_images=dataset.counts["train"])
    teacher = parse_teacher_ref(request.teacher, settings.data)
    _check_start(tx, request.start_checkpoint_id, config, teacher)
    uses_captions = "cap" in config.objective.losses.above_zero()
    if request.caption_set_id is not None:
        _check_caption_set(tx, request.caption_set_id, dataset, is_used=uses_captions)
    elif uses_captions and not has_captions(dataset, settings, planned_images):
        detail = (
            "the loss cap needs captions, and the images have none: name a caption_set_id (an enrich job with the "
            "strategy captions makes one), or set losses.cap to 0"
        )
        raise unprocessable("captions_missing", detail, "/caption_set_id")
    if "phrase_kl" in config.objective.losses.above_zero() and request.attribute_set_id is None:
        detail = (
            "the loss phrase_kl needs the phrases of an attribute set: name an attribute_set_id, or set "
            "losses.phrase_kl to 0"
        )
        raise unprocessable("phrases_missing", detail, "/attribute_set_id")
    _check_save_checkpoints(request.save_checkpoints, config)
    few_shot.check_training(config, given, dataset, settings, planned_images)
    spec = DistillSpec(
        dataset_id=dataset.id,
        vocabulary_id=dataset.vocabulary_id,
        attribute_set_id=request.attribute_set_id,
        teacher=teacher,
        text=request.text,
        prompt=request.prompt,
        recipe=request.recipe,
        config=config,
        start_checkpoint_id=request.start_checkpoint_id,
        caption_set_id=request.caption_set_id,
        save_checkpoints=request.save_checkpoints,
        nproc=request.nproc,
        nnodes=request.nnodes,
    )
    num_labels = vocabularies.get(tx, dataset.vocabulary_id).num_labels
    parts = [
        _encode_part(num_labels),
        *_features_parts(dataset, settings, trains=config.encodes_ahead),
        NewPart(kind="train", queue="gpu", stage=1, num_gpus=spec.num_gpus),
        *(
            NewPart(kind="train_node", queue="gpu", stage=1, num_gpus=spec.num_gpus, spec=NodeSpec(node=node))
            for node in range(1, spec.nnodes)
        ),
        NewPart(kind="evaluate", queue="gpu", stage=2),
    ]
    training = _training(spec, dataset.counts)
    return JobPlan(spec, parts, training=training, counts=dataset.counts, given_config=given)


def _training(spec: DistillSpec, counts: Mapping[str, int]) -> TrainingEstimate | None:
    """What the training will do; None for too few images, which the training itself refuses by their number."""
    try:
        return estimate_training(spec.config, spec.recipe, counts, spec.nproc * spec.nnodes)
    except ValueError:
        return None


def _check_save_checkpoints(wanted: SaveCheckpoints | None, config: TrainConfig) -> None:
    """Refuse checkpoints that the training would never have."""
    if wanted is None:
        return
    pointer, epochs = "/save_checkpoints/every_epochs", config.schedule.epochs
    if wanted.every_epochs > epochs and config.schedule.time_budget_s is None:
        detail = f"the training has {counted(epochs, 'epoch')}: nothing would be kept; name at most this number"
        raise unprocessable("checkpoints_unfit", detail, pointer)
    if config.data.protocol == "closed_set":
        detail = "protocol closed_set trains a baseline without text targets, which has no checkpoints: leave them out"
        raise unprocessable("checkpoints_unfit", detail, "/save_checkpoints")


def _check_ranks(config: TrainConfig, nproc: int, nnodes: int, *, num_images: int) -> None:
    """Refuse ranks that cannot share the batches of the config evenly, or whose share has fewer than two images."""
    if nproc * nnodes == 1:
        return
    pointer = "/nproc" if nproc > 1 else "/nnodes"
    batch_size, accumulate = config.schedule.batch_size, config.schedule.accumulate
    factors = {"nproc": nproc, "nnodes": nnodes, "accumulate": accumulate}
    parts = nproc * nnodes * accumulate
    if batch_size % parts:
        of = " times ".join(f"{name} {factor}" for name, factor in factors.items() if factor > 1)
        detail = f"batch_size {batch_size}, that of all ranks together, is no multiple of {parts} ({of}): change one"
        raise unprocessable("ranks_unfit", detail, pointer)
    if num_images < 2 * parts:
        detail = (
            f"{counted(num_images, 'image')} to train on: at least two are needed for each of "
            f"{counted(parts, 'part')} of a batch"
        )
        raise unprocessable("ranks_unfit", detail, pointer)


def _check_caption_set(tx: Session, id: str, dataset: Dataset, *, is_used: bool) -> None:
    """Refuse captions that no loss uses, and captions of other images."""
    with not_found_at("/caption_set_id"):
        caption_set = caption_sets.get(tx, id)
    if caption_set.dataset_id != dataset.id:
        detail = f"the captions are of dataset {caption_set.dataset_id}, and the images of {dataset.id}"
        raise unprocessable("dataset_mismatch", detail, "/caption_set_id")
    if not is_used:
        detail = "captions are for the loss cap, whose weight is 0: set losses.cap in config, or leave the captions out"
        raise unprocessable("caption_set_unused", detail, "/caption_set_id")


def _check_start(tx: Session, checkpoint_id: str | None, config: TrainConfig, teacher: str) -> None:
    """Refuse an initial student that the protocol does not use, or that does not fit the config or the teacher."""
    if (checkpoint_id is None) == (config.data.protocol == "fine_tune"):
        detail = (
            "protocol fine_tune continues from a student: name its checkpoint"
            if checkpoint_id is None
            else f"start_checkpoint_id is for protocol fine_tune, and the protocol is {config.data.protocol}"
        )
        raise unprocessable("start_unfit", detail, "/start_checkpoint_id")
    if checkpoint_id is None:
        return
    with not_found_at("/start_checkpoint_id"):
        checkpoint = resources.checkpoint(tx, checkpoint_id)
    # The architecture of a repository of the Hub is known only to the worker, which compares the weights.
    architecture = check_student(config.student.architecture).architecture
    its_teacher = distill_spec(tx, checkpoint.job_id).teacher
    if architecture is not None and checkpoint.student != architecture:
        detail = f"the checkpoint is a {checkpoint.student}, and the config trains a {architecture}: set config.student"
        raise unprocessable("start_unfit", detail, "/start_checkpoint_id")
    if its_teacher != teacher:
        detail = f"the checkpoint was distilled from {its_teacher}, and this job's teacher is {teacher}: use the same"
        raise unprocessable("start_unfit", detail, "/start_checkpoint_id")


def _evaluate(tx: Session, request: EvaluateIn, settings: Settings) -> JobPlan:
    with not_found_at("/dataset_id"):
        dataset = resources.dataset(tx, request.dataset_id)
    _check_measurable(dataset)
    multi_label.check_evaluation(tx, request, dataset)
    _check_text(tx, request.text, request.attribute_set_id, dataset.vocabulary_id)
    subject: CheckpointSubject | TeacherSubject
    teacher = _teacher(tx, request.teacher, request.checkpoint_id, settings)
    few_shot.check_evaluation(tx, request, dataset, settings)
    if request.checkpoint_id is not None:
        subject = CheckpointSubject(checkpoint_id=request.checkpoint_id)
    else:
        subject = TeacherSubject(teacher=teacher)
    spec = EvaluateSpec(
        subject=subject,
        dataset_id=dataset.id,
        vocabulary_id=dataset.vocabulary_id,
        attribute_set_id=request.attribute_set_id,
        teacher=teacher,
        text=request.text,
        prompt=request.prompt,
        shots=request.shots,
        **further_sets(tx, request, dataset),
    )
    num_labels = vocabularies.get(tx, dataset.vocabulary_id).num_labels
    features = _features_parts(dataset, settings, trains=False) if isinstance(subject, TeacherSubject) else []
    parts = [_encode_part(num_labels), *features, NewPart(kind="evaluate", queue="gpu", stage=1)]
    return JobPlan(spec, parts)


def _features_parts(dataset: Dataset, settings: Settings, *, trains: bool) -> list[NewPart]:
    """A part for each range of images that GPU workers encode side by side; none if the images are one chunk or less,
    or for the embedded worker, which is the only one.

    `trains`: whether the training images are encoded, and not only those that are measured.
    """
    if not settings.distributed:
        return []
    counts, chunk = dataset.counts, settings.features_chunk
    used = sum(counts.get(part, 0) for part in (PARTS if trains else ("held_out", "ood")))
    if used <= chunk:
        return []
    num_rows = sum(counts.get(part, 0) for part in PARTS)
    ranges = [RangeSpec(start=start, stop=min(start + chunk, num_rows)) for start in range(0, num_rows, chunk)]
    return [
        NewPart(kind="features", queue="gpu", spec=one, total=one.stop - one.start, unit="images") for one in ranges
    ]


def _teacher(tx: Session, ref: str | None, checkpoint_id: str | None, settings: Settings) -> str:
    """The teacher that encodes texts: that of the checkpoint, else `ref`. Refuses another one than the checkpoint's."""
    given = None if ref is None else parse_teacher_ref(ref, settings.data)
    if checkpoint_id is None:
        return given or ""
    with not_found_at("/checkpoint_id"):
        checkpoint = resources.checkpoint(tx, checkpoint_id)
    # A student is aligned with the texts of the teacher it was distilled from.
    own = distill_spec(tx, checkpoint.job_id).teacher
    if given is None or given == own:
        return own
    loaded, trained = resources.newest_teacher(tx, given), resources.teacher(tx, checkpoint.teacher_id)
    if loaded is None or loaded.digest != trained.digest:
        weights = f" (weights {loaded.digest[:12]})" if loaded else ""
        detail = (
            f"the student was distilled from {own} (weights {trained.digest[:12]}), and understands no texts of "
            f"{given}{weights}: leave the teacher out"
        )
        raise unprocessable("teacher_mismatch", detail, "/teacher")
    return given


def _prove(tx: Session, request: ProveIn, settings: Settings) -> JobPlan:
    with not_found_at("/dataset_id"):
        dataset = resources.dataset(tx, request.dataset_id)
    multi_label.refuse(dataset, "whether attributes help is measured", "/dataset_id")
    _check_text(tx, "all", request.attribute_set_id, dataset.vocabulary_id)
    _check_measurable(dataset)
    spec = ProveSpec(
        dataset_id=dataset.id,
        vocabulary_id=dataset.vocabulary_id,
        attribute_set_id=request.attribute_set_id,
        teacher=parse_teacher_ref(request.teacher, settings.data),
        concept=request.concept,
        seeds=request.seeds,
        filter_phrases=request.filter_phrases,
    )
    return JobPlan(spec, [NewPart(kind="prove", queue="gpu")])


def _check_measurable(dataset: Dataset) -> None:
    if not dataset.counts["held_out"] and not dataset.counts["ood"]:
        detail = "the dataset has no held-out image and no image of an unseen label"
        raise unprocessable("nothing_to_measure", detail, "/dataset_id")


def _encode_part(num_labels: int) -> NewPart:
    return NewPart(kind="encode", queue="gpu", total=num_labels, unit="texts")


def _check_text(tx: Session, text: TextKind, attribute_set_id: str | None, vocabulary_id: str) -> None:
    if attribute_set_id is None:
        if text != "names":
            detail = f'text "{text}" needs attributes: name an attribute_set_id'
            raise unprocessable("attribute_set_missing", detail, "/attribute_set_id")
        return
    with not_found_at("/attribute_set_id"):
        attribute_set = attribute_sets.get(tx, attribute_set_id)
    if text == "names":
        detail = 'text "names" uses no attributes: leave attribute_set_id out, or choose another text'
        raise unprocessable("attribute_set_unused", detail, "/attribute_set_id")
    if attribute_set.vocabulary_id != vocabulary_id:
        detail = f"the set describes {attribute_set.vocabulary_id}, and the labels are those of {vocabulary_id}"
        raise unprocessable("vocabulary_mismatch", detail, "/attribute_set_id")
