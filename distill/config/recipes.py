"""Recipes: functions that return the whole of a run's request. Without torch.

A variant is `resolve_train_config("limbeck", {"epochs": 10, "losses": {"mse": 0}})`. The `li2023_*` recipes are those
of Li et al., ICCV 2023 (arXiv:2307.03135): numbers from its published code, terms from the four commands that it
gives as examples, but with a view of its own for each image. `limbeck` is ours.
"""

from collections.abc import Callable, Mapping
from typing import Any

from distill.config.loss_registry import TERMS
from distill.config.train_config import Augmentation, LossWeights, TrainConfig

LI2023_LOSSES = {"cls": 1.0, "mse": 1.0, "im_cst": 1.0, "vlalign": 1.0}


def li2023_resnet() -> TrainConfig:
    """The paper's ResNet from scratch, `passes_per_epoch` as for Flowers, Cars and CUB (1 on larger sets)."""
    return TrainConfig(
        student="resnet18", image_px=224, test_crop=0.875,
        losses=LossWeights(**LI2023_LOSSES), vlalign_top_k=256, vlalign_only_right=True,
        augmentation=Augmentation(crop_scale=(0.08, 1.0)),
        view="squash",
        epochs=90, passes_per_epoch=5, batch_size=128,
        optimizer="sgd", lr=0.05, momentum=0.9, weight_decay=1e-4, schedule="step", milestones=(30, 60),
    )  # fmt: skip


def li2023_vit() -> TrainConfig:
    """The paper's ViT-B/32 from scratch; `passes_per_epoch` 3 on larger sets."""
    return TrainConfig(
        student="vit_base_patch32_224", image_px=224, test_crop=0.875,
        losses=LossWeights(**LI2023_LOSSES), vlalign_top_k=256, vlalign_only_right=True,
        augmentation=Augmentation(crop_scale=(0.08, 1.0), flip=False, rand_ops=2, rand_magnitude=9),
        view="squash",
        epochs=90, passes_per_epoch=5, batch_size=128,
        optimizer="adamw", lr=1e-4, weight_decay=0.01, schedule="one_cycle",
    )  # fmt: skip


def li2023_resnet_5shot() -> TrainConfig:
    """The paper's fine-tuning of that ResNet on five images of every unseen label."""
    return _changed(li2023_resnet(), protocol="fine_tune", shots=5, epochs=20, lr=1e-3, schedule="one_cycle")


def li2023_vit_5shot() -> TrainConfig:
    """The paper's fine-tuning of that ViT on five images of every unseen label; three passes on all sets."""
    return _changed(li2023_vit(), protocol="fine_tune", shots=5, epochs=20, lr=2e-4, passes_per_epoch=3)


def limbeck() -> TrainConfig:
    """Ours, for a small student of small pictures in a short time: the three terms, and a teacher that sees each of the
    student's crops, which gained more on unseen labels than any term did (`docs/log.md`)."""
    return TrainConfig(
        student="resnet10t", image_px=64,
        view="same", num_views=8,
        epochs=6, batch_size=64,
        optimizer="adamw", lr=2e-3, weight_decay=0.02, schedule="cosine", warmup=0.1,
    )  # fmt: skip


RECIPES: dict[str, Callable[[], TrainConfig]] = {
    "li2023_resnet": li2023_resnet,
    "li2023_vit": li2023_vit,
    "li2023_resnet_5shot": li2023_resnet_5shot,
    "li2023_vit_5shot": li2023_vit_5shot,
    "limbeck": limbeck,
}


def resolve_train_config(recipe: str, overrides: Mapping[str, object]) -> TrainConfig:
    """The recipe with `overrides` laid over it, validated; nested mappings merge.

    Raises ValueError for an unknown recipe, pydantic's ValidationError (a ValueError too) for a wrong field.
    """
    if recipe not in RECIPES:
        raise ValueError(f'no recipe is called "{recipe}"; there are {", ".join(RECIPES)}')
    if overrides.get("protocol") == "closed_set" and "losses" not in overrides:
        overrides = {**overrides, "losses": {name: float(name == "closed_set") for name in TERMS}}
    return TrainConfig.model_validate(_merged(RECIPES[recipe]().model_dump(), overrides))


def _merged(base: dict[str, Any], over: Mapping[str, object]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, Mapping) else value
    return merged


def _changed(config: TrainConfig, **fields: object) -> TrainConfig:
    return TrainConfig.model_validate(config.model_dump() | fields)
