"""The training arms: each changes some settings of `BASE`.

Each arm is a whole training of the same student on the same images for the same number of steps, unless it changes
them. Each is run with several seeds, which determine the initial weights, the order and the views.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from distill.config.loss_registry import LOSS_TERMS
from distill.config.recipes import resolve_train_config
from distill.config.train_config import TrainConfig
from distill.texts.text_templates import TextKind

BASE: Mapping[str, object] = {
    "student": "test_resnet",
    "image_px": 32,
    "epochs": 20,
    "batch_size": 64,
    "optimizer": "adamw",
    "lr": 2e-3,
    "weight_decay": 0.02,
    "schedule": "cosine",
    "warmup": 0.1,
    "measured_epochs": 5,
    "device": "cpu",
    "view": "center",
}
"""Settings of all arms: a small student from scratch at a quarter of the teacher's pixels, and a run short enough for
many arms and seeds. There are few images, so that accuracy differs between the objectives."""

PAPER_ORDER = ("cls", "mse", "im_cst", "vlalign")
THREE = "+".join(PAPER_ORDER[:3])
AS_PAPER = "paper's terms and view"
AS_PUBLISHED = "li2023_resnet"
WEIGHTS = {"fd": 2000.0}  # CLIP-KD's (arXiv:2307.12732); the others' are 1
OTHERS = ("queue_kl", "icl", "fd", "affinity", "neighbour", "unseen")


def only_losses(*terms: str, **weights: float) -> dict[str, float]:
    """Loss weights with which only these terms count; 1 each unless given in `weights`."""
    return {name: weights.get(name, 1.0) if name in terms else 0.0 for name in LOSS_TERMS}


@dataclass(frozen=True, kw_only=True)
class TrainingArm:
    """One training. `changes`: settings that override `BASE`, or the recipe alone if `uses_base` is false.

    `section`: section of the report. `is_core`: run by `make evidence`, not only by `make evidence-full`.
    `starts_from`: the arm whose student of the same seed is the initial student. `num_images`: training images of each
    seen species. `has_captions`: train with a caption for each image. `num_pool`: images without labels beside them.
    `num_teachers`: 2 for a second teacher. `has_pairs`: the bank of phrases is of pairs of phrases.
    """

    name: str
    title: str
    section: str
    changes: Mapping[str, object] = field(default_factory=dict)
    text: TextKind = "sentence"
    is_core: bool = True
    recipe: str = "limbeck-small"
    uses_base: bool = True
    starts_from: str | None = None
    num_images: int = 18
    has_captions: bool = False
    num_pool: int = 0
    num_teachers: int = 1
    has_pairs: bool = False

    def config(self, seed: int) -> TrainConfig:
        """The config of the training."""
        base = dict(BASE) if self.uses_base else {"device": "cpu", "measured_epochs": BASE["measured_epochs"]}
        return resolve_train_config(self.recipe, base | dict(self.changes) | {"seed": seed})


def _loss_names(*terms: str) -> str:
    return " + ".join(f"L-{term.replace('_', '-')}" for term in terms)


def _weight(term: str) -> str:
    return f", weight {WEIGHTS[term]:,g}" if term in WEIGHTS else ""


def _objective_arms() -> list[TrainingArm]:
    """Each loss term alone, the terms added in the order of the paper, and texts without attributes."""
    arms = [
        TrainingArm(
            name=term, title=f"{_loss_names(term)} alone", section="alone", changes={"losses": only_losses(term)}
        )
        for term in PAPER_ORDER
    ]
    for count in range(2, len(PAPER_ORDER) + 1):
        terms = PAPER_ORDER[:count]
        arms.append(
            TrainingArm(
                name="+".join(terms),
                title=_loss_names(*terms),
                section="added up",
                changes={"losses": only_losses(*terms)},
            )
        )
    for terms in (("cls",), PAPER_ORDER[:3]):
        arms.append(
            TrainingArm(
                name=f"{'+'.join(terms)} (names)",
                title=f"{_loss_names(*terms)}, names alone",
                section="text",
                text="names",
                changes={"losses": only_losses(*terms)},
            )
        )
    return arms


def _variant_arms() -> list[TrainingArm]:
    """Other weights, protocols and views with the first three terms, and the closed-set baseline."""
    three = {"losses": only_losses(*PAPER_ORDER[:3])}
    few = {"protocol": "fine_tune", "shots": 5, "epochs": 5, "lr": 5e-4}
    return [
        TrainingArm(
            name="averaged",
            title="mean of the weights of the last third of all steps",
            section="weights",
            changes=three | {"average": "mean", "average_from": 0.67},
        ),
        TrainingArm(
            name="5-shot fine-tuned",
            title="fine-tuned from the three terms' student",
            section="few-shot",
            changes=three | few,
            starts_from=THREE,
        ),
        TrainingArm(
            name="5-shot retrieval",
            title="retrieval beside the three terms' student",
            section="few-shot",
            changes=three | {"protocol": "retrieval", "shots": 5},
        ),
        TrainingArm(
            name="closed set",
            title="cross-entropy of a plain classifier of the 80 seen species",
            section="closed set",
            changes={"protocol": "closed_set"},
        ),
        TrainingArm(
            name="batch-level",
            title="one crop and flip for a whole batch, as published",
            section="views",
            changes=three | {"augmentation": {"per": "batch"}},
        ),
        TrainingArm(
            name="same view",
            title="teacher and student see the same crop, 20 kept for an image",
            section="views",
            changes=three | {"view": "same", "num_views": 20},
        ),
    ]


def _extension_arms() -> list[TrainingArm]:
    """Learned vectors, captions and the terms of other methods, added to the first three terms."""
    three = {"losses": only_losses(*PAPER_ORDER[:3])}
    return [
        TrainingArm(
            name="CoOp",
            title="8 learned vectors in the place of “a photo of”",
            section="language",
            is_core=False,
            changes=three | {"context_tokens": 8},
        ),
        *(
            TrainingArm(
                name=f"CoOp+vlalign{' as published' if as_published else ''}",
                title="the same and L-vlalign" + ", with the published gradient through the teacher" * as_published,
                section="language",
                is_core=False,
                changes={
                    "losses": only_losses(*PAPER_ORDER),
                    "context_tokens": 8,
                    "vlalign_teacher_gradient": as_published,
                },
            )
            for as_published in (False, True)
        ),
        TrainingArm(
            name=f"{THREE}+cap",
            title=f"{_loss_names(*PAPER_ORDER[:3], 'cap')}, a caption for each picture",
            section="language",
            is_core=False,
            has_captions=True,
            changes={"losses": only_losses(*PAPER_ORDER[:3], "cap")},
        ),
        *(
            TrainingArm(
                name=f"{THREE}+{term}",
                title=f"{_loss_names(*PAPER_ORDER[:3])} + {term}{_weight(term)}",
                section="others",
                is_core=False,
                changes={"losses": only_losses(*PAPER_ORDER[:3], term, **WEIGHTS)},
            )
            for term in OTHERS
        ),
    ]


def _recipe_arms() -> list[TrainingArm]:
    """Our recipe, with names instead of attributes, and with the terms and view of the paper."""
    return [
        TrainingArm(
            name="limbeck",
            title="our recipe (resnet10t at 64 px, 54 pictures of a species)",
            section="recipe",
            uses_base=False,
            num_images=54,
        ),
        TrainingArm(
            name="limbeck (names)",
            title="the same, names alone",
            section="recipe",
            uses_base=False,
            num_images=54,
            text="names",
        ),
        TrainingArm(
            name=AS_PAPER,
            title="the same with the paper's four terms and the centre view",
            section="recipe",
            uses_base=False,
            num_images=54,
            changes={"losses": only_losses(*PAPER_ORDER), "view": "center"},
        ),
    ]


def _published_arms() -> list[TrainingArm]:
    """The paper's ResNet recipe at 32 px, and each difference of ours from the published code taken away or added."""
    short = {"student": "test_resnet", "image_px": 32, "epochs": 12, "milestones": [4, 8], "passes_per_epoch": 1}

    def arm(name: str, title: str, **changes: object) -> TrainingArm:
        return TrainingArm(
            name=name,
            title=title,
            section="published",
            is_core=False,
            recipe="li2023_resnet",
            uses_base=False,
            num_images=54,
            changes=short | {"measured_epochs": 12} | changes,
        )

    improved = {"init": "timm", "resize": "bicubic", "view": "squash", "last_batch": "drop"}
    return [
        arm(AS_PUBLISHED, "`li2023_resnet`, a view for each image"),
        arm("a view per batch", "one crop and flip for a whole batch, as published", augmentation={"per": "batch"}),
        arm("timm's start", "timm's start in the place of torchvision's", init="timm"),
        arm("bicubic", "bicubic images, the teacher's not by way of 256", resize="bicubic", view="squash"),
        arm("last batch dropped", "the last partial batch is left out", last_batch="drop"),
        arm("improved", "`li2023_resnet_improved`: the last three", **improved),
    ]


ARMS: Mapping[str, TrainingArm] = {
    arm.name: arm
    for arm in [*_objective_arms(), *_variant_arms(), *_extension_arms(), *_recipe_arms(), *_published_arms()]
}
