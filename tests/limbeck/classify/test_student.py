"""Embeddings, scores and `none of these`; images that cannot be read; many images."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from limbeck.classify import Classification, ImageError, load_student
from limbeck.shared.images.decode import open_rgb
from tests.limbeck.small_bundle import COLOURS, PREPROCESS, TEMPERATURE, change_config, embedding_of


def test_scores_are_the_softmax_at_the_bundles_temperature(bundle: Path, red: Path) -> None:
    student = load_student(bundle)
    found = student.classify(red, top=3)
    cosines = student.targets @ embedding_of(COLOURS["red thing"])
    scores = np.exp(cosines / TEMPERATURE) / np.exp(cosines / TEMPERATURE).sum()
    expected = dict(zip(student.labels, scores.tolist(), strict=True))
    assert {one.label: one.confidence for one in found.labels} == pytest.approx(expected, abs=1e-6)
    assert [one.label for one in found.labels] == sorted(expected, key=lambda label: -expected[label])
    assert found.labels[0].label == "red thing"
    assert found.cosine == pytest.approx(1, abs=1e-5)


def test_top_is_at_most_the_number_of_labels(bundle: Path, red: Path) -> None:
    assert len(load_student(bundle).classify(red, top=2).labels) == 2
    assert len(load_student(bundle).classify(red, top=99).labels) == 3


def test_none_of_these_is_about_all_labels_of_the_bundle(bundle: Path, red: Path) -> None:
    student = load_student(bundle)
    assert student.classify(red).none_of_these is False
    # A red image is known, also if red is no candidate.
    unseen = load_student(bundle, among="unseen").classify(red)
    assert (unseen.labels[0].label, unseen.none_of_these) == ("blue thing", False)
    assert student.with_threshold(1.1).classify(red).none_of_these is True
    assert student.with_threshold(None).classify(red).none_of_these is None


@pytest.mark.image_input(
    "Decoding", "an image for `limbeck classify`", "decoded as in training, on the background that the bundle states"
)
@pytest.mark.parametrize(("colour", "label"), [("#c81e1e", "red thing"), ("#1e1ec8", "blue thing")])
def test_image_is_decoded_as_in_training(bundle: Path, tmp_path: Path, colour: str, label: str) -> None:
    change_config(bundle, preprocess={**PREPROCESS, "background": colour})
    picture = Image.new("RGBA", (50, 80), (0, 255, 0, 0))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    picture.save(tmp_path / "clear.png", exif=exif)
    student = load_student(bundle)
    assert student.classify(tmp_path / "clear.png", top=1).labels[0].label == label
    plain = open_rgb((tmp_path / "clear.png").read_bytes(), colour)
    assert student.classify(tmp_path / "clear.png") == student.classify(plain)


def test_unreadable_images_are_named_with_the_reason(bundle: Path, tmp_path: Path) -> None:
    student = load_student(bundle)
    (tmp_path / "drawing.png").write_text("<svg/>")
    with pytest.raises(ImageError, match=r"drawing\.png: it is an SVG drawing"):
        student.classify(tmp_path / "drawing.png")
    with pytest.raises(ImageError, match=r"missing\.png: No such file"):
        student.classify(tmp_path / "missing.png")
    with pytest.raises(ImageError, match="Is a directory"):
        student.classify(tmp_path)
    with pytest.raises(ImageError, match="the image: it is an empty file"):
        student.classify(b"")
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", Path("/dev/zero")):
        with pytest.raises(ImageError, match="a pipe, socket or device is not an image"):
            student.classify(path)


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_many_images_are_classified_in_order(bundle: Path, red: Path, blue: Path, batch_size: int) -> None:
    student = load_student(bundle)
    images = [red, blue, red.with_name("missing.png"), blue, red] * 20  # more than are decoded ahead
    found = list(student.classify_many(images, top=1, batch_size=batch_size))
    assert [path for path, _ in found] == images
    for path, result in found:
        if path.exists():
            assert isinstance(result, Classification)
            assert result == student.classify(path, top=1)
        else:
            assert isinstance(result, ImageError)


def test_images_of_a_stopped_run_are_not_decoded(bundle: Path, red: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []

    def images() -> Iterator[Path]:
        for _ in range(10_000):
            taken.append(red)
            yield red

    results = load_student(bundle).classify_many(images())
    next(results)
    results.close()
    assert len(taken) < 200


def test_embeddings_of_any_number_of_images(bundle: Path, red: Path, blue: Path) -> None:
    student = load_student(bundle)
    embeddings = student.embed([red, blue])
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(embeddings, np.stack([embedding_of(colour) for colour in COLOURS.values()]), atol=1e-5)
    assert student.embed([]).shape == (0, embeddings.shape[1])


def test_torch_is_not_needed(bundle_with_text: Path, red: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'torchvision', 'timm', 'open_clip', 'safetensors', 'onnx', 'ftfy', 'distill'):\n"
        "    sys.modules[name] = None\n"
        "from limbeck.cli import main\n"
        f"sys.exit(main(['classify', {str(bundle_with_text)!r}, {str(red)!r}, '--labels', 'red,blue']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "red " in done.stdout
