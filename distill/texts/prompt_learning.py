"""Prompt learning (CoOp, arXiv:2109.01134, as arXiv:2307.03135 uses it): vectors learned in the place of `a photo of`.

The same few vectors stand before every label's own words, `label[ . sentence].`, where the text tower would have the
embeddings of tokens. The tower is frozen; texts go through it in chunks that are worked out again for the gradient,
so that memory goes with a chunk and not with the number of labels. A label never trained on gets the same vectors.
K labels, N texts of them, M vectors, W width of a token's embedding, D embedding width.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from distill.teacher.teacher import Teacher
from distill.texts.text_targets import ShortenedText, TextTargets, fit_context
from distill.texts.text_templates import TextsError, without_prefix

INITIAL_STD = 0.02
CHUNK = 64


class PromptedTexts:
    """Labels' texts that wait for vectors to stand before them; called with the vectors, it gives the labels' targets.

    `prompts`: the texts of each label as `distill.texts.text_templates` renders them. `shortened`: those that would not
    fit after the vectors, as for `distill.texts.text_targets`. Raises TextsError for a text that does not begin as the
    templates do, and where the vectors leave no room for words.
    """

    def __init__(
        self, teacher: Teacher, prompts: Sequence[Sequence[str]], num_tokens: int, *, chunk: int = CHUNK
    ) -> None:
        own = [[without_prefix(prompt) for prompt in texts] for texts in prompts]
        used, self.shortened = _fitted(teacher, own, num_tokens)
        self._teacher = teacher
        ids = teacher.tokenizer.ids([text for texts in used for text in texts])
        # Texts of like length go together: a causal tower need not compute padding.
        self._order = torch.tensor(sorted(range(len(ids)), key=lambda at: len(ids[at])))
        ordered = [ids[at] for at in self._order.tolist()]
        self._chunks = [ordered[start : start + chunk] for start in range(0, len(ordered), chunk)]
        self._label = torch.tensor([at for at, texts in enumerate(used) for _ in texts])[self._order]
        self._num_labels = len(used)
        self.num_tokens = num_tokens

    def initial(self, seed: int) -> Tensor:
        """Vectors (M, W) to begin with: normal, of standard deviation 0.02, a function of `seed`."""
        random = torch.Generator().manual_seed(seed)
        return torch.randn(self.num_tokens, self._teacher.token_width, generator=random) * INITIAL_STD

    def __call__(self, context: Tensor) -> Tensor:
        """Targets (K, D), normalised means over each label's texts, of vectors `context` (M, W); with gradient to them.

        The teacher goes to where the vectors are.
        """
        self._teacher.move_to(context.device)
        encoded = [self._encode(context, chunk) for chunk in self._chunks]
        label = self._label.to(context.device)
        summed = torch.zeros(self._num_labels, encoded[0].shape[1], device=context.device)
        return F.normalize(summed.index_add(0, label, torch.cat(encoded)), dim=-1)  # (N, D) -> (K, D)

    def _encode(self, context: Tensor, chunk: list[list[int]]) -> Tensor:
        if not (torch.is_grad_enabled() and context.requires_grad):
            return self._teacher.encode_after(context, chunk)
        encoded: Tensor = checkpoint(
            self._teacher.encode_after, context, chunk, use_reentrant=False, preserve_rng_state=False
        )
        return encoded


def with_context(teacher: Teacher, targets: TextTargets, context: Tensor) -> TextTargets:
    """The targets of the same labels, trained on or not, with the learned `context` (M, W) before their words."""
    texts = PromptedTexts(teacher, targets.prompts, len(context))
    with torch.no_grad():
        features = texts(context.to(teacher.device)).cpu()
    return replace(targets, features=features, truncated=tuple(texts.shortened), context=context.detach().cpu())


def _fitted(
    teacher: Teacher, own: Sequence[Sequence[str]], num_tokens: int
) -> tuple[list[list[str]], list[ShortenedText]]:
    room = teacher.context_length - num_tokens
    special = teacher.count_tokens([""])[0]
    if room <= special:
        raise TextsError(
            f"context_tokens {num_tokens} leaves no room for words: {teacher.ref} reads {teacher.context_length} tokens"
        )
    return fit_context(teacher, own, room)
