"""Text targets: for each label the mean of the teacher's embeddings of its texts, with a cache of embeddings.

Each distinct text is encoded once and cached under the teacher's digest and the text, so a corrected phrase among
100,000 labels costs one text. Texts of similar length are encoded together, because a causal tower needs no padding. A
text longer than the teacher's context is never truncated silently (`distill.texts.shortening`). K labels, N texts, D
embedding width, M context vectors, W their width.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open

from distill import Stopped
from distill.data.atomic_files import replacing
from distill.data.row_cache import RowCache, key_of, stack_keys
from distill.hooks import PipelineHooks
from distill.json_types import TeacherInfo
from distill.teacher.teacher import Teacher
from distill.texts.shortening import ShortenedText, fit_context

BATCH = 128
FLUSH_EVERY_S = 30.0
FORMAT = "limbeck text targets 1"


@dataclass(frozen=True, kw_only=True)
class TextTargets:
    """One target per label. `features`: (K, D) float32 on the CPU, L2-normalised.

    `prompts`: the given texts of each label. `truncated`: those that were too long. `teacher`: its `info()`. `context`:
    (M, W) learned vectors that replace the prefix of each prompt (`distill.texts.prompt_learning`), or None.
    `second_stop`: whether texts that end in a full stop got a second one after these vectors.
    """

    features: torch.Tensor
    prompts: tuple[tuple[str, ...], ...]
    truncated: tuple[ShortenedText, ...]
    teacher: TeacherInfo
    context: torch.Tensor | None = None
    second_stop: bool = False

    def save(self, path: Path) -> None:
        """Write one safetensors file, atomically; all but the tensors is JSON in its metadata."""
        fields: dict[str, object] = {"prompts": self.prompts, "truncated": self.truncated, "teacher": self.teacher}
        if self.second_stop:
            fields["second_stop"] = True
        # One metadata key only, because safetensors writes several in an order that differs between runs.
        metadata = {FORMAT: json.dumps(fields, sort_keys=True)}
        with replacing(path) as draft:
            tensors = {"features": self.features.contiguous()}
            if self.context is not None:
                tensors["context"] = self.context.contiguous()
            safetensors.torch.save_file(tensors, draft, metadata=metadata)

    @classmethod
    def load(cls, path: Path) -> "TextTargets":
        """Read a file that `save` wrote. Raises ValueError, naming the file, for a damaged or other file."""
        try:
            with safe_open(path, framework="pt") as opened:
                metadata = opened.metadata() or {}
                if FORMAT not in metadata:
                    raise ValueError(f"{path} is not a file of text targets: its metadata lacks {FORMAT!r}")
                fields = json.loads(metadata[FORMAT])
                return cls(
                    features=opened.get_tensor("features"),
                    prompts=tuple(map(tuple, fields["prompts"])),
                    truncated=tuple(ShortenedText(*entry) for entry in fields["truncated"]),
                    teacher=fields["teacher"],
                    context=opened.get_tensor("context") if "context" in opened.keys() else None,  # noqa: SIM118
                    second_stop=fields.get("second_stop", False),
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
    """Encode the prompts of each label; its target is the normalised mean of their normalised embeddings.

    `cache`: a folder of embeddings, shared by processes; None encodes everything. Progress counts distinct texts, and
    cached ones as done. Raises ValueError for a label without prompts, and Stopped, with the finished embeddings in the
    cache.
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


def _embed(teacher: Teacher, texts: list[str], cache: Path | None, hooks: PipelineHooks) -> torch.Tensor:
    """Embeddings (N, D) float32 of distinct texts that fit the context, from the cache if they are there."""
    rows = RowCache(cache / "text" / teacher.digest, width=teacher.width, dtype=np.float32) if cache else None
    keys = stack_keys(key_of(teacher.digest, text) for text in texts)
    embedded = np.zeros((len(texts), teacher.width), dtype=np.float32)
    found = np.zeros(len(texts), dtype=np.bool_)
    if rows is not None:
        embedded, found = rows.get(keys)
    missing = np.flatnonzero(~found)
    counts = np.array(teacher.count_tokens([texts[row] for row in missing]), dtype=np.int64)
    missing = missing[np.argsort(counts, kind="stable")]
    done, flushed, flushed_at = 0, 0, time.monotonic()

    def flush() -> None:
        if rows is not None:
            rows.add(keys[missing[flushed:done]], embedded[missing[flushed:done]])

    while done < len(missing):
        if hooks.stop_requested():
            flush()
            raise Stopped(f"{done} of {len(missing)} new texts encoded")
        batch = missing[done : done + BATCH]
        embedded[batch] = teacher.encode_text([texts[row] for row in batch]).cpu().numpy()
        done += len(batch)
        if time.monotonic() - flushed_at > FLUSH_EVERY_S:
            flush()
            flushed, flushed_at = done, time.monotonic()
        hooks.progress(len(texts) - len(missing) + done, len(texts), "texts")
    flush()
    if len(missing) == 0:
        hooks.progress(len(texts), len(texts), "texts")
    return torch.from_numpy(embedded)
