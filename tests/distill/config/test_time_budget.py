"""A time budget: the longest training that fits, the views that go with it, and what is refused."""

from dataclasses import replace
from typing import Any

import pytest

from distill.config.automatic import views_of_passes, with_epochs
from distill.config.batch_plan import BatchPlan, plan_batches
from distill.config.recipes import resolve_train_config
from distill.config.time_budget import (
    MARGIN,
    Prepared,
    Rates,
    TimeBudgetTooShort,
    cached_views,
    chosen_text,
    duration,
    fit_to_time,
)
from distill.config.train_config import TrainConfig

NUM_IMAGES = 1000
RATES = Rates(decode_s=0.01, view_s=0.02, step_s=0.5)


def inputs(recipe: str = "limbeck", **settings: Any) -> tuple[TrainConfig, BatchPlan]:
    config = resolve_train_config(recipe, {"time_budget_s": 600, **settings}, num_images=NUM_IMAGES)
    return config, plan_batches(config, NUM_IMAGES)


@pytest.mark.parametrize("settings", [{}, {"view": "center"}, {"view": "live"}, {"num_views": 3}])
@pytest.mark.parametrize("seconds", [120, 600, 7200])
def test_one_more_epoch_does_not_fit(settings: dict[str, Any], seconds: float) -> None:
    config, plan = inputs(**settings)
    fitted = fit_to_time(config, plan, NUM_IMAGES, RATES, seconds)
    usable = seconds * (1 - MARGIN)
    assert duration(fitted, plan, NUM_IMAGES, RATES).total <= usable
    one_more = with_epochs(fitted, fitted.schedule.epochs + 1)
    if "num_views" in config.schedule.automatic:
        views = views_of_passes(one_more.schedule.epochs)
        one_more = one_more.model_copy(update={"data": one_more.data.model_copy(update={"num_views": views})})
    assert duration(one_more, plan, NUM_IMAGES, RATES).total > usable


def test_views_grow_with_the_time_unless_they_are_given() -> None:
    config, plan = inputs()
    views = [fit_to_time(config, plan, NUM_IMAGES, RATES, seconds).data.num_views for seconds in (60, 600, 6000)]
    assert views[0] < views[1] < views[2] <= 30
    given, plan = inputs(num_views=3)
    assert fit_to_time(given, plan, NUM_IMAGES, RATES, 6000).data.num_views == 3


def test_after_the_images_were_read_steps_and_missing_views_take_time() -> None:
    config, plan = inputs(num_views=20)
    all_there = fit_to_time(config, plan, NUM_IMAGES, RATES, 100, prepared=Prepared(missing=0.0))
    assert all_there.schedule.epochs == int(95 / (plan.steps_per_epoch * RATES.step_s))
    assert all_there.data.num_views == 20
    half = Prepared(missing=0.5)
    fitted = fit_to_time(config, plan, NUM_IMAGES, RATES, 100, prepared=half)
    assert 1 <= fitted.schedule.epochs < all_there.schedule.epochs
    expected = duration(fitted, plan, NUM_IMAGES, RATES, half)
    assert expected.decoding == 0
    assert expected.views == pytest.approx(0.5 * cached_views(fitted) * NUM_IMAGES * RATES.view_s)


def test_a_live_teacher_counts_in_every_step_once() -> None:
    config, plan = inputs(view="live")
    assert cached_views(config) == 0
    before = duration(config, plan, NUM_IMAGES, RATES)
    measured = duration(
        config, plan, NUM_IMAGES, replace(RATES, step_s=0.5 + plan.batch_size * 0.02, step_has_views=True)
    )
    assert before.steps == pytest.approx(measured.steps)


def test_less_than_one_epoch_is_refused_with_what_fits() -> None:
    config, plan = inputs(time_budget_s=20)
    with pytest.raises(TimeBudgetTooShort) as error:
        fit_to_time(config, plan, NUM_IMAGES, RATES, 20)
    assert str(error.value) == (
        "a time budget of 20 s is too short for one epoch, which takes about 48 s here (10 s to read the images, 20 s "
        "for one teacher view of each, 16 s for 31 steps): give at least 48s, or choose a smaller student, image_px or "
        "teacher"
    )
    assert fit_to_time(config, plan, NUM_IMAGES, RATES, 48).schedule.epochs == 1
    with pytest.raises(TimeBudgetTooShort, match=r"takes about 4 min here \(2 min to measure, 80 s to .*at least 5m"):
        fit_to_time(
            config.model_copy(update={"schedule": config.schedule.model_copy(update={"time_budget_s": 120})}),
            plan,
            NUM_IMAGES,
            replace(RATES, decode_s=0.08),
            -20,
        )
    with pytest.raises(TimeBudgetTooShort, match=r"2.0 s are left after .*: start again, which finds the images"):
        fit_to_time(config, plan, NUM_IMAGES, RATES, 2, prepared=Prepared(missing=0.0))
    with pytest.raises(TimeBudgetTooShort, match=r"takes 16 s for 31 steps and 20 s for its teacher views: start"):
        fit_to_time(config, plan, NUM_IMAGES, RATES, 2, prepared=Prepared(missing=1.0))


def test_milestones_move_with_the_length() -> None:
    config, plan = inputs("li2023_resnet", passes_per_epoch=1, batch_size=64)
    fitted = fit_to_time(config, plan, NUM_IMAGES, RATES, 600)
    epochs = fitted.schedule.epochs
    assert fitted.schedule.milestones == (round(epochs / 3), round(epochs * 2 / 3))


def test_one_epoch_is_an_epoch() -> None:
    config, plan = inputs()
    config = with_epochs(config, 1)
    expected = duration(config, plan, NUM_IMAGES, RATES)
    assert chosen_text(config, expected, plan, RATES).startswith("time budget 10 min: 1 epoch, ")
