"""Results beside accuracy in an existing bundle: what was not measured again stays."""

import json
from pathlib import Path
from typing import Any

import torch

from distill.bundle.add_further import EVALUATION, save_further
from distill.texts.text_targets import TextTargets
from limbeck.shared.bundle.open_set import OUTLIERS_FILE
from tests.further_evaluation import FURTHER, score

NEAR = {**FURTHER["open_set"]["unknown"][0], "scores": [score("cosine", 0.9)]}
FAR = {**NEAR, "kind": "far", "source": "tools", "rejected_among_all": 0.8}


def open_set(*unknown: dict[str, Any], outliers: int = 0, images: int = 80) -> dict[str, Any]:
    scores = [score("outliers", 0.95)] if outliers else []
    changed = [{**one, "scores": [*one["scores"], *scores]} for one in unknown]
    return {**FURTHER["open_set"], "unknown": changed, "num_outliers": outliers, "num_images": images}


def saved(folder: Path, *runs: dict[str, Any]) -> dict[str, Any]:
    """The open-set results of a bundle after some runs."""
    bundle = folder / "bundle"
    bundle.mkdir()
    (bundle / EVALUATION).write_text(json.dumps({"text": "names", "id": None, "ood": None}))
    for one in runs:
        save_further(bundle, {"files": []}, {"open_set": one})  # type: ignore[typeddict-item]
    found: dict[str, Any] = json.loads((bundle / EVALUATION).read_text())["open_set"]
    return found


def test_far_unknowns_and_outliers_stay_when_others_are_added(tmp_path: Path) -> None:
    found = saved(tmp_path, open_set(NEAR, FAR, outliers=12), open_set({**NEAR, "scores": [score("cosine", 0.7)]}))
    assert [(one["kind"], [each["score"] for each in one["scores"]]) for one in found["unknown"]] == [
        ("near", ["cosine", "outliers"]),
        ("far", ["cosine", "outliers"]),
    ]
    assert found["unknown"][0]["scores"][0]["auroc"] == 0.7
    assert found["num_outliers"] == 12


def threshold(score: str, value: float) -> Any:
    return {"score": score, "threshold": value, "false_alarm_rate": 0.05, "target_rate": 0.05, "num_images": 20}


def test_a_bundle_keeps_its_thresholds_and_gets_those_that_it_lacks(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / EVALUATION).write_text(json.dumps({"text": "names", "id": None, "ood": None}))

    def by_score(look_alikes: TextTargets | None = None, **thresholds: float) -> dict[str, float]:
        found = {name: threshold(name, value) for name, value in thresholds.items()}
        save_further(bundle, {"files": []}, {}, found, look_alikes)  # type: ignore[typeddict-item]
        evaluation = json.loads((bundle / EVALUATION).read_text())
        return {name: one["threshold"] for name, one in evaluation.get("none_of_these_by_score", {}).items()}

    def texts(name: str) -> TextTargets:
        return TextTargets(features=torch.ones(1, 2), prompts=((name,),), truncated=(), teacher="t")

    assert by_score() == {}
    assert by_score(energy=0.5) == {"energy": 0.5}
    assert by_score(texts("stork"), energy=0.75, outliers=0.25) == {"energy": 0.5, "outliers": 0.25}
    assert by_score(texts("ibis"), energy=0.75, outliers=0.125) == {"energy": 0.5, "outliers": 0.125}
    assert by_score(texts("gull")) == {"energy": 0.5, "outliers": 0.125}  # too few images: the texts stay, too
    assert TextTargets.load(bundle / OUTLIERS_FILE).prompts == (("ibis",),)


def test_results_of_other_known_images_are_replaced(tmp_path: Path) -> None:
    new = open_set(NEAR, images=81)
    assert saved(tmp_path, open_set(NEAR, FAR, outliers=12), new) == new


def test_results_of_other_unknown_images_are_replaced(tmp_path: Path) -> None:
    new = open_set({**FAR, "source": "rocks"})
    found = saved(tmp_path, open_set(NEAR, FAR, outliers=12), new)
    assert found["unknown"][1] == new["unknown"][0]
