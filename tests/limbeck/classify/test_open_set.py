"""The scores by which an image is none of these: their formulas, thresholds of a bundle, and what a bundle lacks."""

import math
from pathlib import Path

import numpy as np
import pytest

from limbeck.classify import load_student
from limbeck.classify.bundle import BundleError, NoneOfThese, ScoreMissing
from limbeck.classify.open_set import open_set_score
from limbeck.shared.bundle.open_set import OUTLIERS_FILE, OpenSetScore
from tests.limbeck.small_bundle import (
    COLOURS,
    TEMPERATURE,
    add_thresholds,
    embedding_of,
    safetensors_of,
    write_manifest,
)


def test_scores_by_hand() -> None:
    """Cosines 0.2, 0 and 0.1 at a temperature of 0.5: exponentials 1.491825, 1 and 1.221403."""
    known, outliers = np.array([[0.2, 0.0]], np.float32), np.array([[0.1]], np.float32)
    values: dict[OpenSetScore, float] = {
        "cosine": 0.2,
        "energy": 0.5 * math.log(1.491825 + 1),
        "outliers": (1.491825 - 0.25 * 1.221403) / (1.491825 + 1 + 1.221403),
    }
    for score, expected in values.items():
        assert open_set_score(score, known, outliers, 0.5)[0] == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ValueError, match="needs look-alikes"):
        open_set_score("outliers", known, None, 0.5)


def test_scores_are_those_of_the_evaluation() -> None:
    torch = pytest.importorskip("torch")
    from distill.evaluation.open_set.scores import open_set_scores

    random = np.random.default_rng(0)
    images, texts, outliers = (
        array / np.linalg.norm(array, axis=1, keepdims=True)
        for array in (random.normal(size=(size, 16)).astype(np.float32) for size in (40, 9, 5))
    )
    of_torch = open_set_scores(
        torch.from_numpy(images), torch.from_numpy(texts), temperature=0.01, outliers=torch.from_numpy(outliers)
    )
    for score, expected in of_torch.items():
        found = open_set_score(score, images @ texts.T, images @ outliers.T, 0.01)
        np.testing.assert_allclose(found, expected, atol=2e-6)


def test_an_image_is_judged_by_the_threshold_of_the_score(bundle: Path, red: Path) -> None:
    colour = embedding_of(COLOURS["red thing"])
    cosines = load_student(bundle).targets @ colour
    energy = TEMPERATURE * math.log(np.exp(cosines.astype(np.float64) / TEMPERATURE).sum())
    for threshold, is_none in ((energy - 1e-4, False), (energy + 1e-4, True)):
        add_thresholds(bundle, energy=threshold)
        student = load_student(bundle).with_score("energy")
        found = student.classify(red)
        assert (found.none_of_these, found.score) == (is_none, pytest.approx(energy, abs=1e-5))
        assert student.none_of_these == NoneOfThese(threshold, 0.03, 900, "energy")
        # The default is as it was.
        assert load_student(bundle).classify(red) == load_student(bundle).with_score("cosine").classify(red)
        assert (load_student(bundle).classify(red).none_of_these, load_student(bundle).classify(red).score) == (
            False,
            None,
        )


def test_a_look_alike_is_none_of_these(bundle: Path, red: Path, blue: Path) -> None:
    """With the text of red as a look-alike, a red image is half of the label and half of the look-alike."""
    (bundle / OUTLIERS_FILE).write_bytes(safetensors_of(embedding_of(COLOURS["red thing"])[None]))
    add_thresholds(bundle, outliers=0.5)
    student = load_student(bundle).with_score("outliers")
    found = student.classify(red)
    assert found.score == pytest.approx(0.5 - 0.25 * 0.5, abs=1e-3)
    assert (found.none_of_these, student.classify(blue).none_of_these) == (True, False)
    assert student.with_threshold(0.1).classify(red).none_of_these is False


def test_what_a_bundle_lacks_is_named_with_the_remedy(bundle: Path) -> None:
    student = load_student(bundle)
    with pytest.raises(
        ScoreMissing, match="no threshold of the score energy: add it in a checkout by python -m distill"
    ):
        student.with_score("energy")
    with pytest.raises(ScoreMissing, match="no look-alikes for the score outliers: .* --outliers FILE --save"):
        student.with_score("outliers", needs_threshold=False)
    assert student.with_score("energy", needs_threshold=False).none_of_these is None
    (bundle / OUTLIERS_FILE).write_bytes(safetensors_of(np.ones((2, 3), np.float32)))
    write_manifest(bundle)
    with pytest.raises(BundleError, match="outliers.safetensors has the shape"):
        load_student(bundle).with_score("outliers")
    (bundle / "evaluation.json").write_text('{"none_of_these_by_score": {"energy": [1]}}')
    write_manifest(bundle)
    with pytest.raises(BundleError, match="none_of_these_by_score that is no threshold"):
        load_student(bundle).with_score("energy")
