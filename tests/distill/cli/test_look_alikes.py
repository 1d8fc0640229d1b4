"""A run whose attributes name look-alikes delivers a student that says "none of these" by them, without more steps."""

import json
from pathlib import Path

import pytest

from distill.bundle.verify import verify_bundle
from distill.cli.train_process import main
from distill.evaluation import none_of_these
from distill.texts.text_targets import TextTargets
from limbeck.classify.bundle import Bundle
from limbeck.shared.bundle.files import listed_files, read_manifest
from limbeck.shared.bundle.open_set import OUTLIERS_FILE
from tests.distill.cli.conftest import LABELS

pytestmark = pytest.mark.slow


def attributes(*look_alikes: str) -> str:
    lines = [{"kind": "phrase", "text": "long legs"}]
    lines += [{"kind": "phrase", "text": text, "strategy": "outliers@1"} for text in look_alikes]
    return json.dumps({"format": "limbeck", "entries": [{"label": label, "lines": lines} for label in LABELS]})


def test_the_look_alikes_of_the_attributes_are_in_the_bundle(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(none_of_these, "MIN_IMAGES", 2)
    (tmp_path / "set.json").write_text(attributes("stork", LABELS[0].upper().replace(" ", "_"), "Stork", "egret"))
    assert main([*command, "--set", "epochs=1"]) == 0
    bundle = tmp_path / "out" / "bundle"
    assert OUTLIERS_FILE in {file["path"] for file in verify_bundle(bundle)["files"]}
    # Each once, without the label that one of them spells in another way.
    assert TextTargets.load(bundle / OUTLIERS_FILE).prompts == (("a photo of stork",), ("a photo of egret",))
    evaluation = json.loads((bundle / "evaluation.json").read_text())
    assert list(evaluation["none_of_these_by_score"]) == ["energy", "outliers"]
    assert evaluation["open_set"]["num_outliers"] == 2
    # As `limbeck classify --score outliers` reads it.
    read = Bundle(bundle, listed_files(read_manifest(bundle)), {}, {})
    assert read.outlier_targets(32).shape == (2, 32)
    assert read.none_of_these("outliers") is not None
