"""What jobs are asked to do: bodies by `kind`, held against what is there, and turned into a spec and its parts.

Whatever can be known to be wrong is refused here, when it is posted, and not an hour later in a worker.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator
from sqlalchemy.orm import Session

from api.http.problems import StorableInput, at, invalid, json_pointer, refused
from api.jobs.plan_enrich import EnrichIn, create_enrich
from api.readers.teacher_refs import TEACHER, teacher_ref
from distill.config.model_names import UnknownName, check_student
from distill.config.recipes import RECIPES, resolve_train_config
from distill.config.train_config import TrainConfig, TrainSettings
from distill.texts.text_templates import PromptOptions, TextKind
from store import resources, vocabularies
from store.jobs import lifecycle
from store.jobs.lifecycle import NewPart
from store.models import Job
from store.sets import attribute_sets, caption_sets
from store.settings import Settings

_SET = Field(None, description="What all texts but `names` are made of.")
_PROMPT = Field(PromptOptions(), description="How that is put: a concept word, templates, with or without the name.")
_Text = Annotated[TextKind, Field(description="What the teacher reads of a label besides its name.")]


class EncodeIn(StorableInput):
    """Have a teacher encode a vocabulary's texts."""

    kind: Literal["encode"]
    vocabulary_id: str | None = Field(None, description="The attribute set's own where absent.")
    attribute_set_id: str | None = _SET
    teacher: str = TEACHER
    text: _Text = "names"
    prompt: PromptOptions = _PROMPT


class DistillIn(StorableInput):
    """Distil a teacher into a student, measure it, and keep it as a checkpoint."""

    kind: Literal["distill"]
    dataset_id: str
    attribute_set_id: str | None = _SET
    teacher: str = TEACHER
    text: _Text = "names"
    prompt: PromptOptions = _PROMPT
    recipe: str = Field("limbeck", description=f"One of {', '.join(RECIPES)}.")
    config: TrainSettings = Field(
        TrainSettings(), description="Settings that override the recipe's.", examples=[{"schedule": {"epochs": 10}}]
    )
    start_checkpoint_id: str | None = Field(None, description="For protocol fine_tune: the student to go on from.")
    caption_set_id: str | None = Field(None, description="For the loss cap: captions of the dataset's images.")


class EvaluateIn(StorableInput):
    """Measure a checkpoint, or a teacher as it is, on a dataset."""

    kind: Literal["evaluate"]
    dataset_id: str
    checkpoint_id: str | None = None
    teacher: Annotated[str | None, TEACHER] = None
    attribute_set_id: str | None = _SET
    text: _Text = "names"
    prompt: PromptOptions = _PROMPT
    shots: int = Field(0, ge=0, le=1000, description="Measure a checkpoint by retrieval too, from so many images.")

    @model_validator(mode="after")
    def _one_subject(self) -> "EvaluateIn":
        if (self.checkpoint_id is None) == (self.teacher is None):
            raise ValueError("name either a checkpoint_id or a teacher to evaluate")
        if self.shots and self.checkpoint_id is None:
            raise ValueError("shots are for a checkpoint: leave them out, or name one")
        return self


class ProveIn(StorableInput):
    """Measure whether a set's attributes help a teacher, beside controls that say nothing."""

    kind: Literal["prove"]
    dataset_id: str
    attribute_set_id: str
    teacher: str = TEACHER
    concept: str = Field("", max_length=100, description="One word for all labels, for the arms that have it.")
    seeds: int = Field(3, ge=1, le=20, description="How often each control is drawn.")
    filter_phrases: bool = Field(
        False, description="Make a set without the phrases that training images deny; refused where held-out ID falls."
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
]


def create(tx: Session, given: EnrichIn | EncodeIn | DistillIn | EvaluateIn | ProveIn, settings: Settings) -> Job:
    """The queued job that the body asks for. Raises ProblemError with pointers."""
    if isinstance(given, EnrichIn):
        return create_enrich(tx, given, settings)
    if isinstance(given, EncodeIn):
        return _encode(tx, given, settings)
    if isinstance(given, DistillIn):
        return _distill(tx, given, settings)
    if isinstance(given, ProveIn):
        return _prove(tx, given, settings)
    return _evaluate(tx, given, settings)


