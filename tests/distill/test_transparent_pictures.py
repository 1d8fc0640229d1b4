"""The field guide's creatures, cut out: as transparent PNGs with hidden colours they train and classify as on white."""

import json
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from distill.cli.train_process import main
from examples.fieldguide import drawing
from examples.fieldguide.world import Species, species, species_image
from limbeck.classify import load_student
from tests.golden.training import TEACHER

NUM_SPECIES, NUM_ID, NUM_IMAGES = 10, 5, 20
SETTINGS = ("image_px=32", "epochs=20", "batch_size=16", "device=cpu", "threads=1", "num_workers=2")


def cut_out(member: Species, number: int) -> tuple[Image.Image, Image.Image]:
    """A creature on white, and its alpha channel: opaque where two backgrounds give the same pixel."""
    on_white, on_black = (drawn_on(colour, member, number) for colour in ("white", "black"))
    same = (on_white == on_black).all(axis=2)
    return Image.fromarray(on_white), Image.fromarray(np.where(same, 255, 0).astype(np.uint8))


def drawn_on(colour: str, member: Species, number: int) -> NDArray[np.uint8]:
    """The creature in the same pose on a plain background."""
    original = drawing._background

    def background(rng: np.random.Generator) -> Image.Image:
        return Image.new("RGB", original(rng).size, colour)  # takes as many random numbers

    with mock.patch.object(drawing, "_background", background):
        return species_image(member, number, seed=0)


def write_pictures(root: Path) -> None:
    """The same creatures in three folders: transparent, on white, and with the hidden colours shown."""
    random = np.random.default_rng(0)
    for member in species("train")[:NUM_SPECIES]:
        for name in ("transparent", "white", "hidden"):
            (root / name / member.folder).mkdir(parents=True)
        for number in range(NUM_IMAGES):
            creature, alpha = cut_out(member, number)
            hidden = Image.fromarray(random.integers(0, 256, (64, 64, 3), dtype=np.uint8))
            hidden.paste(creature, mask=alpha)
            white = Image.new("RGB", creature.size, "white")
            white.paste(creature, mask=alpha)
            transparent = hidden.convert("RGBA")
            transparent.putalpha(alpha)
            for name, image in (("transparent", transparent), ("white", white), ("hidden", hidden)):
                image.save(root / name / member.folder / f"{number:03d}.png")


def distilled(root: Path, name: str) -> dict[str, list[float]]:
    """Distil a student from one folder: accuracies of student and teacher on seen and unseen labels."""
    chosen = species("train")[:NUM_SPECIES]
    (root / "labels.txt").write_text("".join(f"{one.name}\n" for one in chosen), encoding="utf-8")
    phrases = {one.name: [phrase["phrase"] for phrase in one.phrases] for one in chosen}
    (root / "set.json").write_text(json.dumps(phrases), encoding="utf-8")
    names = [one.name for one in chosen]
    split = {"by": "list", "id": names[:NUM_ID], "ood": names[NUM_ID:], "held_out": 0.25}
    words = [
        *("--images", str(root / name), "--labels", str(root / "labels.txt"), "--attributes", str(root / "set.json")),
        *("--text", "phrases", "--teacher", f"local-dir:{TEACHER}", "--split", json.dumps(split)),
        *("--student", "test_resnet", "--recipe", "limbeck-small", "--set", "view=center"),
        *("--out", str(root / f"out-{name}"), "--cache", str(root / "cache")),
        *(word for setting in SETTINGS for word in ("--set", setting)),
    ]
    assert main(words) == 0
    report = json.loads((root / f"out-{name}" / "report.json").read_text(encoding="utf-8"))
    of_teacher = report["teacher"][-1]
    return {
        who: [one[part]["accuracy"] for part in ("id", "ood")]
        for who, one in (("student", report["student"]), ("teacher", of_teacher))
    }


def classified(bundle: Path, pictures: Path) -> list[str]:
    """The label that `limbeck classify` gives each picture of the unseen species."""
    student = load_student(bundle, among="unseen")
    return [
        student.classify(path, top=1).labels[0].label
        for member in species("train")[NUM_ID:NUM_SPECIES]
        for path in sorted((pictures / member.folder).iterdir())
    ]


@pytest.mark.nightly
@pytest.mark.image_input(
    "Decoding", "transparent PNGs with colours hidden under alpha 0", "train and classify as the same pictures on white"
)
def test_transparent_pictures_train_and_classify_as_on_white(tmp_path: Path) -> None:
    write_pictures(tmp_path)
    results = {name: distilled(tmp_path, name) for name in ("transparent", "white", "hidden")}
    print(json.dumps(results))
    for who in ("student", "teacher"):
        assert results["transparent"][who] == pytest.approx(results["white"][who], abs=0.02)
    # The hidden colours must change the result of a decoder that shows them, or the test proves nothing.
    assert results["hidden"]["teacher"][1] < results["white"]["teacher"][1] - 0.1
    bundle = tmp_path / "out-transparent" / "bundle"
    predictions = classified(bundle, tmp_path / "transparent")
    assert predictions == classified(bundle, tmp_path / "white")
    # ONNX Runtime gives the accuracy that torch had in the evaluation.
    labels = [
        one.name for one in species("train")[NUM_ID:NUM_SPECIES] for _ in (tmp_path / "white" / one.folder).iterdir()
    ]
    accuracy = sum(map(str.__eq__, predictions, labels)) / len(labels)
    assert accuracy == pytest.approx(results["transparent"]["student"][1], abs=0.0051)
    preprocess = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))["student"]["preprocess"]
    assert (preprocess["background"], preprocess["decoder"]) == ("#ffffff", "limbeck decoder 2")
