"""Trains the field guide's teacher: a tiny CLIP that knows descriptions and has never met a species.

    python -m examples.fieldguide.train_teacher --out examples/fieldguide/teacher

Pictures show random attribute combinations (none of them a species'), captions state some of the attributes in
varied words behind a made-up name. Two losses, added: CLIP's, between pictures and captions, where a caption that is
true of another picture too is not counted against it; and the picture against a phrase for every value of each part
(`…, which has a forked tail`), read by the same text tower. Without the second, only colours are learned soon.
Writes `open_clip_config.json`, `open_clip_model.safetensors` (float16) and `train.jsonl`, for
`open_clip.create_model_and_transforms("local-dir:examples/fieldguide/teacher")`.
"""

import argparse
import json
import math
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch.nn import functional

from examples.fieldguide.check_teacher import accuracies
from examples.fieldguide.drawing import PICTURE_PX, draw
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

CONTEXT_LENGTH = 64
MEAN, STD = (0.46, 0.45, 0.45), (0.22, 0.22, 0.22)
MODEL_CFG: dict[str, Any] = {
    "embed_dim": 128,
    "vision_cfg": {
        "image_size": PICTURE_PX,
        "timm_model_name": "test_resnet",  # timm's smallest: 0.4 million parameters
        "timm_model_pretrained": False,
        "timm_pool": "",
        "timm_proj": "linear",
    },
    "text_cfg": {
        "context_length": CONTEXT_LENGTH,
        "vocab_size": 49408,
        "width": 128,
        "heads": 4,
        "layers": 4,
    },
}
PREPROCESS_CFG: dict[str, Any] = {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"}
LOSSES = ("contrast", "phrases")
PARTS_WEIGHT = 3.0
_KEYS = tuple(ATTRIBUTES)


def _codes(attributes: Attributes) -> list[int]:
    """Attribute values as numbers, -1 where a caption says nothing."""
    return [ATTRIBUTES[key].index(attributes[key]) if key in attributes else -1 for key in _KEYS]


def _draw_many(job: tuple[list[Attributes], int]) -> NDArray[np.uint8]:
    looks, seed = job
    return np.stack([draw(one, np.random.default_rng([seed, i])) for i, one in enumerate(looks)])


def training_pictures(count: int, seed: int) -> tuple[list[Attributes], NDArray[np.uint8]]:
    """Random creatures, no species among them, and a picture of each."""
    rng = Random(f"teacher looks {seed}")
    known = {tuple(_codes(one.attributes)) for one in species()}
    looks: list[Attributes] = []
    while len(looks) < count:
        drawn = random_attributes(rng)
        if tuple(_codes(drawn)) not in known:
            looks.append(drawn)
    chunk = 500
    jobs = [(looks[at : at + chunk], 1_000_003 * (seed + 1) + at) for at in range(0, count, chunk)]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        return looks, np.concatenate(list(pool.map(_draw_many, jobs)))


def masked_clip_loss(
    image: torch.Tensor, text: torch.Tensor, scale: torch.Tensor, also_true: torch.Tensor
) -> torch.Tensor:
    """Symmetric cross-entropy over (B, B) pairs; `also_true[i, j]`: caption i is true of another picture j."""
    logits = (scale * functional.normalize(text, dim=1) @ functional.normalize(image, dim=1).T).masked_fill(
        also_true, -1e4
    )
    target = torch.arange(len(logits))
    return (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2


def _classes() -> list[tuple[str, Attributes]]:
    """Every value that a part of the body can have; for the pattern, every pattern in every colour."""
    found = []
    for part in PARTS:
        for value in ATTRIBUTES[part]:
            coloured = part == "pattern" and value != "plain"
            for colour in COLOURS if coloured else (NO_COLOUR,):
                found.append((part, {part: value, "pattern_colour": colour} if part == "pattern" else {part: value}))
    return found


CLASSES = _classes()  # K of them, a part's side by side


def part_targets(attributes: Attributes) -> list[int]:
    """For each part, which of the part's classes the creature belongs to."""
    targets = []
    for part in PARTS:
        looks = [values for of, values in CLASSES if of == part]
        targets.append(next(i for i, values in enumerate(looks) if values.items() <= attributes.items()))
    return targets


def class_texts(rng: Random) -> list[str]:
    """A freshly worded phrase for each class, behind a made-up name."""
    return [f"a photo of {nonsense_word(rng)}, which has {phrase(rng, values, part)}" for part, values in CLASSES]


def also_true(stated: torch.Tensor, shown: torch.Tensor) -> torch.Tensor:
    """(B, B) bool from caption codes and picture codes (B, A): true off the diagonal where all that is said fits."""
    fits = ((stated[:, None] == shown[None]) | (stated[:, None] < 0)).all(dim=2)
    return fits & ~torch.eye(len(fits), dtype=torch.bool)


def parts_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of logits (N, K) within each part's classes, targets (N, parts), averaged over the parts."""
    losses = []
    for number, part in enumerate(PARTS):
        at = [i for i, (of, _) in enumerate(CLASSES) if of == part]
        losses.append(functional.cross_entropy(logits[:, at], targets[:, number]))
    return torch.stack(losses).mean()


def encode_text(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    """`model.encode_text` without the padding: it is causal, so what follows a text's end changes nothing.

    (B, context) -> (B, D), the shorter half of the batch and the longer half each cut to their longest.
    """
    lengths = (tokens != 0).sum(dim=1)
    by_length = lengths.argsort()
    features = []
    for half in by_length.chunk(2):
        width = int(lengths[half].max())
        ids = tokens[half, :width]
        x = model.token_embedding(ids) + model.positional_embedding[:width]
        x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:width, :width]))
        features.append(x[torch.arange(len(ids)), ids.argmax(dim=1)] @ model.text_projection)
    return torch.cat(features)[by_length.argsort()]


