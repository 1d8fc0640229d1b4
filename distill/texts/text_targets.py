"""Text targets: what a teacher makes of each label's texts, the mean over them, encoded once for ever.

Every distinct text is encoded once, and kept under its teacher's digest and its own words, so that a corrected
phrase among 100,000 labels costs one text. Texts of like length go together, since a causal tower need not compute
padding. A text longer than the teacher reads is never cut silently: a phrase among others is left out, and a sentence
ends where a clause of it ends; both are reported. K labels, D embedding width.
"""

import json
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open

from distill import Stopped
from distill.data.atomic_files import replacing
from distill.data.row_cache import RowCache, key_of, stack_keys
from distill.hooks import PipelineHooks
from distill.teacher.teacher import Teacher

BATCH = 128
KEEP_EVERY_S = 30.0
FORMAT = "limbeck text targets 1"


class ShortenedText(NamedTuple):
    """A text that had more tokens than the teacher reads. `used` is what was encoded for it, None if left out."""

    label: int
    prompt: str
    tokens: int
    used: str | None


@dataclass(frozen=True, kw_only=True)
class TextTargets:
    """One target for each label. `features`: (K, D) float32 on the CPU, L2-normalised.

    `prompts`: the texts of each label as given. `truncated`: those that were too long. `teacher`: its `info()`.
    `context`: (M, W) learned vectors that stand in the place of each prompt's opening
    (`distill.texts.prompt_learning`), else None.
    """

    features: torch.Tensor
    prompts: tuple[tuple[str, ...], ...]
    truncated: tuple[ShortenedText, ...]
    teacher: dict[str, Any]
    context: torch.Tensor | None = None

    def save(self, path: Path) -> None:
        """Write one safetensors file, its metadata holding all but the features as JSON. Atomic."""
        said = {"prompts": self.prompts, "truncated": self.truncated, "teacher": self.teacher}
        # Under one key, because safetensors writes several in an order that differs from run to run.
        metadata = {FORMAT: json.dumps(said, sort_keys=True)}
        with replacing(path) as draft:
            tensors = {"features": self.features.contiguous()}
            if self.context is not None:
                tensors["context"] = self.context.contiguous()
            safetensors.torch.save_file(tensors, draft, metadata=metadata)

    @classmethod
    def load(cls, path: Path) -> "TextTargets":
        """Read a file that `save` wrote. Raises ValueError, naming the file, for any other."""
        try:
            with safe_open(path, framework="pt") as opened:
                metadata = opened.metadata() or {}
                if FORMAT not in metadata:
                    raise ValueError(f"{path} is not a file of text targets ({FORMAT!r} is not in its metadata)")
                said = json.loads(metadata[FORMAT])
                return cls(
                    features=opened.get_tensor("features"),
                    prompts=tuple(map(tuple, said["prompts"])),
                    truncated=tuple(ShortenedText(*entry) for entry in said["truncated"]),
                    teacher=said["teacher"],
                    context=opened.get_tensor("context") if "context" in opened.keys() else None,  # noqa: SIM118
                )
        except (SafetensorError, KeyError) as error:
            raise ValueError(f"{path} is damaged: {error}") from error


def encode_text_targets(
    teacher: Teacher,
    prompts: Sequence[Sequence[str]],
    *,
    cache: Path | None,
    hooks: PipelineHooks | None = None,
) -> TextTargets:
    """Encode each label's prompts; a label's target is the normalised mean of its normalised embeddings.

    `cache`: a folder of embeddings, shared by processes; None encodes afresh. `on_progress(done, total, "texts")`
    counts distinct texts, cached ones as done. Raises ValueError for a label without prompts, and Stopped once
    `should_stop()` is true, with what was encoded in the cache.
    """
    for label, texts in enumerate(prompts):
        if not texts:
            raise ValueError(f"label {label} has no prompt: render at least its name")
    used, truncated = fit_context(teacher, prompts, teacher.context_length)
    distinct = list(dict.fromkeys(text for texts in used for text in texts))
    place = {text: row for row, text in enumerate(distinct)}
    embedded = _embed(teacher, distinct, cache, hooks or PipelineHooks())
    features = torch.stack([embedded[[place[text] for text in texts]].mean(dim=0) for texts in used])  # (K, D)
    return TextTargets(
        features=torch.nn.functional.normalize(features, dim=-1),
        prompts=tuple(tuple(texts) for texts in prompts),
        truncated=tuple(truncated),
        teacher=teacher.info(),
    )


