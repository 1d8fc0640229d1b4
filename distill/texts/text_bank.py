"""Texts beside the mean of each label's texts: a bank of attribute phrases, and every text of every label.

Both are encoded once, and cached as text targets are. P phrases, N texts, K trained labels, D embedding width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from distill.config.loss_registry import required_inputs
from distill.config.train_config import TrainConfig
from distill.data.row_cache import key_of
from distill.hooks import PipelineHooks
from distill.teacher.teacher import Teacher
from distill.texts.text_targets import TextTargets, encode_text_targets
from distill.texts.text_templates import TextsError

BankTexts = Sequence[Sequence[str]]
"""The phrases of each label of the vocabulary (`distill.texts.text_templates.bank_texts`); empty for labels without."""


class LabelledTexts(NamedTuple):
    """`features` (N, D) of each text of each trained label, and its `labels` (N,), rows of the trained labels."""

    features: Tensor
    labels: Tensor


@dataclass(frozen=True, eq=False, kw_only=True)
class TextBanks:
    """`phrases` (P, D) and `label_texts`, each if a loss term needs it. `digests`: of the texts, by name."""

    phrases: Tensor | None
    label_texts: LabelledTexts | None
    digests: dict[str, str]


def needs_phrases(config: TrainConfig) -> bool:
    """Whether a loss term with a weight needs the bank of phrases."""
    return "phrases" in required_inputs(config.objective.losses.above_zero())


def encode_banks(
    config: TrainConfig,
    teacher: Teacher,
    prompts: BankTexts,
    phrases: BankTexts | None,
    *,
    cache: Path,
    hooks: PipelineHooks,
) -> None:
    """Fill the cache with the texts that `text_banks` takes, of all labels: who encodes does not know the seen ones."""
    needed = [*(phrases or ()), *(prompts if _needs_label_texts(config) else ())]
    if distinct := list(dict.fromkeys(text for texts in needed for text in texts)):
        encode_text_targets(teacher, [[text] for text in distinct], cache=cache, hooks=hooks)


def text_banks(
    config: TrainConfig,
    teacher: Teacher,
    targets: TextTargets,
    phrases: BankTexts | None,
    trained: Sequence[int],
    *,
    cache: Path,
    hooks: PipelineHooks | None = None,
) -> TextBanks:
    """The banks that the config needs. `trained`: positions of the trained labels in `targets` and `phrases`.

    With `phrases` of `seen` labels, those of the other labels are not looked at. Raises TextsError for a bank without
    phrases, and Stopped.
    """
    bank: Tensor | None = None
    digests: dict[str, str] = {}
    if needs_phrases(config):
        of_labels = phrases or [() for _ in targets.prompts]
        used = of_labels if config.objective.phrases == "all" else [of_labels[at] for at in trained]
        distinct = list(dict.fromkeys(text for texts in used for text in texts))
        if not distinct:
            raise TextsError(
                f"losses.phrase_kl has a weight, but none of the {len(used)} labels has a phrase or a contrast: give "
                "an attribute set that has some, or set losses.phrase_kl to 0"
            )
        bank = encode_text_targets(teacher, [[text] for text in distinct], cache=cache, hooks=hooks).features
        digests["phrases"] = key_of(*distinct).hex()
    label_texts: LabelledTexts | None = None
    if _needs_label_texts(config):
        pairs = [(row, text) for row, at in enumerate(trained) for text in targets.prompts[at]]
        features = encode_text_targets(teacher, [[text] for _, text in pairs], cache=cache, hooks=hooks).features
        label_texts = LabelledTexts(features, torch.tensor([row for row, _ in pairs]))
    return TextBanks(phrases=bank, label_texts=label_texts, digests=digests)


def _needs_label_texts(config: TrainConfig) -> bool:
    return "label_texts" in required_inputs(config.objective.losses.above_zero())
