"""Classification with the student of a bundle, made with timm's smallest model."""

import json
import os
from pathlib import Path

import pytest
import torch
from PIL import ExifTags, Image

from limbeck.classify import BundleError, ImageError, load_student
from limbeck.shared.images.decode import open_rgb
from tests.limbeck.shared.images.pictures import record_resizes
from tests.limbeck.small_bundle import LABELS, pixels


def test_scores_are_the_softmax_at_the_bundles_temperature(bundle: Path, red: Path) -> None:
    student = load_student(bundle)
    found = student.classify(red, top=3)
    with torch.inference_mode():
        feature = torch.nn.functional.normalize(student.model(pixels(red)), dim=-1)
    expected = (feature @ student.targets.T / 0.1).softmax(dim=-1)[0]
    assert found[0][0] == "red thing"
    assert dict(found) == pytest.approx(
        {str(entry["label"]): float(score) for entry, score in zip(LABELS, expected, strict=True)}, abs=1e-4
    )
    assert found[0][1] > found[-1][1]


@pytest.mark.parametrize(
    ("among", "labels"),
    [("all", ["red thing", "blue thing", "odd thing"]), ("seen", ["red thing"]), ("unseen", ["blue thing"])],
)
def test_candidate_labels_are_all_seen_or_unseen(bundle: Path, among: str, labels: list[str]) -> None:
    assert list(load_student(bundle, among=among).labels) == labels


def state_background(bundle: Path, colour: str) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["student"] = {"preprocess": {"background": colour}}
    (bundle / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.image_input(
    "Decoding", "an image for `limbeck classify`", "decoded as in training, on the background that the bundle states"
)
@pytest.mark.parametrize(("colour", "label"), [("#c81e1e", "red thing"), ("#1e1ec8", "blue thing")])
def test_image_is_decoded_as_in_training(bundle: Path, tmp_path: Path, colour: str, label: str) -> None:
    state_background(bundle, colour)
    picture = Image.new("RGBA", (50, 80), (0, 255, 0, 0))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    picture.save(tmp_path / "clear.png", exif=exif)
    student = load_student(bundle)
    assert student.background == colour
    assert student.classify(tmp_path / "clear.png", top=1)[0][0] == label
    open_rgb((tmp_path / "clear.png").read_bytes(), colour).save(tmp_path / "plain.png")
    assert student.classify(tmp_path / "clear.png") == student.classify(tmp_path / "plain.png")


def test_bundle_of_an_earlier_release_has_a_white_background(bundle: Path) -> None:
    assert load_student(bundle).background == "#ffffff"


def test_bundle_with_a_background_that_is_none_is_refused(bundle: Path) -> None:
    state_background(bundle, "transparent-ish")
    with pytest.raises(BundleError, match='"transparent-ish" is no colour'):
        load_student(bundle)


def test_unreadable_images_are_named_with_the_reason(bundle: Path, tmp_path: Path) -> None:
    student = load_student(bundle)
    (tmp_path / "drawing.png").write_text("<svg/>")
    with pytest.raises(ImageError, match=r"drawing\.png: it is an SVG drawing"):
        student.classify(tmp_path / "drawing.png")
    with pytest.raises(ImageError, match=r"missing\.png: No such file"):
        student.classify(tmp_path / "missing.png")
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", Path("/dev/zero")):
        with pytest.raises(ImageError, match="a pipe, socket or device is not an image"):
            student.classify(path)


@pytest.mark.parametrize("size", [(1, 400_000), (400_000, 1)])
def test_extremely_long_images_are_resized_in_little_memory(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    Image.new("L", size).save(tmp_path / "long.png")
    student = load_student(bundle)
    resized = record_resizes(monkeypatch)
    assert len(student.classify(tmp_path / "long.png")) == 3
    assert resized
    assert max(resized) <= 1_000_000
