"""Recipes: functions that return a complete training config. Imports no torch.

A variant is `variant(limbeck(), epochs=10)`, or `resolve_train_config("limbeck", {"losses": {"mse": 0}})`. The
`li2023_*` recipes are those of Li et al., ICCV 2023 (arXiv:2307.03135): the published start, numbers and image sizes,
and the terms of the four example commands of its code. What differs on purpose is a table in `docs/method.md`. Their
`_improved` variants and `limbeck` are ours.

New settings have the default that keeps the meaning of stored jobs, which lack them; the recipes set their new value.
"""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from distill.config.automatic import automatic_settings, fit_to_images
from distill.config.loss_registry import LOSS_TERMS
from distill.config.train_config import (
    Augmentation,
    DataConfig,
    EvaluationConfig,
    LossWeights,
    ObjectiveConfig,
    OptimizerConfig,
    ScheduleConfig,
    StudentConfig,
    TrainConfig,
    TrainSettings,
    WeightAverageConfig,
    expand_short_names,
    located,
    merged,
)

LI2023_LOSSES = {"cls": 1.0, "mse": 1.0, "im_cst": 1.0, "vlalign": 1.0}
_IMPROVED: dict[str, object] = {"init": "timm", "resize": "bicubic", "view": "squash", "last_batch": "drop"}


def li2023_resnet() -> TrainConfig:
    """The paper's ResNet from scratch, with `passes_per_epoch` as for Flowers, Cars and CUB (1 on larger sets)."""
    return TrainConfig(
        student=_li2023_student("resnet18"),
        data=DataConfig(augmentation=Augmentation(crop_scale=(0.08, 1.0)), view="squash_256"),
        objective=_li2023_objective(),
        optimizer=OptimizerConfig(name="sgd", lr=0.05, momentum=0.9, weight_decay=1e-4),
        schedule=ScheduleConfig(
            epochs=90, passes_per_epoch=5, batch_size=128, last_batch="keep", kind="step", milestones=(30, 60)
        ),
    )


def li2023_vit() -> TrainConfig:
    """The paper's ViT-B/32 from scratch; `passes_per_epoch` is 3 on larger sets."""
    augmentation = Augmentation(crop_scale=(0.08, 1.0), flip=False, rand_ops=2, rand_magnitude=9)
    return TrainConfig(
        student=_li2023_student("vit_base_patch32_224"),
        data=DataConfig(augmentation=augmentation, view="squash_256"),
        objective=_li2023_objective(),
        optimizer=OptimizerConfig(name="adamw", lr=1e-4, weight_decay=0.01),
        schedule=ScheduleConfig(epochs=90, passes_per_epoch=5, batch_size=128, last_batch="keep", kind="one_cycle"),
    )


def li2023_resnet_5shot() -> TrainConfig:
    """The paper's fine-tuning of that ResNet on five images of every unseen label."""
    return variant(li2023_resnet(), protocol="fine_tune", shots=5, epochs=20, lr=1e-3, schedule="one_cycle")


def li2023_vit_5shot() -> TrainConfig:
    """The paper's fine-tuning of that ViT on five images of every unseen label; three passes on all sets."""
    return variant(li2023_vit(), protocol="fine_tune", shots=5, epochs=20, lr=2e-4, passes_per_epoch=3)


def li2023_resnet_improved() -> TrainConfig:
    """`li2023_resnet` with timm's start and bicubic images, which reaches more in few epochs (`docs/method.md`)."""
    return variant(li2023_resnet(), **_IMPROVED)


def li2023_vit_improved() -> TrainConfig:
    """`li2023_vit` with timm's start, whose head is not zero and learns from the first step on, and bicubic images."""
    return variant(li2023_vit(), **_IMPROVED)


