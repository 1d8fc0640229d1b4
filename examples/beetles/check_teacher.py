"""Evaluates the teacher of the beetles: `python -m examples.beetles.check_teacher --group validation`.

Prints the accuracy among the species of the group, by sentence and by the mean over phrases, and the accuracy of each
part among phrases for its values.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from distill.teacher.teacher import Teacher, load_teacher
from examples.beetles.parts import DESCRIBED, PARTS, wordings
from examples.beetles.world import species, species_image

TEACHER = Path(__file__).with_name("teacher")


def accuracies(folder: Path, group: str, *, images_per_species: int) -> dict[str, float]:
    """Accuracy, 0 to 1, by sentence, by phrases, and by part of the teacher in `folder`."""
    teacher, members = load_teacher(f"local-dir:{folder.resolve()}"), species(group)
    pictures = [Image.fromarray(species_image(one, number)) for one in members for number in range(images_per_species)]
    images = torch.cat(
        [
            teacher.encode_images(torch.stack([teacher.prepare(picture) for picture in pictures[start : start + 100]]))
            for start in range(0, len(pictures), 100)
        ]
    )
    of_species = torch.arange(len(members)).repeat_interleave(images_per_species)
    texts = {
        "sentence": [[f"a photo of {one.name} . {one.sentence}"] for one in members],
        "phrases": [[f"a photo of {one.name}, which has {phrase}" for phrase in one.phrases] for one in members],
    }
    found = {name: _accuracy(images, _means(teacher, prompts), of_species) for name, prompts in texts.items()}
    for part in DESCRIBED:
        values = PARTS[part]
        beetles = [{part: value, "marking_colour": "black"} for value in values]
        prompts = [[f"a photo of a beetle, which has {text}" for text in wordings(one, part)] for one in beetles]
        truth = torch.tensor([values.index(one.beetle[part]) for one in members])[of_species]
        found[part] = _accuracy(images, _means(teacher, prompts), truth)
    return found


def _means(teacher: Teacher, prompts: Sequence[Sequence[str]]) -> Tensor:
    encoded = [torch.nn.functional.normalize(teacher.encode_text(list(texts)), dim=1).mean(dim=0) for texts in prompts]
    return torch.nn.functional.normalize(torch.stack(encoded), dim=1)


def _accuracy(images: Tensor, texts: Tensor, truth: Tensor) -> float:
    return round(float(((images @ texts.T).argmax(dim=1) == truth).float().mean()), 4)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Evaluate the teacher of the beetles.")
    parser.add_argument("--teacher", type=Path, default=TEACHER, help="folder of the teacher")
    parser.add_argument("--group", default="validation", help="train, validation or test")
    parser.add_argument("--images-per-species", type=int, default=4, help="number of images per species")
    options = parser.parse_args(arguments)
    measured = accuracies(options.teacher, options.group, images_per_species=options.images_per_species)
    print(json.dumps({"group": options.group, **measured}))


if __name__ == "__main__":
    main()
