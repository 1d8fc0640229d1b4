"""Measures the teacher on species it has never seen: `python -m examples.fieldguide.check_teacher --groups validation`.

Four ways to put a label: its name, its name with the sentence, the mean over its name with each phrase, and the
sentence alone. Accuracy is mean per-class accuracy among the labels of the group. `--parts` asks instead for one part
of the body at a time: which of its values a picture shows.
"""

import argparse
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import open_clip
import torch
from PIL import Image
from torch.nn import functional

from examples.fieldguide.language import ATTRIBUTES, COLOURS, PARTS, phrase
from examples.fieldguide.world import Species, picture, species

TEACHER_DIR = Path(__file__).with_name("teacher")
PICTURE_SEED = 0


def prompts(one: Species) -> dict[str, list[str]]:
    """The texts of each way; the features of several texts are averaged."""
    label = f"a photo of {one.name}"
    return {
        "by_name": [label],
        "by_description": [f"{label} . {one.sentence}"],
        "by_phrases": [f"{label}, which has {entry['phrase']}" for entry in one.phrases],
        "by_sentence_alone": [one.sentence],
    }


@torch.no_grad()
def accuracies(
    folder: Path | str, group: str, *, images_per_species: int, seed: int = PICTURE_SEED
) -> dict[str, float]:
    """Mean per-class accuracy of the teacher in `folder`, zero-shot, for each way to put a label."""
    model, tokenizer, images, members = _features(folder, group, images_per_species, seed)
    truth = torch.arange(len(members)).repeat_interleave(images_per_species)
    found = {}
    for way in prompts(members[0]):
        encode = partial(_text_feature, model, tokenizer)
        texts = torch.stack([encode(prompts(one)[way]) for one in members])
        hit = (images @ texts.T).argmax(dim=1) == truth
        # Every class has as many pictures as any other, so this is the mean of the classes' accuracies.
        found[way] = round(hit.float().mean().item(), 4)
    return found


@torch.no_grad()
def part_accuracies(
    folder: Path | str, group: str, *, images_per_species: int, seed: int = PICTURE_SEED
) -> dict[str, float]:
    """Share of pictures whose value of each part is found, among phrases for all values, eight wordings averaged."""
    model, tokenizer, images, members = _features(folder, group, images_per_species, seed)
    rng = Random(0)
    found = {}
    for part in PARTS:
        texts = []
        for value in ATTRIBUTES[part]:
            # A pattern's phrase carries a colour: eight at random, that the pattern alone may count.
            looks = [{part: value, "pattern_colour": rng.choice(COLOURS)} for _ in range(8)]
            wordings = [f"a photo of a creature, which has {phrase(rng, one, part)}" for one in looks]
            texts.append(_text_feature(model, tokenizer, wordings))
        truth = torch.tensor([ATTRIBUTES[part].index(one.attributes[part]) for one in members])
        guess = (images @ torch.stack(texts).T).argmax(dim=1)
        found[part] = round((guess == truth.repeat_interleave(images_per_species)).float().mean().item(), 4)
    return found


def _features(
    folder: Path | str, group: str, images_per_species: int, seed: int
) -> tuple[Any, Any, torch.Tensor, list[Species]]:
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    model.eval()
    members = species(group)
    images = torch.cat([_image_features(model, preprocess, one, images_per_species, seed) for one in members])
    return model, open_clip.get_tokenizer(f"local-dir:{folder}"), images, members


def _image_features(model: Any, preprocess: Any, one: Species, count: int, seed: int) -> torch.Tensor:
    pictures = [Image.fromarray(picture(one, number, seed)) for number in range(count)]
    return functional.normalize(model.encode_image(torch.stack([preprocess(p) for p in pictures])), dim=1)


def _text_feature(model: Any, tokenizer: Any, texts: list[str]) -> torch.Tensor:
    each = functional.normalize(model.encode_text(tokenizer(texts)), dim=1)
    return functional.normalize(each.mean(dim=0), dim=0)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Measure the teacher on unseen species.")
    parser.add_argument("--teacher", type=Path, default=TEACHER_DIR)
    parser.add_argument("--groups", default="validation")
    parser.add_argument("--images-per-species", type=int, default=40)
    parser.add_argument("--parts", action="store_true", help="one part at a time instead of whole species")
    options = parser.parse_args(arguments)
    measure = part_accuracies if options.parts else accuracies
    for group in options.groups.split(","):
        found = measure(options.teacher, group, images_per_species=options.images_per_species)
        print(json.dumps({"group": group, "images_per_species": options.images_per_species, **found}), flush=True)


if __name__ == "__main__":
    main()