def limbeck() -> TrainConfig:
    """Ours, for photographs: images of 224 px, the student's crops encoded by the teacher, and a mean of the weights of
    the last fifth of the steps. Epochs, teacher views, batch size, learning rate and precision follow from the number
    of images, the student and the device (`docs/how-to/training.md`); the numbers here are those for 10,000 images."""
    config = TrainConfig(
        student=StudentConfig(architecture="resnet18", image_px=224),
        data=DataConfig(view="same", num_views=20),
        objective=_objective(),
        optimizer=OptimizerConfig(name="adamw", lr=1e-3, weight_decay=0.02),
        schedule=ScheduleConfig(
            epochs=200,
            batch_size=256,
            kind="cosine",
            warmup=0.05,
            automatic=("epochs", "num_views", "batch_size", "lr", "precision"),
        ),
        weight_average=WeightAverageConfig(kind="mean", average_from=0.8),
        evaluation=EvaluationConfig(measured_epochs=0),
    )
    return fit_to_images(config, 10_000)


def limbeck_small() -> TrainConfig:
    """Ours, for a small student of small images and a short run: three terms, and a teacher that encodes each of the
    student's crops, which gained more on unseen labels than any term did (`docs/log.md`)."""
    return TrainConfig(
        student=StudentConfig(architecture="resnet10t", image_px=64),
        data=DataConfig(view="same", num_views=8),
        objective=_objective(),
        optimizer=OptimizerConfig(name="adamw", lr=2e-3, weight_decay=0.02),
        schedule=ScheduleConfig(epochs=6, batch_size=64, kind="cosine", warmup=0.1),
    )


RECIPES: dict[str, Callable[[], TrainConfig]] = {
    "li2023_resnet": li2023_resnet,
    "li2023_vit": li2023_vit,
    "li2023_resnet_5shot": li2023_resnet_5shot,
    "li2023_vit_5shot": li2023_vit_5shot,
    "li2023_resnet_improved": li2023_resnet_improved,
    "li2023_vit_improved": li2023_vit_improved,
    "limbeck": limbeck,
    "limbeck-small": limbeck_small,
}


def resolve_train_config(
    recipe: str, overrides: TrainSettings | Mapping[str, object], *, num_images: int | None = None, num_ranks: int = 1
) -> TrainConfig:
    """The recipe's config with `overrides` applied, validated. Mappings merge; short names are accepted.

    `num_images`: those that are trained on, from which automatic settings follow; None if they are not known yet.
    Raises ValueError for an unknown recipe, pydantic's ValidationError (also a ValueError) for a wrong setting.
    """
    if recipe not in RECIPES:
        raise ValueError(f'no recipe is called "{recipe}"; there are {", ".join(RECIPES)}')
    settings = overrides if isinstance(overrides, TrainSettings) else TrainSettings.model_validate(overrides)
    changes = settings.model_dump(exclude_unset=True)
    base = RECIPES[recipe]().model_dump()
    if settings.data.protocol == "closed_set" and "losses" not in settings.objective.model_fields_set:
        changes.setdefault("objective", {})["losses"] = {name: float(name == "closed_set") for name in LOSS_TERMS}
    if "automatic" not in settings.schedule.model_fields_set:
        base["schedule"]["automatic"] = automatic_settings(base["schedule"]["automatic"], settings)
    try:
        config = TrainConfig.model_validate(merged(base, changes))
    except ValidationError as error:
        short = expand_short_names(overrides)[1] if isinstance(overrides, Mapping) else {}
        raise located(error, short) from None
    return config if num_images is None else fit_to_images(config, num_images, num_ranks)


def variant(config: TrainConfig, **settings: object) -> TrainConfig:
    """The config with these settings, by their short names or sections, validated."""
    changes = TrainSettings.model_validate(settings).model_dump(exclude_unset=True)
    return TrainConfig.model_validate(merged(config.model_dump(), changes))


def _li2023_student(architecture: str) -> StudentConfig:
    return StudentConfig(
        architecture=architecture, image_px=224, test_crop=0.875, init="torchvision", resize="bilinear"
    )


def _li2023_objective() -> ObjectiveConfig:
    return _objective(losses=LossWeights(**LI2023_LOSSES), vlalign_top_k=256, vlalign_only_right=True, second_stop=True)


def _objective(**settings: Any) -> ObjectiveConfig:
    """An objective whose affinities and queue follow the teacher and the data set."""
    return ObjectiveConfig(**{"affinity_scale": "teacher", "queue_size": None} | settings)
