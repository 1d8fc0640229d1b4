"""The examples that measure a student of the field guide: what they draw, and the whole commands in the small."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from examples.fieldguide import robustness, scenes
from examples.fieldguide.world import species


def test_scenes_show_two_species_and_only_unseen_ones_are_measured_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scenes, "NUM_SEEN", 6)
    monkeypatch.setattr(scenes, "NUM_UNSEEN", 4)
    scenes.write_scenes(tmp_path / "scenes")
    with (tmp_path / "scenes" / "labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    unseen = {one.name for one in species(scenes.UNSEEN)}
    pairs = [row["label"].split("|") for row in rows]
    assert all(len(set(pair)) == 2 for pair in pairs)
    assert [bool(unseen & set(pair)) for pair in pairs] == [False] * 6 + [True] * 4
    for row in rows:
        with Image.open(tmp_path / "scenes" / row["file_name"]) as picture:
            assert picture.size == (128, 64)


def evaluation(bundle: Path) -> Any:
    return json.loads((bundle / "evaluation.json").read_text(encoding="utf-8"))


@pytest.mark.nightly
def test_the_report_on_several_labels_is_in_the_card(tmp_path: Path) -> None:
    scenes.main(["--out", str(tmp_path), "--student", "test_resnet", "--epochs", "2"])
    bundle = tmp_path / "student" / "bundle"
    found = evaluation(bundle)["multi_label"]
    assert found["id"]["mean_ap"] > found["id"]["chance"]
    card = (bundle / "README.md").read_text(encoding="utf-8")
    assert "mean average precision" in card.lower()


@pytest.mark.nightly
def test_the_report_on_robustness_is_in_the_card(tmp_path: Path) -> None:
    robustness.main(["--out", str(tmp_path), "--student", "test_resnet", "--epochs", "2", "--corruptions", "8"])
    bundle = tmp_path / "student" / "bundle"
    found = evaluation(bundle)
    assert len(found["domains"]["id"]["domains"]) == len(robustness.STYLES)
    assert {one["kind"] for one in found["open_set"]["unknown"]} == {"near", "far"}
    assert len(found["corruptions"]["id"]["kinds"]) == 15
    assert found["corruptions"]["baseline"] is not None
    card = (bundle / "README.md").read_text(encoding="utf-8")
    for name in ("open_set.png", "domains.png", "corruptions.png"):
        assert f"({name})" in card
        assert (bundle / name).is_file()
