"""Trains the teacher of the beetles: a tiny CLIP that learns descriptions and sees no species.

    python -m examples.beetles.train_teacher --out examples/beetles/teacher

As for the field guide (`examples.fieldguide.train_teacher`), a sum of losses: the contrast of images and captions with
invented names, and the classification of each part among phrases for its values, by the same text tower. Without a
third one, linear heads for the parts on the image features that are dropped at the end, 1,000 steps had taught the
colours only.
The images are random beetles in random styles, never those of a species. Embeddings of tokens that no caption has are
zero, so that the weights compress. Writes `open_clip_config.json`, `open_clip_model.safetensors` (float16) and
`train.jsonl`.
B images, K classes (values of all parts), N texts, D embedding.
"""

import argparse
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch.nn import functional

from examples.beetles.drawing import STYLES, draw
from examples.beetles.parts import DESCRIBED, MARKING_COLOURS, PARTS, Beetle, caption, nonsense_word, phrase
from examples.beetles.parts import random_beetle as sampled_beetle
from examples.beetles.world import species
from examples.fieldguide.train_teacher import also_true, encode_text, learning_rate, masked_clip_loss

CONTEXT_LENGTH = 64
IMAGE_PX = 64
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
MODEL_CFG: Mapping[str, object] = {
    "embed_dim": 96,
    "vision_cfg": {
        "image_size": IMAGE_PX,
        "timm_model_name": "test_resnet",
        "timm_model_pretrained": False,
        "timm_pool": "",
        "timm_proj": "linear",
    },
    "text_cfg": {"context_length": CONTEXT_LENGTH, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}
PREPROCESS_CFG: Mapping[str, object] = {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"}
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


def _targets(beetle: Beetle) -> list[int]:
    """For each described part, the index of the beetle's class among the classes of the part."""
    by_part = {part: [values for own, values in CLASSES if own == part] for part in DESCRIBED}
    return [next(at for at, one in enumerate(by_part[part]) if one.items() <= beetle.items()) for part in DESCRIBED]


def parts_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of logits (B, K) among the classes of each part, targets (B, parts), averaged over the parts."""
    columns = [[at for at, (own, _) in enumerate(CLASSES) if own == part] for part in DESCRIBED]
    return torch.stack(
        [functional.cross_entropy(logits[:, of_part], targets[:, at]) for at, of_part in enumerate(columns)]
    ).mean()


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
    shown, targets = (torch.tensor([code(one) for one in beetles]) for code in (_codes, _targets))
    model = open_clip.model.CLIP(**MODEL_CFG).to(memory_format=torch.channels_last)
    tokenizer = open_clip.tokenizer.SimpleTokenizer(context_length=CONTEXT_LENGTH)
    heads = torch.nn.Linear(int(str(MODEL_CFG["embed_dim"])), len(CLASSES))
    matrices = [weight for name, weight in model.named_parameters() if weight.ndim >= 2 and "embedding" not in name]
    others = [weight for name, weight in model.named_parameters() if weight.ndim < 2 or "embedding" in name]
    groups = [
        {"params": matrices, "weight_decay": 0.05},
        {"params": [*others, *heads.parameters()], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=peak_lr, betas=(0.9, 0.98), fused=True)
    rng, order = Random(f"captions {seed}"), np.random.default_rng(seed)
    seen = torch.zeros(49408, dtype=torch.bool)
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
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, steps, peak_lr)
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(contrast + PARTS_WEIGHT * parts + HEADS_WEIGHT * by_heads)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        with torch.no_grad():
            model.logit_scale.clamp_(max=4.6052)
            sums += torch.stack([contrast, parts, by_heads]).detach()
        if (step + 1) % 100 == 0 or step + 1 == steps:
            count = (step % 100) + 1
            means = {name: round(float(total) / count, 4) for name, total in zip(LOSSES, sums, strict=True)}
            line: dict[str, object] = {"step": step + 1, "seconds": round(time.perf_counter() - began), **means}
            lines.append(line)
            print(json.dumps(lines[-1]), flush=True)
            sums.zero_()
        if (step + 1) % 1000 == 0 or step + 1 == steps:
            _save(model, seen, out, lines)


def _save(model: torch.nn.Module, seen: torch.Tensor, out: Path, lines: Sequence[Mapping[str, object]]) -> None:
    config = {"model_cfg": MODEL_CFG, "preprocess_cfg": PREPROCESS_CFG}
    (out / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    tensors = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in sorted(model.state_dict().items())
    }
    tensors["token_embedding.weight"] = tensors["token_embedding.weight"] * seen[:, None].half()
    save_file(tensors, out / "open_clip_model.safetensors", metadata={"format": "pt"})
    (out / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train the teacher of the beetles.")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    parser.add_argument("--pictures", type=int, default=24_000, help="number of training images")
    parser.add_argument("--steps", type=int, default=2500, help="number of steps")
    parser.add_argument("--batch", type=int, default=96, help="images per step")
    parser.add_argument("--lr", type=float, default=3e-3, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=0, help="seed of images, captions and weights")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="number of CPU threads")
    options = parser.parse_args(arguments)
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
