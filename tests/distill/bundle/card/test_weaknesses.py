"""The section on weaknesses: worst labels with their intervals, confusions, calibration, and what was not measured."""

from dataclasses import replace
from typing import Any

import pytest

from distill.bundle.card.weaknesses import NUM_CONFUSIONS, NUM_WORST, weaknesses_markdown, wilson_interval
from distill.evaluation.none_of_these import MIN_IMAGES
from tests.distill.bundle.card.test_model_card import FACTS


def part(per_label: dict[str, float], images: int = 8, **more: Any) -> dict[str, Any]:
    return {"per_label": per_label, "images_per_label": dict.fromkeys(per_label, images), "confusions": [], **more}


def section_of(evaluation: dict[str, Any], labels: list[str] | None = None) -> str:
    return weaknesses_markdown(replace(FACTS, evaluation=evaluation, labels=labels or ["crane"]))


@pytest.mark.parametrize(("right", "num_images"), [(0, 1), (3, 8), (8, 8), (950, 1000)])
def test_interval_equals_that_of_scipy(right: int, num_images: int) -> None:
    from scipy.stats import binomtest  # every worker of pytest imports this module, and one runs the test

    want = binomtest(right, num_images).proportion_ci(method="wilson")
    assert wilson_interval(right / num_images, num_images) == pytest.approx((want.low, want.high), abs=1e-6)


def test_worst_labels_with_what_they_are_taken_for() -> None:
    pairs = [
        {"label": "crane", "taken_for": "a|b", "num_images": 3, "share": 0.375},
        {"label": "crane", "taken_for": "heron", "num_images": 2, "share": 0.25},
    ]
    shown = section_of({"id": part({"crane": 0.25, "finch": 1.0, "heron": 0.5}, confusions=pairs), "ood": None})
    low, high = wilson_interval(0.25, 8)
    assert f"| crane | 25.0% | 8 | {low:.1%} to {high:.1%} | a\\|b |" in shown
    assert shown.index("| crane | 25.0%") < shown.index("| heron | 50.0%")
    assert "finch" not in shown
    assert "| crane | a\\|b | 3 | 37.5% |" in shown
    assert "3 labels were measured on fewer than 10 images" in shown
    assert "did not see was not measured" in shown


def test_long_lists_are_cut_and_single_confusions_give_way() -> None:
    names = [f"label {n}" for n in range(500)]
    pairs = [{"label": name, "taken_for": "x", "num_images": 2 - n % 2, "share": 0.1} for n, name in enumerate(names)]
    shown = section_of({"ood": part(dict.fromkeys(names, 0.5), images=10, confusions=pairs)}, [*names, "other"])
    rows = [line for line in shown.splitlines() if line.startswith("| label ")]
    assert len(rows) == NUM_WORST + NUM_CONFUSIONS + 2  # and the heads of the two tables
    assert not [row for row in rows if "| 1 |" in row]
    assert "fewer than 10 images" not in shown
    assert "1 of 501 labels have no image" in shown
    assert "490 more labels have 50.0%." in shown


@pytest.mark.parametrize(
    ("confidence", "sentence"),
    [(0.9, "is 15.0% above the accuracy"), (0.5, "is 25.0% below"), (0.76, "differs from the accuracy by less")],
)
def test_confidence_is_compared_with_accuracy(confidence: float, sentence: str) -> None:
    bins = [{"confidence": confidence, "accuracy": 0.75, "num_images": 8}]
    calibration = {"error": 0.1, "num_bins": 15, "temperature": 0.07, "bins": bins}
    shown = section_of({"id": part({"crane": 0.75}, num_images=8, calibration=calibration)})
    assert sentence in shown


def test_an_evaluation_of_an_earlier_release_has_no_intervals() -> None:
    shown = section_of({"id": {"per_label": {"crane": 0.5}}})
    assert "| crane | 50.0% |  |" in shown


def test_none_of_these() -> None:
    assert "is classified as one of them: the student has no threshold, which needs" in section_of({})
    assert f"needs {MIN_IMAGES} or more held-out images" in section_of({})
    threshold = {"score": "cosine", "threshold": 0.1875, "false_alarm_rate": 0.048, "num_images": 500}
    shown = section_of({"none_of_these": threshold})
    assert "texts is below 0.188" in shown
    assert "4.8% of 500 held-out images" in shown
    by_score = {"energy": {**threshold, "score": "energy", "threshold": 0.4125, "false_alarm_rate": 0.052}}
    shown = section_of({"none_of_these": threshold, "none_of_these_by_score": by_score})
    assert (
        "was not measured. By the score energy (`limbeck classify --score energy`) the threshold is 0.412, with 5.2% "
        "false alarms on 500 such images." in shown
    )
