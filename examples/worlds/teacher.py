"""Training of a tiny CLIP as the teacher of a world: losses, text encoder, optimiser, schedule and files.

The contrastive CLIP loss compares images and captions; a caption that is also true of another image is not a negative
for it. The parts loss classifies an image among phrases for every value of each part, encoded by the same text tower.
B images or captions, A attributes, N images, K classes (values of all parts), D embedding.
"""

import argparse
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import torch
from safetensors.torch import save_file
from torch.nn import functional

CONTEXT_LENGTH, VOCABULARY = 64, 49_408


class TinyCLIP(Protocol):
    """The parts of open_clip's `CLIP` that are used here."""

    token_embedding: torch.nn.Embedding
    positional_embedding: torch.Tensor
    transformer: Callable[..., torch.Tensor]
    attn_mask: torch.Tensor
    ln_final: Callable[[torch.Tensor], torch.Tensor]
    text_projection: torch.Tensor
    logit_scale: torch.Tensor

    def encode_image(self, image: torch.Tensor) -> torch.Tensor: ...

    def named_parameters(self) -> Iterator[tuple[str, torch.nn.Parameter]]: ...

    def parameters(self) -> Iterator[torch.nn.Parameter]: ...

    def state_dict(self) -> dict[str, torch.Tensor]: ...


def model_config(*, image_px: int, embed: int, text: Mapping[str, int]) -> dict[str, object]:
    """The `model_cfg` of open_clip. `text`: width, heads and layers of the text tower."""
    return {
        "embed_dim": embed,
        "vision_cfg": {
            "image_size": image_px,
            "timm_model_name": "test_resnet",  # timm's smallest: 0.4 million parameters
            "timm_model_pretrained": False,
            "timm_pool": "",
            "timm_proj": "linear",
        },
        "text_cfg": {"context_length": CONTEXT_LENGTH, "vocab_size": VOCABULARY, **text},
    }


def preprocess_config(mean: Sequence[float], std: Sequence[float]) -> dict[str, object]:
    """The `preprocess_cfg` of open_clip."""
    return {"mean": mean, "std": std, "interpolation": "bicubic", "resize_mode": "shortest"}


def masked_clip_loss(
    image: torch.Tensor, text: torch.Tensor, scale: torch.Tensor, also_true: torch.Tensor
) -> torch.Tensor:
    """Symmetric cross-entropy over (B, B) pairs of features (B, D); `also_true[i, j]` masks caption i for image j."""
    logits = (scale * functional.normalize(text, dim=1) @ functional.normalize(image, dim=1).T).masked_fill(
        also_true, -1e4
    )
    target = torch.arange(len(logits))
    return (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2


def also_true(stated: torch.Tensor, shown: torch.Tensor) -> torch.Tensor:
    """(B, B) bool from the codes of captions and images (B, A): caption i is true of image j, and i ≠ j."""
    matches = ((stated[:, None] == shown[None]) | (stated[:, None] < 0)).all(dim=2)
    return matches & ~torch.eye(len(matches), dtype=torch.bool)


def mean_over_parts(
    logits: torch.Tensor, targets: torch.Tensor, part_of_class: Sequence[str], parts: Sequence[str]
) -> torch.Tensor:
    """Cross-entropy of logits (N, K) among the classes of each part, targets (N, parts), averaged over the parts."""
    losses = []
    for number, part in enumerate(parts):
        columns = [at for at, own in enumerate(part_of_class) if own == part]
        losses.append(functional.cross_entropy(logits[:, columns], targets[:, number]))
    return torch.stack(losses).mean()


def class_targets(
    values: Mapping[str, str], classes: Sequence[tuple[str, Mapping[str, str]]], parts: Sequence[str]
) -> list[int]:
    """For each part, the index of the class whose values these are, among the classes of the part."""
    targets = []
    for part in parts:
        of_part = [of_class for own, of_class in classes if own == part]
        targets.append(next(at for at, one in enumerate(of_part) if one.items() <= values.items()))
    return targets


def encode_text(model: TinyCLIP, tokens: torch.Tensor) -> torch.Tensor:
    """`model.encode_text` without the padding: attention is causal, so tokens after the end of a text have no effect.

    (B, context) -> (B, D). The shorter and the longer half of the batch are each truncated to their longest text.
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
    """Linear warm-up to `peak`, then cosine decay to 2% of it."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup))))


def optimiser(
    model: TinyCLIP, peak: float, weight_decay: float, others: Iterable[torch.nn.Parameter] = ()
) -> torch.optim.AdamW:
    """AdamW. Vectors and embeddings have no weight decay: tokens unseen in training must keep their initial values.

    `others`: parameters outside the model, without weight decay.
    """
    decayed: list[torch.nn.Parameter] = []
    not_decayed: list[torch.nn.Parameter] = []
    for name, weight in model.named_parameters():
        (not_decayed if weight.ndim < 2 or "embedding" in name else decayed).append(weight)
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": [*not_decayed, *others], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=peak, betas=(0.9, 0.98), fused=True)


def descend(
    model: TinyCLIP, by: torch.optim.AdamW, loss: torch.Tensor, lr: float, logit_scale: tuple[float | None, float]
) -> None:
    """One step of the optimiser down this loss. `logit_scale`: the limits of the logarithm of the scale."""
    for group in by.param_groups:
        group["lr"] = lr
    by.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    by.step()
    with torch.no_grad():
        model.logit_scale.clamp_(*logit_scale)


def save_teacher(
    model: TinyCLIP,
    out: Path,
    model_cfg: Mapping[str, object],
    preprocess_cfg: Mapping[str, object],
    seen_tokens: torch.Tensor | None = None,
) -> None:
    """Write the two files that `local-dir:` of open_clip reads, with tensors in float16.

    `seen_tokens` (vocabulary,) bool: the embeddings of the others become zero, so that the weights compress.
    """
    out.mkdir(parents=True, exist_ok=True)
    config = {"model_cfg": model_cfg, "preprocess_cfg": preprocess_cfg}
    (out / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    tensors = {
        key: (value.half() if value.is_floating_point() else value).contiguous()
        for key, value in sorted(model.state_dict().items())
    }
    if seen_tokens is not None:
        tensors["token_embedding.weight"] = tensors["token_embedding.weight"] * seen_tokens[:, None].half()
    weights = out / "open_clip_model.safetensors"
    save_file(tensors, weights, metadata={"format": "pt"})
    weights.chmod(0o644)


def training_parser(world: str, *, pictures: int, steps: int, lr: float) -> argparse.ArgumentParser:
    """The command line of a training, with these defaults."""
    parser = argparse.ArgumentParser(description=f"Train the teacher of the {world}.")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    parser.add_argument("--pictures", type=int, default=pictures, help="number of training images")
    parser.add_argument("--steps", type=int, default=steps, help="number of optimiser steps")
    parser.add_argument("--batch", type=int, default=96, help="images per step")
    parser.add_argument("--lr", type=float, default=lr, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=0, help="seed of images, captions and weights")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="number of CPU threads")
    return parser
