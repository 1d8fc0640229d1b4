"""The further sets of an evaluation are prepared as its own images are."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from distill.data.image_index import ImageIndex
from distill.evaluation import further, none_of_these
from distill.evaluation.corruptions import measure
from distill.evaluation.domains import DomainImages
from distill.evaluation.further import FurtherSets
from distill.evaluation.measured_images import evaluation_rows
from distill.evaluation.named_images import FurtherSetUnfit, NamedImages
from distill.pipeline import MeasureOptions, measure_student
from distill.student.model import build_student
from distill.texts.text_targets import TextTargets


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_all_images_are_resized_as_the_student_was_trained(
    interpolation: str, image_index: ImageIndex, targets: TextTargets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[DomainImages, DomainImages]] = []
    corrupted: list[str] = []

    def shift(training: DomainImages, domains: list[DomainImages], *_: Any, **__: Any) -> None:
        seen.append((training, domains[0]))

    def decode(*arguments: Any, **options: Any) -> Any:
        corrupted.append(options.get("interpolation", "bicubic"))
        return further.decode_images(*arguments, **options)

    monkeypatch.setattr(further, "domain_shift", shift)
    monkeypatch.setattr(measure, "decode_images", decode)
    monkeypatch.setattr(further, "measure_corruptions", partial(measure.measure_corruptions, kinds=("brightness",)))
    student = build_student("test_resnet", width=32, image_px=24, seed=0, interpolation=interpolation)
    sets = FurtherSets(domains=[NamedImages(name="the same images", image_index=image_index)], corruption_images=2)
    options = MeasureOptions(temperature=0.07, further=sets)
    measure_student(student, image_index, targets, "names", options, cache=tmp_path / "cache")
    training, domain = seen[0]
    torch.testing.assert_close(domain.features[evaluation_rows(image_index, 0)], training.features)
    assert corrupted == [interpolation]


def test_a_further_set_without_an_image_to_measure_is_refused(
    image_index: ImageIndex, targets: TextTargets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its results are missing without a word: a domain of other labels, far images of the labels themselves, and
    unknown things beside too few known images."""
    few = "at least 20 held-out images of seen labels, and there are "
    other = ImageIndex.of(Path(image_index.root), ("unicorn",), [item._replace(label=0) for item in image_index])
    student = build_student("test_resnet", width=32, image_px=24, seed=0)
    for sets, message in (
        (FurtherSets(domains=[NamedImages(name="ink", image_index=other)]), "domain ink has no image to measure on"),
        (FurtherSets(far=NamedImages(name="birds", image_index=other)), few),
        (FurtherSets(outliers=torch.ones(1, 32)), few),
        (FurtherSets(far=NamedImages(name="birds", image_index=image_index)), "birds has no image of other things"),
    ):
        if "birds has" in message:
            monkeypatch.setattr(none_of_these, "MIN_IMAGES", 1)
        options = MeasureOptions(temperature=0.07, further=sets)
        with pytest.raises(FurtherSetUnfit, match=message):
            measure_student(student, image_index, targets, "names", options, cache=tmp_path / "cache")
    monkeypatch.undo()
    of_run = MeasureOptions(temperature=0.07, further=FurtherSets(outliers=torch.ones(1, 32), may_lack_images=True))
    measured = measure_student(student, image_index, targets, "names", of_run, cache=tmp_path / "cache")
    assert measured.none_of_these_by_score == {}
