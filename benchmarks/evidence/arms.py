"""The arms: what is varied, everything else being as in `BASE`.

An arm is a name, what it shows, and what it changes. Each is a whole training of the same student on the same pictures
for as many steps, unless it says otherwise; each is run with several seeds, which draw weights, order and views.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from distill.config.loss_registry import LOSS_TERMS
from distill.config.recipes import resolve_train_config
from distill.config.train_config import TrainConfig
from distill.texts.text_templates import TextKind

BASE: Mapping[str, Any] = {
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
"""What all arms share: a small student from scratch, which sees a quarter of the pixels that its teacher sees, in a run
short enough for many arms and seeds. Few pictures leave something for the objectives to tell apart."""

PAPER_ORDER = ("cls", "mse", "im_cst", "vlalign")
THREE = "+".join(PAPER_ORDER[:3])
AS_PAPER = "paper's terms and view"
WEIGHTS = {"fd": 2000.0}  # CLIP-KD's (arXiv:2307.12732); the others' are 1
OTHERS = ("queue_kl", "icl", "fd", "affinity", "neighbour", "unseen")


def only(*terms: str, **weights: float) -> dict[str, float]:
    """Weights by which just these terms count, 1 each unless said."""
    return {name: weights.get(name, 1.0) if name in terms else 0.0 for name in LOSS_TERMS}


@dataclass(frozen=True, kw_only=True)
class TrainingArm:
    """`changes`: fields of `TrainConfig` laid over `BASE`, or over the recipe alone where it is not `based` on it.

    `section`: where the report tells of it. `core`: run by `make evidence` too. `starts_from`: the arm whose student of
    the same seed is gone on with. `pictures`: of each seen species, to train on. `captions`: each picture has one.
    """

    name: str
    title: str
    section: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    text: TextKind = "sentence"
    core: bool = True
    recipe: str = "limbeck"
    based: bool = True
    starts_from: str | None = None
    pictures: int = 18
    captions: bool = False

    def config(self, seed: int) -> TrainConfig:
        """The whole of what is trained."""
        base = dict(BASE) if self.based else {"device": "cpu", "measured_epochs": BASE["measured_epochs"]}
        return resolve_train_config(self.recipe, base | dict(self.changes) | {"seed": seed})


def _sum(*terms: str) -> str:
    return " + ".join(f"L-{term.replace('_', '-')}" for term in terms)


def _weight(term: str) -> str:
    return f", weight {WEIGHTS[term]:,g}" if term in WEIGHTS else ""


def _arms() -> list[TrainingArm]:
    arms = [
        TrainingArm(name=term, title=f"{_sum(term)} alone", section="alone", changes={"losses": only(term)})
        for term in PAPER_ORDER
    ]
    for count in range(2, len(PAPER_ORDER) + 1):
        terms = PAPER_ORDER[:count]
        arms.append(
            TrainingArm(name="+".join(terms), title=_sum(*terms), section="added up", changes={"losses": only(*terms)})
        )
    for terms in (("cls",), PAPER_ORDER[:3]):
        arms.append(
            TrainingArm(
                name=f"{'+'.join(terms)} (names)",
                title=f"{_sum(*terms)}, names alone",
                section="text",
                text="names",
                changes={"losses": only(*terms)},
            )
        )
    three = {"losses": only(*PAPER_ORDER[:3])}
    few = {"protocol": "fine_tune", "shots": 5, "epochs": 5, "lr": 5e-4}
    arms += [
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
        TrainingArm(
            name="CoOp",
            title="8 learned vectors in the place of “a photo of”",
            section="language",
            core=False,
            changes=three | {"context_tokens": 8},
        ),
        TrainingArm(
            name=f"{THREE}+cap",
            title=f"{_sum(*PAPER_ORDER[:3], 'cap')}, a caption for each picture",
            section="language",
            core=False,
            captions=True,
            changes={"losses": only(*PAPER_ORDER[:3], "cap")},
        ),
        *(
            TrainingArm(
                name=f"{THREE}+{term}",
                title=f"{_sum(*PAPER_ORDER[:3])} + {term}{_weight(term)}",
                section="others",
                core=False,
                changes={"losses": only(*PAPER_ORDER[:3], term, **WEIGHTS)},
            )
            for term in OTHERS
        ),
        TrainingArm(
            name="limbeck",
            title="our recipe (resnet10t at 64 px, 54 pictures of a species)",
            section="recipe",
            based=False,
            pictures=54,
        ),
        TrainingArm(
            name="limbeck (names)",
            title="the same, names alone",
            section="recipe",
            based=False,
            pictures=54,
            text="names",
        ),
        TrainingArm(
            name=AS_PAPER,
            title="the same with the paper's four terms and the centre view",
            section="recipe",
            based=False,
            pictures=54,
            changes={"losses": only(*PAPER_ORDER), "view": "center"},
        ),
    ]
    return arms


ARMS: Mapping[str, TrainingArm] = {arm.name: arm for arm in _arms()}
