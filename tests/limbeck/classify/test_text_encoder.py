"""New labels are encoded by the text tower of a bundle, with its templates."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limbeck.classify import BundleError, load_student
from limbeck.classify.bundle import Bundle
from limbeck.classify.text_encoder import BATCH, TextEncoder
from tests.limbeck.small_bundle import (
    COLOURS,
    CONTEXT_LENGTH,
    change_config,
    embedding_of,
    normalised,
    text_graph,
    write_manifest,
)

TEXT = {"context_length": CONTEXT_LENGTH, "templates": ["a photo of {}", "{}"], "pad_id": 0}


def encoder(folder: Path) -> TextEncoder:
    return TextEncoder(Bundle.open(folder))


def test_target_is_the_normalised_mean_of_the_templates(bundle_with_text: Path) -> None:
    red, blue = (embedding_of(colour) for colour in COLOURS.values())
    targets = encoder(bundle_with_text).targets(["red thing", "blue red", "blue  thing"])
    np.testing.assert_allclose(targets, np.stack([red, normalised(red + blue), blue]), atol=1e-5)
    change_config(bundle_with_text, text={**TEXT, "templates": ["{}", "blue {}"]})
    targets = encoder(bundle_with_text).targets(["red"])
    np.testing.assert_allclose(targets[0], normalised(red + normalised(red + blue)), atol=1e-5)


def test_entities_of_html_become_characters_as_often_as_the_tower_needs(bundle_with_text: Path) -> None:
    red = embedding_of(COLOURS["red thing"])
    change_config(bundle_with_text, text={**TEXT, "unescape_html": 2})
    np.testing.assert_allclose(encoder(bundle_with_text).targets(["r&amp;#101;d"])[0], red, atol=1e-5)
    change_config(bundle_with_text, text={**TEXT, "unescape_html": 1})
    assert encoder(bundle_with_text).targets(["r&amp;#101;d"])[0] @ red < 0.99


def test_many_labels_are_encoded_in_batches_with_progress(bundle_with_text: Path) -> None:
    labels = [
        f"{'red' if number % 3 else 'blue'} {'thing ' * (number % 2)}{'a ' * (number % 5)}" for number in range(150)
    ]
    seen: list[tuple[int, int]] = []
    targets = encoder(bundle_with_text).targets(labels, lambda done, total: seen.append((done, total)))
    alone = np.concatenate([encoder(bundle_with_text).targets([label]) for label in labels[:7]])
    np.testing.assert_allclose(targets[:7], alone, atol=1e-6)
    assert targets.shape[0] == 150
    total = seen[-1][1]
    assert [done for done, _ in seen] == [min(BATCH * (step + 1), total) for step in range(len(seen))]
    assert len(seen) == -(-total // BATCH)


def test_text_longer_than_the_context_is_shortened_to_whole_words(bundle_with_text: Path) -> None:
    long = encoder(bundle_with_text).targets(["red thing thing thing thing thing blue"])
    np.testing.assert_allclose(long[0], embedding_of(COLOURS["red thing"]), atol=1e-5)


def test_new_labels_replace_those_of_the_bundle(bundle_with_text: Path, red: Path) -> None:
    student = load_student(bundle_with_text).with_labels(["blue", "red"])
    found = student.classify(red)
    assert [one.label for one in found.labels] == ["red", "blue"]
    assert found.none_of_these is None  # the threshold is about the labels of the bundle
    assert student.with_threshold(1.1).classify(red).none_of_these is True
    with pytest.raises(ValueError, match="no labels"):
        student.with_labels([])


def test_bundle_without_a_text_tower_names_the_command_that_adds_it(bundle: Path) -> None:
    with pytest.raises(BundleError, match=r"no onnx/text\.onnx, .*: python -m distill export \S+ --text"):
        load_student(bundle).with_labels(["red"])


@pytest.mark.parametrize("name", ["onnx/text.onnx", "onnx/tokenizer.json"])
def test_text_tower_that_was_not_downloaded_is_named(bundle_with_text: Path, name: str) -> None:
    (bundle_with_text / name).unlink()
    student = load_student(bundle_with_text)
    with pytest.raises(BundleError, match=f"lacks {name}: download it with `limbeck download CHECKPOINT --parts onnx"):
        student.with_labels(["red"])


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("onnx/text.onnx", b"no graph", "cannot be loaded"),
        ("onnx/text.onnx", text_graph(width=5), "has the width 5, and its student has 8: the files are of different"),
        ("onnx/tokenizer.json", b"{}", "is not a tokenizers file"),
    ],
)
def test_damaged_text_tower_is_refused(bundle_with_text: Path, name: str, data: bytes, message: str) -> None:
    (bundle_with_text / name).write_bytes(data)
    write_manifest(bundle_with_text)
    with pytest.raises(BundleError, match=message):
        load_student(bundle_with_text).with_labels(["red"])


@pytest.mark.parametrize(
    "change", [{"pad_id": None}, {"templates": []}, {"templates": "{}"}, {"context_length": "long"}]
)
def test_text_config_that_cannot_be_used_is_refused(bundle_with_text: Path, change: dict[str, Any]) -> None:
    config = json.loads((bundle_with_text / "onnx" / "config.json").read_text())
    change_config(bundle_with_text, text={**config["text"], **change})
    with pytest.raises(BundleError, match=r"onnx/config\.json has a text tower that cannot be used"):
        load_student(bundle_with_text).with_labels(["red"])
