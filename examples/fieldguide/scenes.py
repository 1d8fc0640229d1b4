"""Images with several labels: pictures of two species of the field guide, and a student that finds all of them.

    python -m examples.fieldguide.scenes --out DIR [--student resnet10t] [--epochs 30]

Each picture shows two species side by side. Those of seen species alone are trained on or held out; those with an
unseen species (of the validation group) are only measured. The report is drawn in the model card of
`DIR/student/bundle`. The species of the test group are not used.
"""

import argparse
import csv
import json
from collections.abc import Sequence
from itertools import repeat
from pathlib import Path

import numpy as np
from PIL import Image

from examples.fieldguide.robustness import SEEN, TEACHER, UNSEEN, distill
from examples.fieldguide.world import Species, species, species_image

NUM_SEEN, NUM_UNSEEN = 1600, 400
SEED = 3


def write_scenes(folder: Path) -> None:
    """The pictures and `labels.csv`: of two seen species, then of two of which at least one is unseen."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(SEED)
    seen, unseen = list(species(SEEN)), list(species(UNSEEN))
    rows = []
    for number, first in enumerate([*repeat(seen, NUM_SEEN), *repeat(unseen, NUM_UNSEEN)]):
        others = seen if first is seen else [*seen, *unseen]
        pair = _two(random, first, others)
        scene = np.concatenate([species_image(one, number, SEED) for one in pair], axis=1)
        Image.fromarray(scene).save(folder / f"{number:04d}.png", compress_level=1)
        rows.append((f"{number:04d}.png", "|".join(one.name for one in pair)))
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("file_name", "label"), *rows])


def _two(random: np.random.Generator, first: Sequence[Species], others: Sequence[Species]) -> list[Species]:
    """One of `first` and another of `others`, in a random order."""
    one = first[int(random.integers(len(first)))]
    other = one
    while other is one:
        other = others[int(random.integers(len(others)))]
    return [one, other] if random.random() < 0.5 else [other, one]


def run(out: Path, *, student: str, epochs: int) -> None:
    """Write the pictures, train and measure. A second run with the same folder continues."""
    scenes, labels, attributes = out / "scenes", out / "labels.txt", out / "attributes.json"
    if not scenes.exists():
        write_scenes(scenes)
    members = [member for group in (SEEN, UNSEEN) for member in species(group)]
    labels.write_text("".join(f"{member.name}\n" for member in members), encoding="utf-8")
    attributes.write_text(json.dumps({member.name: member.sentence for member in members}), encoding="utf-8")
    split = {"by": "list", "id": [one.name for one in species(SEEN)], "ood": [one.name for one in species(UNSEEN)]}
    source = {"file": "labels.csv", "label_separator": "|", "several_labels": "all"}
    given = ["--images", scenes, "--source", json.dumps(source), "--labels", labels, "--attributes", attributes]
    given += ["--split", json.dumps(split), "--recipe", "limbeck-small", "--teacher", f"local-dir:{TEACHER}"]
    given += ["--student", student, "--cache", out / "cache", "--log-to", ""]
    settings = ("losses.cls=0", "losses.asl=1", f"epochs={epochs}", "onnx=false")
    distill(*given, "--out", out / "student", *(word for one in settings for word in ("--set", one)))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train and measure a student on pictures of two species.")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    parser.add_argument("--student", default="resnet10t", help="a timm model")
    parser.add_argument("--epochs", type=int, default=30, help="epochs of the training")
    options = parser.parse_args(arguments)
    run(options.out.resolve(), student=options.student, epochs=options.epochs)


if __name__ == "__main__":
    main()