def _embed(
    teacher: Teacher,
    texts: list[str],
    cache: Path | None,
    hooks: PipelineHooks,
) -> torch.Tensor:
    """Embeddings (N, D) float32 of distinct texts that fit, from the cache where they are there."""
    rows = RowCache(cache / "text" / teacher.digest, width=teacher.width, dtype=np.float32) if cache else None
    keys = stack_keys(key_of(teacher.digest, text) for text in texts)
    embedded = np.zeros((len(texts), teacher.width), dtype=np.float32)
    found = np.zeros(len(texts), dtype=np.bool_)
    if rows is not None:
        embedded, found = rows.get(keys)
    missing = np.flatnonzero(~found)
    counts = np.array(teacher.count_tokens([texts[row] for row in missing]), dtype=np.int64)
    missing = missing[np.argsort(counts, kind="stable")]
    done, kept, kept_at = 0, 0, time.monotonic()

    def keep() -> None:
        if rows is not None:
            rows.add(keys[missing[kept:done]], embedded[missing[kept:done]])

    while done < len(missing):
        if hooks.stop_requested():
            keep()
            raise Stopped(f"{done} of {len(missing)} new texts encoded")
        batch = missing[done : done + BATCH]
        embedded[batch] = teacher.encode_text([texts[row] for row in batch]).cpu().numpy()
        done += len(batch)
        if time.monotonic() - kept_at > KEEP_EVERY_S:
            keep()
            kept, kept_at = done, time.monotonic()
        hooks.progress(len(texts) - len(missing) + done, len(texts), "texts")
    keep()
    if len(missing) == 0:
        hooks.progress(len(texts), len(texts), "texts")
    return torch.from_numpy(embedded)


def fit_context(
    teacher: Teacher, prompts: Sequence[Sequence[str]], room: int
) -> tuple[list[list[str]], list[ShortenedText]]:
    """The texts to encode for each label, none above `room` tokens of the teacher's, and what was done to get there."""
    distinct = list(dict.fromkeys(text for texts in prompts for text in texts))
    tokens = dict(zip(distinct, teacher.count_tokens(distinct), strict=True))

    def fits(text: str) -> bool:
        return teacher.count_tokens([text])[0] <= room

    used: list[list[str]] = []
    report: list[ShortenedText] = []
    for label, texts in enumerate(prompts):
        kept = [text for text in texts if tokens[text] <= room]
        spare = bool(kept)
        for text in texts:
            if tokens[text] > room:
                shorter = None if spare else shorten(text, fits)
                report.append(ShortenedText(label, text, tokens[text], shorter))
                kept += [] if shorter is None else [shorter]
        used.append(kept)
    return used, report


def shorten(text: str, fits: Callable[[str], bool]) -> str:
    """The longest beginning of `text` that fits and ends between two phrases or where a clause ends.

    Joined phrases are parted by `;`. Clauses end before `,` `;` `:` and after `.` `!` `?`. Where the last such end
    would give away more than half of what fits, the beginning ends at a word instead; where not even one word fits,
    at a character. Raises ValueError if nothing fits.
    """
    if phrases := _longest(text, (match.start() for match in re.finditer(r";(?=\s)", text)), fits):
        return phrases
    clause = _longest(text, (match.start() for match in re.finditer(r"[,;:](?=\s)|(?<=\w[.!?])\s", text)), fits)
    word = _longest(text, (match.start() for match in re.finditer(r"\s+", text)), fits)
    best = clause if 2 * len(clause) >= len(word) else word
    best = best or _longest(text, range(len(text)), fits)
    if not best:
        raise ValueError(f"nothing of {text!r} fits the teacher's context")
    return best


def _longest(text: str, ends: Iterable[int], fits: Callable[[str], bool]) -> str:
    # From the back, one by one: tokens need not grow with each letter, so that halving could miss the longest.
    beginnings = (text[:end].rstrip() for end in sorted(ends, reverse=True))
    return next((start for start in beginnings if start and fits(start)), "")
