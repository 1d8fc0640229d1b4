"""Measures the teacher on species it has never seen: `python -m examples.fieldguide.check_teacher --groups validation`.

Four ways to put a label: its name, its name with the sentence, the mean over its name with each phrase, and the
sentence alone. Accuracy is mean per-class accuracy among the labels of the group.
"""

import argparse
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from PIL import Image
from torch.nn import functional

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
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    model.eval()
    members = species(group)
    images = torch.cat([_image_features(model, preprocess, one, images_per_species, seed) for one in members])
    truth = torch.arange(len(members)).repeat_interleave(images_per_species)
    found = {}
    for way in prompts(members[0]):
        encode = partial(_text_feature, model, tokenizer)
        texts = torch.stack([encode(prompts(one)[way]) for one in members])
        hit = (images @ texts.T).argmax(dim=1) == truth
        # Every class has as many pictures as any other, so this is the mean of the classes' accuracies.
        found[way] = round(hit.float().mean().item(), 4)
    return found


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
    options = parser.parse_args(arguments)
    for group in options.groups.split(","):
        found = accuracies(options.teacher, group, images_per_species=options.images_per_species)
        print(json.dumps({"group": group, "chance": float(np.round(1 / len(species(group)), 4)), **found}))


if __name__ == "__main__":
    main()
