"""The further sets of an evaluation are prepared as its own images are."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from distill.data.dataset.trained_on import TrainedOn, image_prefixes
from distill.data.image_index import ImageIndex, Item
from distill.data.image_store import file_digests
from distill.data.splits import NO_LABEL
from distill.evaluation import further, none_of_these
from distill.evaluation.corruptions import measure
from distill.evaluation.domains import DomainImages
from distill.evaluation.further import FurtherSets
from distill.evaluation.measured_images import evaluation_rows
from distill.evaluation.named_images import FurtherSetUnfit, NamedImages
from distill.hooks import PipelineHooks
from distill.pipeline import MeasureOptions, measure_student
from distill.student.model import build_student
from distill.texts.text_targets import TextTargets


def saved_again(image_index: ImageIndex, tmp_path: Path) -> Path:
    """A folder with the same pictures in files of other bytes."""
    for path in image_index.paths:
        copy = tmp_path / "again" / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        Image.open(Path(image_index.root) / path).save(copy, "PNG", compress_level=1)
    return tmp_path / "again"


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
    same = NamedImages(name="the same pictures", image_index=image_index, root=saved_again(image_index, tmp_path))
    sets = FurtherSets(domains=[same], corruption_images=2)
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


def test_copies_of_the_measured_images_are_neither_another_domain_nor_unknown(
    image_index: ImageIndex, targets: TextTargets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for PACS, whose folder of domains has the domain of the training too. The run reports what it leaves out."""
    monkeypatch.setattr(none_of_these, "MIN_IMAGES", 1)
    domains: list[str] = []
    unknown: list[int] = []

    def shift(_training: DomainImages, found: list[DomainImages], *_: Any, **__: Any) -> None:
        domains.extend(domain.name for domain in found)

    def open_set(*arguments: Any, **_: Any) -> None:
        unknown.extend(len(one.features) for one in arguments[4] if one.kind == "far")

    monkeypatch.setattr(further, "domain_shift", shift)
    monkeypatch.setattr(further, "open_set", open_set)
    own, again = Path(image_index.root), saved_again(image_index, tmp_path)
    (again / "more").mkdir()
    for number, path in enumerate(sorted((own / "crane").iterdir())):
        (again / "more" / f"{number}.png").write_bytes(path.read_bytes())
    mixed = [
        Item(path, NO_LABEL, "unlabelled") for path in (*image_index.paths, *(f"more/{at}.png" for at in range(8)))
    ]
    trained = [own / image_index.paths[row] for row in image_index.part("train")]
    contents = file_digests(trained, cache=tmp_path / "cache", num_workers=1, hooks=PipelineHooks())
    sets = FurtherSets(
        trained_on=TrainedOn(("red finch", "crane"), image_prefixes(contents)),
        domains=[
            NamedImages(name="photo", image_index=image_index),
            NamedImages(name="art", image_index=image_index, root=again),
        ],
        far=NamedImages(name="things", image_index=ImageIndex.of(again, (), mixed)),
    )
    student = build_student("test_resnet", width=32, image_px=24, seed=0)
    notes: list[str] = []

    def measure_with(sets: FurtherSets) -> None:
        options = MeasureOptions(temperature=0.07, further=sets)
        hooks = PipelineHooks(on_note=notes.append)
        measure_student(student, image_index, targets, "names", options, cache=tmp_path / "cache", hooks=hooks)

    measure_with(sets)
    assert (domains, unknown) == (["art", "art"], [32])
    assert "the domain photo is left out: it has the images of the training" in notes[0]
    assert notes[1:] == [
        "far images of things: images are left out: 6 were trained on, 2 are measured as images of the labels"
    ]
    with pytest.raises(FurtherSetUnfit, match="name domains of other images"):
        measure_with(replace(sets, domains=sets.domains[:1]))


def test_images_of_a_domain_that_are_not_measured_are_counted(
    image_index: ImageIndex, targets: TextTargets, tmp_path: Path
) -> None:
    again = saved_again(image_index, tmp_path)
    labels = ("blue jay", "unicorn", "heron", "red finch")
    ink = NamedImages(name="ink", image_index=ImageIndex.of(again, labels, list(image_index)))
    notes: list[str] = []
    measure_student(
        build_student("test_resnet", width=32, image_px=24, seed=0),
        image_index,
        targets,
        "names",
        MeasureOptions(temperature=0.07, further=FurtherSets(domains=[ink])),
        cache=tmp_path / "cache",
        hooks=PipelineHooks(on_note=notes.append),
    )
    assert notes == ["domain ink: images are left out: 8 have a label that the student's dataset has not, or has twice"]
    for path in again.rglob("*.*"):
        path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(FurtherSetUnfit, match=r"measured images have too \(24 cannot be read, 8 have a label that"):
        measure_student(
            build_student("test_resnet", width=32, image_px=24, seed=0),
            image_index,
            targets,
            "names",
            MeasureOptions(temperature=0.07, further=FurtherSets(domains=[ink])),
            cache=tmp_path / "cache",
        )