def _encode(tx: Session, given: EncodeIn, settings: Settings) -> Job:
    vocabulary_id = given.vocabulary_id
    if vocabulary_id is None:
        if given.attribute_set_id is None:
            raise refused("vocabulary_missing", "name a vocabulary_id or an attribute_set_id", "/vocabulary_id")
        with at("/attribute_set_id"):
            vocabulary_id = attribute_sets.get(tx, given.attribute_set_id).vocabulary_id
    with at("/vocabulary_id"):
        vocabulary = vocabularies.get(tx, vocabulary_id)
    _check_text(tx, given.text, given.attribute_set_id, vocabulary_id)
    spec = {
        "vocabulary_id": vocabulary_id,
        "attribute_set_id": given.attribute_set_id,
        "teacher": teacher_ref(given.teacher, settings.data),
        "text": given.text,
        "prompt": given.prompt.model_dump(mode="json"),
    }
    return lifecycle.create(tx, "encode", spec, [_encode_part(vocabulary.num_labels)])


def _distill(tx: Session, given: DistillIn, settings: Settings) -> Job:
    with at("/dataset_id"):
        dataset = resources.dataset(tx, given.dataset_id)
    _check_text(tx, given.text, given.attribute_set_id, dataset.vocabulary_id)
    config, teacher = _config(given.recipe, given.config), teacher_ref(given.teacher, settings.data)
    _check_start(tx, given.start_checkpoint_id, config, teacher)
    _check_captions(tx, given, config)
    spec = {
        "dataset_id": dataset.id,
        "vocabulary_id": dataset.vocabulary_id,
        "attribute_set_id": given.attribute_set_id,
        "teacher": teacher,
        "text": given.text,
        "prompt": given.prompt.model_dump(mode="json"),
        "recipe": given.recipe,
        "config": config.model_dump(mode="json"),
        **({"start_checkpoint_id": given.start_checkpoint_id} if given.start_checkpoint_id else {}),
        **({"caption_set_id": given.caption_set_id} if given.caption_set_id else {}),
    }
    num_labels = vocabularies.get(tx, dataset.vocabulary_id).num_labels
    parts = [
        _encode_part(num_labels),
        NewPart(kind="train", queue="gpu", stage=1),
        NewPart(kind="evaluate", queue="gpu", stage=2),
    ]
    return lifecycle.create(tx, "distill", spec, parts)


def _check_captions(tx: Session, given: DistillIn, config: TrainConfig) -> None:
    """Refuse captions that no loss reads, or that are of other images."""
    if given.caption_set_id is None:
        return
    with at("/caption_set_id"):
        found = caption_sets.get(tx, given.caption_set_id)
    if found.dataset_id != given.dataset_id:
        detail = f"the captions are of {found.dataset_id}, and the images those of {given.dataset_id}"
        raise refused("dataset_mismatch", detail, "/caption_set_id")
    if "cap" not in config.objective.losses.above_zero():
        detail = "captions are for the loss cap, which has no weight: add losses.cap to config, or leave them out"
        raise refused("caption_set_unused", detail, "/caption_set_id")


def _check_start(tx: Session, checkpoint_id: str | None, config: TrainConfig, teacher: str) -> None:
    """Refuse a start that is not asked for or does not fit."""
    if (checkpoint_id is None) == (config.data.protocol == "fine_tune"):
        detail = (
            "protocol fine_tune goes on from a student: name its checkpoint"
            if checkpoint_id is None
            else f"a start is for protocol fine_tune, and the protocol is {config.data.protocol}"
        )
        raise refused("start_unfit", detail, "/start_checkpoint_id")
    if checkpoint_id is None:
        return
    with at("/start_checkpoint_id"):
        checkpoint = resources.checkpoint(tx, checkpoint_id)
    theirs = lifecycle.get(tx, checkpoint.job_id).spec["teacher"]
    if checkpoint.student != config.student.architecture:
        wanted = config.student.architecture
        detail = f"the checkpoint is a {checkpoint.student}, and {wanted} is to be trained: set config.student"
        raise refused("start_unfit", detail, "/start_checkpoint_id")
    if theirs != teacher:
        detail = f"the checkpoint was distilled from {theirs}, and {teacher} is to teach: they must be the same"
        raise refused("start_unfit", detail, "/start_checkpoint_id")


