"""Evaluates the teacher on unseen species: `python -m examples.fieldguide.check_teacher --groups validation`.

Each label is rendered in four ways: the name, the name with the sentence, the mean over the name with each phrase, and
the sentence alone. Accuracy is the mean per-class accuracy among the labels of the group. With `--parts` the teacher
classifies one part of the body at a time instead of the species.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random

import open_clip
import torch
from PIL import Image
from torch.nn import functional

from distill.teacher.clip_model import ClipModel
from examples.fieldguide.language import ATTRIBUTES, COLOURS, PARTS, phrase
from examples.fieldguide.world import Species, species, species_image

TEACHER_DIR = Path(__file__).with_name("teacher")
IMAGE_SEED = 0


def prompts(member: Species) -> dict[str, list[str]]:
    """Rendering → texts of the species. The features of several texts are averaged."""
    label = f"a photo of {member.name}"
    return {
        "by_name": [label],
        "by_description": [f"{label} . {member.sentence}"],
        "by_phrases": [f"{label}, which has {entry['phrase']}" for entry in member.phrases],
        "by_sentence_alone": [member.sentence],
    }


@torch.no_grad()
def accuracies(folder: Path | str, group: str, *, images_per_species: int, seed: int = IMAGE_SEED) -> dict[str, float]:
    """Zero-shot mean per-class accuracy (0..1) of the teacher in `folder`, for each rendering of the labels."""
    model, tokenizer, images, members = _features(folder, group, images_per_species, seed)
    targets = torch.arange(len(members)).repeat_interleave(images_per_species)
    results = {}
    for rendering in prompts(members[0]):
        encode = partial(_text_feature, model, tokenizer)
        texts = torch.stack([encode(prompts(member)[rendering]) for member in members])
        is_correct = (images @ texts.T).argmax(dim=1) == targets
        # All classes have the same number of images, so the mean over images is the mean per-class accuracy.
        results[rendering] = round(is_correct.float().mean().item(), 4)
    return results


@torch.no_grad()
def part_accuracies(
    folder: Path | str, group: str, *, images_per_species: int, seed: int = IMAGE_SEED
) -> dict[str, float]:
    """Part → accuracy (0..1) of its value, classified among all values; eight wordings per value are averaged."""
    model, tokenizer, images, members = _features(folder, group, images_per_species, seed)
    rng = Random(0)
    results = {}
    for part in PARTS:
        texts = []
        for value in ATTRIBUTES[part]:
            # A pattern phrase names a colour. Eight random colours average it out, so that only the pattern counts.
            variants = [{part: value, "pattern_colour": rng.choice(COLOURS)} for _ in range(8)]
            wordings = [f"a photo of a creature, which has {phrase(rng, variant, part)}" for variant in variants]
            texts.append(_text_feature(model, tokenizer, wordings))
        targets = torch.tensor([ATTRIBUTES[part].index(member.attributes[part]) for member in members])
        predicted = (images @ torch.stack(texts).T).argmax(dim=1)
        is_correct = predicted == targets.repeat_interleave(images_per_species)
        results[part] = round(is_correct.float().mean().item(), 4)
    return results


Tokenize = Callable[[list[str]], torch.Tensor]


def _features(
    folder: Path | str, group: str, images_per_species: int, seed: int
) -> tuple[ClipModel, Tokenize, torch.Tensor, list[Species]]:
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    model.eval()
    members = species(group)
    images = torch.cat([_image_features(model, preprocess, member, images_per_species, seed) for member in members])
    return model, open_clip.get_tokenizer(f"local-dir:{folder}"), images, members


def _image_features(
    model: ClipModel, preprocess: Callable[[Image.Image], torch.Tensor], member: Species, count: int, seed: int
) -> torch.Tensor:
    images = [Image.fromarray(species_image(member, number, seed)) for number in range(count)]
    return functional.normalize(model.encode_image(torch.stack([preprocess(image) for image in images])), dim=1)


def _text_feature(model: ClipModel, tokenizer: Tokenize, texts: list[str]) -> torch.Tensor:
    each = functional.normalize(model.encode_text(tokenizer(texts)), dim=1)
    return functional.normalize(each.mean(dim=0), dim=0)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Evaluate the teacher on unseen species.")
    parser.add_argument("--teacher", type=Path, default=TEACHER_DIR, help="folder of the teacher")
    parser.add_argument("--groups", default="validation", help="comma-separated: train, validation, test")
    parser.add_argument("--images-per-species", type=int, default=40, help="number of images per species")
    parser.add_argument("--parts", action="store_true", help="classify one part at a time instead of the species")
    options = parser.parse_args(arguments)
    measure = part_accuracies if options.parts else accuracies
    for group in options.groups.split(","):
        results = measure(options.teacher, group, images_per_species=options.images_per_species)
        print(json.dumps({"group": group, "images_per_species": options.images_per_species, **results}), flush=True)


if __name__ == "__main__":
    main()
