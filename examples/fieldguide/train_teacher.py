"""Trains the teacher of the field guide: a tiny CLIP model that learns descriptions and sees no species.

    python -m examples.fieldguide.train_teacher --out examples/fieldguide/teacher

The images show random combinations of attributes (never those of a species); the captions state some of the attributes
in varied words after an invented name. The loss is the sum of the two terms of `examples.worlds.teacher`, of which the
parts loss classifies the image among phrases such as `…, which has a forked tail`. Without it, the model learns little
more than colours in this time.
Writes `open_clip_config.json`, `open_clip_model.safetensors` (float16) and `train.jsonl`, for
`open_clip.create_model_and_transforms("local-dir:examples/fieldguide/teacher")`.

Shapes: B images or captions, A attributes, N images, K classes (values of all parts), D embedding.
"""

import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from random import Random

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from torch.nn import functional

from examples.fieldguide.check_teacher import accuracies
from examples.fieldguide.drawing import IMAGE_PX, draw
from examples.fieldguide.language import (
    ATTRIBUTES,
    COLOURS,
    NO_COLOUR,
    PARTS,
    Attributes,
    caption,
    nonsense_word,
    phrase,
    random_attributes,
)
from examples.fieldguide.world import species
from examples.worlds.teacher import (
    CONTEXT_LENGTH,
    TinyCLIP,
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

MEAN, STD = (0.46, 0.45, 0.45), (0.22, 0.22, 0.22)
MODEL_CFG = model_config(image_px=IMAGE_PX, embed=128, text={"width": 128, "heads": 4, "layers": 4})
PREPROCESS_CFG = preprocess_config(MEAN, STD)
LOSSES = ("contrast", "phrases")
PARTS_WEIGHT = 3.0
_KEYS = tuple(ATTRIBUTES)


def _codes(attributes: Attributes) -> list[int]:
    """Attribute values as indices (A,); -1 for attributes that a caption does not state."""
    return [ATTRIBUTES[key].index(attributes[key]) if key in attributes else -1 for key in _KEYS]


def _draw_chunk(chunk: tuple[list[Attributes], int]) -> NDArray[np.uint8]:
    creatures, seed = chunk
    return np.stack([draw(attributes, np.random.default_rng([seed, i])) for i, attributes in enumerate(creatures)])


def training_images(count: int, seed: int) -> tuple[list[Attributes], NDArray[np.uint8]]:
    """Random creatures, none of which is a species, and an image of each: uint8 (count, 64, 64, 3)."""
    rng = Random(f"teacher looks {seed}")
    excluded = {tuple(_codes(member.attributes)) for member in species()}
    creatures: list[Attributes] = []
    while len(creatures) < count:
        sampled = random_attributes(rng)
        if tuple(_codes(sampled)) not in excluded:
            creatures.append(sampled)
    size = 500
    chunks = [(creatures[start : start + size], 1_000_003 * (seed + 1) + start) for start in range(0, count, size)]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        return creatures, np.concatenate(list(pool.map(_draw_chunk, chunks)))


def _classes() -> list[tuple[str, Attributes]]:
    """(part, attributes) for every value of each part; for the pattern, every combination of pattern and colour."""
    classes = []
    for part in PARTS:
        for value in ATTRIBUTES[part]:
            has_colour = part == "pattern" and value != "plain"
            for colour in COLOURS if has_colour else (NO_COLOUR,):
                classes.append((part, {part: value, "pattern_colour": colour} if part == "pattern" else {part: value}))
    return classes


CLASSES = _classes()  # K classes, grouped by part


def class_texts(rng: Random) -> list[str]:
    """A randomly worded phrase for each of the K classes, after an invented name."""
    return [f"a photo of {nonsense_word(rng)}, which has {phrase(rng, values, part)}" for part, values in CLASSES]


def parts_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The loss of `mean_over_parts` for logits (N, K) and targets (N, parts)."""
    return mean_over_parts(logits, targets, [part for part, _ in CLASSES], PARTS)


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """`peak_lr` is the learning rate after warm-up."""

    num_images: int
    steps: int
    batch: int
    peak_lr: float
    seed: int
    threads: int


class _Data:
    """Batches of training images with captions, in a random order that depends only on the seed."""

    def __init__(self, options: TrainOptions) -> None:
        self._options = options
        self._creatures, self._pixels = training_images(options.num_images, options.seed)
        self._tokenizer = open_clip.tokenizer.SimpleTokenizer(context_length=CONTEXT_LENGTH)
        self._shown = torch.tensor([_codes(attributes) for attributes in self._creatures])
        self._targets = torch.tensor([class_targets(attributes, CLASSES, PARTS) for attributes in self._creatures])
        self._mean, self._std = (torch.tensor(v).view(3, 1, 1) for v in (MEAN, STD))
        self._rng, self._order = Random(f"teacher captions {options.seed}"), np.random.default_rng(options.seed)
        self._queue: list[int] = []

    def next_batch(self) -> "_TrainingBatch":
        """The next batch; every image is used once before any is used again."""
        size = self._options.batch
        if len(self._queue) < size:
            self._queue += self._order.permutation(self._options.num_images).tolist()
        chosen, self._queue = self._queue[:size], self._queue[size:]
        texts, stated = zip(*(caption(self._rng, self._creatures[i]) for i in chosen), strict=True)
        tokens = self._tokenizer([*texts, *class_texts(self._rng)])
        pixels = torch.from_numpy(self._pixels[chosen]).permute(0, 3, 1, 2).float()
        masked = also_true(torch.tensor([_codes(attributes) for attributes in stated]), self._shown[chosen])
        return _TrainingBatch((pixels / 255 - self._mean) / self._std, tokens, masked, self._targets[chosen])


@dataclass(frozen=True)
class _TrainingBatch:
    images: torch.Tensor  # (B, 3, 64, 64)
    tokens: torch.Tensor  # (B + K, context): captions, then class texts
    also_true: torch.Tensor  # (B, B)
    targets: torch.Tensor  # (B, parts)


class _Log:
    """Prints records and appends them to `train.jsonl`."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")

    def write(self, record: Mapping[str, object]) -> None:
        print(json.dumps(record), flush=True)
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def train(out: Path, options: TrainOptions) -> None:
    """Train the teacher and write its files and its log to `out`."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    out.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    data = _Data(options)
    print(f"{options.num_images} images in {time.perf_counter() - began:.0f} s", flush=True)
    model = open_clip.model.CLIP(**MODEL_CFG).to(memory_format=torch.channels_last)
    log = _Log(out / "train.jsonl")
    log.write(
        {
            "pictures": options.num_images,
            "steps": options.steps,
            "batch": options.batch,
            "peak_lr": options.peak_lr,
            "seed": options.seed,
            "threads": options.threads,
            "torch": torch.__version__,
            "parameters": sum(p.numel() for p in model.parameters()),
        }
    )
    began = time.perf_counter()
    _run_steps(model, data, options, out, log)
    log.write({"seconds": round(time.perf_counter() - began)})
    for name in ("validation", "test"):
        log.write({"final": name, "images_per_species": 40, **accuracies(out, name, images_per_species=40)})
    log.close()


def _run_steps(model: TinyCLIP, data: _Data, options: TrainOptions, out: Path, log: _Log) -> None:
    adam = optimiser(model, options.peak_lr, 0.1)
    steps = options.steps
    began, loss_sums = time.perf_counter(), torch.zeros(len(LOSSES))
    for step in range(steps):
        lr = learning_rate(step, steps, options.peak_lr)
        losses, scale = _step(model, adam, data.next_batch(), step, lr)
        loss_sums += losses
        if (step + 1) % 50 == 0 or step + 1 == steps:
            num_steps = 50 if (step + 1) % 50 == 0 else (step + 1) % 50
            steps_per_s = (step + 1) / (time.perf_counter() - began)
            means = dict(zip(LOSSES, (loss_sums / num_steps).tolist(), strict=True))
            log.write(
                {
                    "step": step + 1,
                    **{name: round(value, 4) for name, value in means.items()},
                    "lr": round(lr, 6),
                    "scale": round(scale, 1),
                    "steps_per_s": round(steps_per_s, 2),
                    "eta_s": round((steps - step - 1) / steps_per_s),
                }
            )
            loss_sums.zero_()
        if (step + 1) % 500 == 0 or step + 1 == steps:
            save_teacher(model, out, MODEL_CFG, PREPROCESS_CFG)
            log.write({"step": step + 1, "group": "validation", **accuracies(out, "validation", images_per_species=10)})


def _step(
    model: TinyCLIP, adam: torch.optim.AdamW, batch: _TrainingBatch, step: int, lr: float
) -> tuple[torch.Tensor, float]:
    """One optimiser step; returns the losses in the order of `LOSSES` and the logit scale before the step."""
    size = len(batch.images)
    images, texts = model.encode_image(batch.images), encode_text(model, batch.tokens)
    scale = model.logit_scale.exp()
    contrast = masked_clip_loss(images, texts[:size], scale, batch.also_true)
    similarity = functional.normalize(images, dim=1) @ functional.normalize(texts[size:], dim=1).T  # (B, K)
    parts = parts_loss(scale * similarity, batch.targets)
    loss = contrast + PARTS_WEIGHT * parts
    if not torch.isfinite(loss):
        raise RuntimeError(f"the loss is {loss.item()} at step {step}: lower --lr")
    descend(model, adam, loss, lr, (0, math.log(100)))
    return torch.stack((contrast, parts)).detach(), scale.item()


def main(arguments: Sequence[str] | None = None) -> None:
    parsed = training_parser("field guide", pictures=20_000, steps=1_500, lr=1.5e-3).parse_args(arguments)
    train(
        parsed.out,
        TrainOptions(
            num_images=parsed.pictures,
            steps=parsed.steps,
            batch=parsed.batch,
            peak_lr=parsed.lr,
            seed=parsed.seed,
            threads=parsed.threads,
        ),
    )


if __name__ == "__main__":
    main()
