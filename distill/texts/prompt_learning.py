"""Prompt learning (CoOp, arXiv:2109.01134, as in arXiv:2307.03135): learned vectors in place of `a photo of`.

The same M vectors precede every label's words, `label[ . sentence].`, in place of token embeddings. The published code
adds the last full stop whether or not the sentence ends in one; `second_stop` does the same. The text tower is frozen;
texts pass through it in chunks with gradient checkpointing, so that memory grows with the chunk and not with the number
of labels. The vectors also apply to labels that were not trained on. K labels, N texts, M context vectors, W token
embedding width, D embedding width.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from distill.teacher.teacher import Teacher
from distill.texts.shortening import ShortenedText, fit_context
from distill.texts.text_targets import TextTargets
from distill.texts.text_templates import TextsError, without_prefix

INITIAL_STD = 0.02
CHUNK = 64


class PromptedTexts:
    """Text targets of K labels as a function of the context vectors.

    `prompts`: the texts of each label, rendered by `distill.texts.text_templates`. `shortened`: texts that are too long
    after the vectors, as in `distill.texts.text_targets`. `second_stop`: a text that ends in a full stop gets another
    one, as published. Raises TextsError for a text without the prefix of the
    templates, and if the vectors leave no tokens for words.
    """

    def __init__(
        self,
        teacher: Teacher,
        prompts: Sequence[Sequence[str]],
        num_tokens: int,
        *,
        second_stop: bool = False,
        chunk: int = CHUNK,
    ) -> None:
        suffixes = [[without_prefix(prompt, second_stop=second_stop) for prompt in texts] for texts in prompts]
        used, self.shortened = _fit_after_context(teacher, suffixes, num_tokens)
        self._teacher = teacher
        ids = teacher.tokenizer.ids([text for texts in used for text in texts])
        # Texts of similar length go together, because a causal tower needs no padding.
        self._order = torch.tensor(sorted(range(len(ids)), key=lambda at: len(ids[at])))
        ordered = [ids[at] for at in self._order.tolist()]
        self._chunks = [ordered[start : start + chunk] for start in range(0, len(ordered), chunk)]
        self._label = torch.tensor([at for at, texts in enumerate(used) for _ in texts])[self._order]
        self._num_labels = len(used)
        self.num_tokens = num_tokens

    def initial(self, seed: int) -> Tensor:
        """Initial vectors (M, W): normal with standard deviation 0.02, determined by `seed`."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(self.num_tokens, self._teacher.token_width, generator=generator) * INITIAL_STD

    def __call__(self, context: Tensor) -> Tensor:
        """Targets (K, D), normalised means over each label's texts, differentiable in `context` (M, W).

        Moves the teacher to the device of `context`.
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


def with_context(teacher: Teacher, targets: TextTargets, context: Tensor, *, second_stop: bool = False) -> TextTargets:
    """The targets of the same labels, seen or unseen, with the learned `context` (M, W) before their words."""
    texts = PromptedTexts(teacher, targets.prompts, len(context), second_stop=second_stop)
    with torch.no_grad():
        features = texts(context.to(teacher.device)).cpu()
    return replace(
        targets,
        features=features,
        truncated=tuple(texts.shortened),
        context=context.detach().cpu(),
        second_stop=second_stop,
    )


def _fit_after_context(
    teacher: Teacher, suffixes: Sequence[Sequence[str]], num_tokens: int
) -> tuple[list[list[str]], list[ShortenedText]]:
    max_tokens = teacher.context_length - num_tokens
    num_special = teacher.count_tokens([""])[0]
    if max_tokens <= num_special:
        raise TextsError(
            f"context_tokens {num_tokens} leaves no tokens for words, because {teacher.ref} reads "
            f"{teacher.context_length} tokens: lower it"
        )
    return fit_context(teacher, suffixes, max_tokens)
