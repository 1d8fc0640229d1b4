"""The settings that a training chooses on its machine, with rates that the test gives."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from distill.config.recipes import resolve_train_config
from distill.config.time_budget import Rates
from distill.config.train_config import TrainConfig
from distill.data.image_index import ImageIndex, Item
from distill.data.splits import NO_LABEL
from distill.fitting import choice

SETTINGS: dict[str, Any] = {
    "student": "test_resnet",
    "image_px": 32,
    "batch_size": 4,
    "device": "cpu",
    "precision": "float32",
    "time_budget_s": 600,
    "unlabelled_share": 0.25,
}


def index_of(root: Path, num_pool: int) -> ImageIndex:
    labelled = [Item(f"{number}.png", number % 2, "train") for number in range(40)]
    pool = [Item(f"pool{number}.png", NO_LABEL, "unlabelled") for number in range(num_pool)]
    return ImageIndex.of(root, ("crane", "heron"), [*labelled, *pool])


def test_a_time_budget_counts_the_images_of_the_pool_that_are_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all images of the pool, the views would take too much of the budget, and the epochs would be too few."""
    rates = Rates(decode_s=0, view_s=0.1, step_s=0.1)
    monkeypatch.setattr(choice, "first_rates", lambda *_arguments: rates)
    monkeypatch.setattr(choice.TrainingChoice, "_elapsed", lambda _self: 0.0)

    def chosen(num_pool: int, **settings: object) -> TrainConfig:
        config = resolve_train_config("limbeck", {**SETTINGS, **settings}, num_images=40)
        of_run = choice.TrainingChoice(config, saved=None, note=lambda _line: None)
        teacher: Any = SimpleNamespace(width=8)
        return of_run.before_views(teacher, index_of(tmp_path, num_pool))

    nearest, few, many = chosen(2_000, unlabelled_nearest=20), chosen(20), chosen(2_000)
    assert nearest.schedule.epochs == few.schedule.epochs > many.schedule.epochs
    assert nearest.data.num_views == few.data.num_views