def learning_rate(step: int, steps: int, peak: float, warmup: int = 100) -> float:
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup))))


def _optimiser(model: torch.nn.Module, peak: float) -> torch.optim.AdamW:
    """AdamW without decay on vectors and embeddings: tokens never seen in training must keep their first values."""
    decayed: list[torch.nn.Parameter] = []
    kept: list[torch.nn.Parameter] = []
    for name, weight in model.named_parameters():
        (kept if weight.ndim < 2 or "embedding" in name else decayed).append(weight)
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": kept, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=peak, betas=(0.9, 0.98), fused=True)


def save_teacher(model: torch.nn.Module, out: Path) -> None:
    """The two files that open_clip's `local-dir:` reads, tensors in float16."""
    out.mkdir(parents=True, exist_ok=True)
    config = {"model_cfg": MODEL_CFG, "preprocess_cfg": PREPROCESS_CFG}
    (out / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    tensors = {
        key: (value.half() if value.is_floating_point() else value).contiguous()
        for key, value in sorted(model.state_dict().items())
    }
    weights = out / "open_clip_model.safetensors"
    save_file(tensors, weights, metadata={"format": "pt"})
    weights.chmod(0o644)


def train(out: Path, *, pictures: int, steps: int, batch: int, peak: float, seed: int, threads: int) -> None:
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    out.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    looks, pixels = training_pictures(pictures, seed)
    print(f"{pictures} pictures in {time.perf_counter() - began:.0f} s", flush=True)
    model = open_clip.model.CLIP(**MODEL_CFG).to(memory_format=torch.channels_last)
    tokenizer = open_clip.tokenizer.SimpleTokenizer(context_length=CONTEXT_LENGTH)
    optimiser = _optimiser(model, peak)
    shown = torch.tensor([_codes(one) for one in looks])
    targets = torch.tensor([part_targets(one) for one in looks])
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (MEAN, STD))
    rng, order = Random(f"teacher captions {seed}"), np.random.default_rng(seed)
    queue: list[int] = []
    log = (out / "train.jsonl").open("w", encoding="utf-8")

    def note(record: dict[str, Any]) -> None:
        print(json.dumps(record), flush=True)
        log.write(json.dumps(record) + "\n")
        log.flush()

    note(
        {
            "pictures": pictures,
            "steps": steps,
            "batch": batch,
            "peak_lr": peak,
            "seed": seed,
            "threads": threads,
            "torch": torch.__version__,
            "parameters": sum(p.numel() for p in model.parameters()),
        }
    )
    began, running = time.perf_counter(), torch.zeros(len(LOSSES))
    for step in range(steps):
        if len(queue) < batch:
            queue += order.permutation(pictures).tolist()
        chosen, queue = queue[:batch], queue[batch:]
        texts, stated = zip(*(caption(rng, looks[i]) for i in chosen), strict=True)
        tokens = tokenizer([*texts, *class_texts(rng)])
        x = (torch.from_numpy(pixels[chosen]).permute(0, 3, 1, 2).float() / 255 - mean) / std
        rate = learning_rate(step, steps, peak)
        for group in optimiser.param_groups:
            group["lr"] = rate
        other = also_true(torch.tensor([_codes(one) for one in stated]), shown[chosen])
        image, text, scale = model.encode_image(x), encode_text(model, tokens), model.logit_scale.exp()
        contrast = masked_clip_loss(image, text[:batch], scale, other)
        against_classes = functional.normalize(image, dim=1) @ functional.normalize(text[batch:], dim=1).T
        parts = parts_loss(scale * against_classes, targets[chosen])
        loss = contrast + PARTS_WEIGHT * parts
        if not torch.isfinite(loss):
            raise RuntimeError(f"the loss is {loss.item()} at step {step}: lower --lr")
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        running += torch.stack((contrast, parts)).detach()
        if (step + 1) % 50 == 0 or step + 1 == steps:
            every = 50 if (step + 1) % 50 == 0 else (step + 1) % 50
            rate_s = (step + 1) / (time.perf_counter() - began)
            means = dict(zip(LOSSES, (running / every).tolist(), strict=True))
            note(
                {
                    "step": step + 1,
                    **{name: round(value, 4) for name, value in means.items()},
                    "lr": round(rate, 6),
                    "scale": round(scale.item(), 1),
                    "steps_per_s": round(rate_s, 2),
                    "eta_s": round((steps - step - 1) / rate_s),
                }
            )
            running.zero_()
        if (step + 1) % 500 == 0 or step + 1 == steps:
            save_teacher(model, out)
            note({"step": step + 1, "group": "validation", **accuracies(out, "validation", images_per_species=10)})
    note({"seconds": round(time.perf_counter() - began)})
    for name in ("validation", "test"):
        note({"final": name, "images_per_species": 40, **accuracies(out, name, images_per_species=40)})
    log.close()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train the field guide's teacher.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--steps", type=int, default=1_500)
    parser.add_argument("--batch", type=int, default=96)
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    train(
        options.out,
        pictures=options.pictures,
        steps=options.steps,
        batch=options.batch,
        peak=options.lr,
        seed=options.seed,
        threads=options.threads,
    )


if __name__ == "__main__":
    main()