def _evaluate(tx: Session, given: EvaluateIn, settings: Settings) -> Job:
    with at("/dataset_id"):
        dataset = resources.dataset(tx, given.dataset_id)
    _check_text(tx, given.text, given.attribute_set_id, dataset.vocabulary_id)
    if given.checkpoint_id is not None:
        with at("/checkpoint_id"):
            checkpoint = resources.checkpoint(tx, given.checkpoint_id)
        # A student understands the words of the teacher it was made from.
        teacher = lifecycle.get(tx, checkpoint.job_id).spec["teacher"]
        subject = {"checkpoint_id": checkpoint.id}
    else:
        teacher = teacher_ref(given.teacher or "", settings.data)
        subject = {"teacher": teacher}
    spec = {
        "subject": subject,
        "dataset_id": dataset.id,
        "vocabulary_id": dataset.vocabulary_id,
        "attribute_set_id": given.attribute_set_id,
        "teacher": teacher,
        "text": given.text,
        "prompt": given.prompt.model_dump(mode="json"),
        **({"shots": given.shots} if given.shots else {}),
    }
    num_labels = vocabularies.get(tx, dataset.vocabulary_id).num_labels
    parts = [_encode_part(num_labels), NewPart(kind="evaluate", queue="gpu", stage=1)]
    return lifecycle.create(tx, "evaluate", spec, parts)


def _prove(tx: Session, given: ProveIn, settings: Settings) -> Job:
    with at("/dataset_id"):
        dataset = resources.dataset(tx, given.dataset_id)
    _check_text(tx, "all", given.attribute_set_id, dataset.vocabulary_id)
    if not dataset.counts["held_out"] and not dataset.counts["ood"]:
        detail = "the dataset has no held-out image and none of an unseen label"
        raise refused("nothing_to_measure", detail, "/dataset_id")
    spec = {
        "dataset_id": dataset.id,
        "vocabulary_id": dataset.vocabulary_id,
        "attribute_set_id": given.attribute_set_id,
        "teacher": teacher_ref(given.teacher, settings.data),
        "concept": given.concept,
        "seeds": given.seeds,
        "filter_phrases": given.filter_phrases,
    }
    return lifecycle.create(tx, "prove", spec, [NewPart(kind="prove", queue="gpu")])


def _encode_part(num_labels: int) -> NewPart:
    return NewPart(kind="encode", queue="gpu", total=num_labels, unit="texts")


def _check_text(tx: Session, text: TextKind, attribute_set_id: str | None, vocabulary_id: str) -> None:
    if attribute_set_id is None:
        if text != "names":
            detail = f'text "{text}" is made of attributes; name the set that has them'
            raise refused("attribute_set_missing", detail, "/attribute_set_id")
        return
    with at("/attribute_set_id"):
        found = attribute_sets.get(tx, attribute_set_id)
    if text == "names":
        detail = 'text "names" uses no attributes; leave attribute_set_id out, or ask for another text'
        raise refused("attribute_set_unused", detail, "/attribute_set_id")
    if found.vocabulary_id != vocabulary_id:
        detail = f"the set describes {found.vocabulary_id}, and the labels are those of {vocabulary_id}"
        raise refused("vocabulary_mismatch", detail, "/attribute_set_id")


def _config(recipe: str, changes: TrainSettings) -> TrainConfig:
    if recipe not in RECIPES:
        raise refused("recipe_unknown", f'no recipe is called "{recipe}"; there are {", ".join(RECIPES)}', "/recipe")
    try:
        config = resolve_train_config(recipe, changes)
    except ValidationError as error:
        raise invalid(error, changes.model_dump(exclude_unset=True), below="/config") from None
    except ValueError as error:
        raise refused("config_invalid", str(error), "/config") from None
    try:
        check_student(config.student.architecture)
    except UnknownName as error:
        raise refused("student_unknown", str(error), json_pointer("config", "student")) from None
    return config
