"""The section of the model card on robustness and retrieval, its plots, and its replacement in an existing card."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from distill.bundle.card.further import HEADING, NOT_MEASURED, further_markdown, further_plots, with_further
from distill.bundle.card.further_plots import draw_further
from distill.bundle.card.model_card import model_card
from distill.json_types import EvaluationJSON
from tests.distill.bundle.card.test_model_card import FACTS
from tests.further_evaluation import FURTHER

EVALUATION: EvaluationJSON = {"text": "names", "id": None, "ood": None, **FURTHER}  # type: ignore[typeddict-item]
NOTHING: EvaluationJSON = {"text": "names", "id": None, "ood": None}
CARD = f"# a\n\n{HEADING}\n\nSTALE\n\n![x](y.png)\n\n## Weaknesses\n\nmany\n"


def test_the_section_has_every_result() -> None:
    text = further_markdown(EVALUATION)
    assert "| image to image, seen labels (held-out images) | 61.0% | 80.0% | 90.0% | 5.0% | 60 | 70 |" in text
    assert "12 outlier labels" in text
    near = "| near: unseen \\| labels | 30 |"
    assert f"{near} outliers | 93.4% | 31.0% | 77.0% | 85.0% | 60.0% | 70.3% |" in text
    assert "mean 55.0%, worst 50.0% (sketch), 35.0% below" in text
    assert "| sketch | 50.0% | 50.0% to 70.0% | 90.0% | 40.0% | 4 | 20 |" in text
    assert "mCE 0.75, relative mCE 1.25" in text
    assert "has 42.0%" in text
    assert "| jpeg compression | 10.0% | 20.0% | 30.0% | 40.0% | 50.0% | 0.75 |" in text
    for name in ("open_set.png", "domains.png", "corruptions.png"):
        assert f"({name})" in text
        assert name not in further_markdown(EVALUATION, has_plots=False)


def test_a_baseline_that_loses_nothing_under_a_kind_is_named() -> None:
    evaluation: Any = copy.deepcopy(EVALUATION)
    errors = evaluation["corruptions"]["id"]
    errors.update(mce=None, relative_mce=None)
    errors["kinds"][1].update(ce=None, relative_ce=None)
    name = errors["kinds"][1]["kind"].replace("_", " ")
    text = further_markdown(evaluation)
    assert f"has 42.0%. mCE is not defined, because the baseline loses nothing under {name}." in text
    assert "| 0.75 |" in text


def test_without_a_result_the_section_says_so() -> None:
    assert further_markdown(NOTHING) == NOT_MEASURED
    assert further_plots(NOTHING) == []


@pytest.mark.parametrize("card", [CARD, CARD.replace(f"{HEADING}\n\nSTALE\n\n![x](y.png)\n\n", "")])
def test_the_section_of_a_card_is_replaced(card: str) -> None:
    changed = with_further(card, NOTHING, EVALUATION)
    assert "STALE" not in changed
    assert changed.count(HEADING) == 1
    assert changed.index(HEADING) < changed.index("mCE 0.75") < changed.index("## Weaknesses")
    assert changed.endswith("## Weaknesses\n\nmany\n")
    assert with_further(changed, EVALUATION, EVALUATION) == changed


def test_the_limits_of_a_card_follow_what_was_measured() -> None:
    threshold = {"threshold": 0.25, "false_alarm_rate": 0.05, "num_images": 80}
    before: Any = {**NOTHING, "none_of_these": threshold}
    far = {**FURTHER["open_set"]["unknown"][0], "kind": "far", "source": "tools", "rejected_among_all": 0.875}
    after: Any = {**before, **FURTHER, "open_set": {**FURTHER["open_set"], "unknown": [far]}}
    card = with_further(model_card(replace(FACTS, evaluation=before)), before, after)
    assert card == model_card(replace(FACTS, evaluation=after))
    assert "It rejects 87.5% of 30 images of tools." in card
    assert "other cameras" not in card


@pytest.mark.slow
def test_each_result_has_its_plot(tmp_path: Path) -> None:
    draw_further(EVALUATION, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(further_plots(EVALUATION))
    for path in tmp_path.iterdir():
        with Image.open(path) as plot:
            assert plot.width > 400
