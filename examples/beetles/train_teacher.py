"""Trains the teacher of the beetles: a tiny CLIP that learns descriptions and sees no species.

    python -m examples.beetles.train_teacher --out examples/beetles/teacher

As for the field guide, a sum of the losses of `examples.worlds.teacher`: the contrast of images and captions with
invented names, and the classification of each part among phrases for its values. Without a third one, linear heads for
the parts on the image features that are dropped at the end, 1,000 steps had taught the colours only.
The images are random beetles in random styles, never those of a species. Embeddings of tokens that no caption has are
zero, so that the weights compress. Writes `open_clip_config.json`, `open_clip_model.safetensors` (float16) and
`train.jsonl`.
B images, K classes (values of all parts), N texts, D embedding.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from torch.nn import functional

from examples.beetles.drawing import STYLES, draw
from examples.beetles.parts import DESCRIBED, MARKING_COLOURS, PARTS, Beetle, caption, nonsense_word, phrase
from examples.beetles.parts import random_beetle as sampled_beetle
from examples.beetles.world import species
from examples.worlds.teacher import (
    CONTEXT_LENGTH,
    VOCABULARY,
    also_true,
    class_targets,
    descend,
    encode_text,
    learning_rate,
    masked_clip_loss,
    mean_over_parts,
    model_config,
    optimiser,
    preprocess_config,
    save_teacher,
    training_parser,
)

IMAGE_PX, EMBED = 64, 96
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
MODEL_CFG = model_config(image_px=IMAGE_PX, embed=EMBED, text={"width": 64, "heads": 2, "layers": 2})
PREPROCESS_CFG = preprocess_config(MEAN, STD)
PARTS_WEIGHT, HEADS_WEIGHT = 3.0, 2.0
LOSSES = ("contrast", "parts", "heads")


def _classes() -> list[tuple[str, Beetle]]:
    """(part, values) for every value of each described part; for the marking, with each of its colours."""
    classes = []
    for part in DESCRIBED:
        for value in PARTS[part]:
            for colour in MARKING_COLOURS if part == "marking" else ("",):
                classes.append((part, {part: value, "marking_colour": colour} if colour else {part: value}))
    return classes


CLASSES = _classes()


def _codes(beetle: Beetle) -> list[int]:
    return [values.index(beetle[part]) if part in beetle else -1 for part, values in PARTS.items()]


def parts_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The loss of `mean_over_parts` for logits (B, K) and targets (B, parts)."""
    return mean_over_parts(logits, targets, [part for part, _ in CLASSES], DESCRIBED)


def training_images(count: int, seed: int) -> tuple[list[Beetle], NDArray[np.uint8]]:
    """Random beetles, none of which is a species, and an image of each: uint8 (count, 32, 32, 3)."""
    rng, excluded = Random(f"teacher {seed}"), {tuple(_codes(one.beetle)) for one in species()}
    beetles: list[Beetle] = []
    while len(beetles) < count:
        sampled = sampled_beetle(rng)
        if tuple(_codes(sampled)) not in excluded:
            beetles.append(sampled)
    pixels = [draw(one, STYLES[at % len(STYLES)], np.random.default_rng([seed, at])) for at, one in enumerate(beetles)]
    return beetles, np.stack(pixels)


def train(out: Path, *, num_images: int, steps: int, batch: int, peak_lr: float, seed: int, threads: int) -> None:
    """Train the teacher and write its files and its log to `out`."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    out.mkdir(parents=True, exist_ok=True)
    beetles, pixels = training_images(num_images, seed)
    shown = torch.tensor([_codes(one) for one in beetles])
    targets = torch.tensor([class_targets(one, CLASSES, DESCRIBED) for one in beetles])
    model = open_clip.model.CLIP(**MODEL_CFG).to(memory_format=torch.channels_last)
    tokenizer = open_clip.tokenizer.SimpleTokenizer(context_length=CONTEXT_LENGTH)
    heads = torch.nn.Linear(EMBED, len(CLASSES))
    adam = optimiser(model, peak_lr, 0.05, heads.parameters())
    rng, order = Random(f"captions {seed}"), np.random.default_rng(seed)
    seen = torch.zeros(VOCABULARY, dtype=torch.bool)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    lines: list[dict[str, object]] = [
        {"pictures": num_images, "steps": steps, "batch": batch, "peak_lr": peak_lr, "seed": seed, "threads": threads}
    ]
    began, sums = time.perf_counter(), torch.zeros(len(LOSSES))
    for step in range(steps):
        chosen = order.integers(num_images, size=batch)
        texts, stated = zip(*(caption(rng, beetles[at]) for at in chosen), strict=True)
        of_classes = [f"a photo of {nonsense_word(rng)}, which has {phrase(rng, one, part)}" for part, one in CLASSES]
        tokens = tokenizer([*texts, *of_classes])
        seen[tokens.unique()] = True
        small = torch.from_numpy(pixels[chosen]).permute(0, 3, 1, 2).float()
        large = functional.interpolate(small, size=IMAGE_PX, mode="bicubic", align_corners=False).clamp(0, 255)
        images = model.encode_image(((large / 255 - mean) / std).contiguous(memory_format=torch.channels_last))
        features = encode_text(model, tokens)
        masked = also_true(torch.tensor([_codes(one) for one in stated]), shown[chosen])
        scale = model.logit_scale.exp()
        contrast = masked_clip_loss(images, features[:batch], scale, masked)
        unit = functional.normalize(images, dim=1)
        parts = parts_loss(scale * unit @ functional.normalize(features[batch:], dim=1).T, targets[chosen])
        by_heads = parts_loss(heads(images), targets[chosen])
        loss = contrast + PARTS_WEIGHT * parts + HEADS_WEIGHT * by_heads
        descend(model, adam, loss, learning_rate(step, steps, peak_lr), (None, 4.6052))
        sums += torch.stack([contrast, parts, by_heads]).detach()
        if (step + 1) % 100 == 0 or step + 1 == steps:
            count = (step % 100) + 1
            means = {name: round(float(total) / count, 4) for name, total in zip(LOSSES, sums, strict=True)}
            line: dict[str, object] = {"step": step + 1, "seconds": round(time.perf_counter() - began), **means}
            lines.append(line)
            print(json.dumps(lines[-1]), flush=True)
            sums.zero_()
        if (step + 1) % 1000 == 0 or step + 1 == steps:
            save_teacher(model, out, MODEL_CFG, PREPROCESS_CFG, seen)
            (out / "train.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    options = training_parser("beetles", pictures=24_000, steps=2500, lr=3e-3).parse_args(arguments)
    train(
        options.out,
        num_images=options.pictures,
        steps=options.steps,
        batch=options.batch,
        peak_lr=options.lr,
        seed=options.seed,
        threads=options.threads,
    )


if __name__ == "__main__":
    main()
