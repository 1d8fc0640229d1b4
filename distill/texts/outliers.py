"""Look-alikes of the labels (outlier labels), which the strategy `outliers` names: their names and text features.

They are encoded as names, with the learned vectors of the labels before them. The open-set score `outliers` needs them
(`distill.evaluation.open_set.scores`). M look-alikes, D embedding width, W width of the vectors.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from torch import Tensor

from distill.hooks import PipelineHooks
from distill.teacher.teacher import Teacher
from distill.texts.student_texts import targets_with_context
from distill.texts.text_targets import TextTargets, encode_text_targets
from distill.texts.text_templates import LabelAttributes, PromptOptions, is_outlier, render
from limbeck.shared.label_matching import without_labels


def outlier_names(lines: Iterable[Mapping[str, object]], labels: Iterable[str]) -> list[str]:
    """The look-alikes in the lines of an attribute set, without those that are labels: see `without_labels`."""
    return without_labels((str(line["text"]) for line in lines if is_outlier(line)), labels)


def outlier_targets(
    teacher: Teacher,
    names: Sequence[str],
    prompt: PromptOptions,
    *,
    learned: Tensor | None,
    second_stop: bool,
    cache: Path,
    hooks: PipelineHooks | None = None,
) -> TextTargets:
    """The text features (M, D) of look-alikes. `learned` (V, W): the vectors before the texts of the labels.

    `second_stop`: as those texts have it.
    """
    prompts = [render("names", name, LabelAttributes(), prompt) for name in names]
    encoded = encode_text_targets(teacher, prompts, cache=cache, hooks=hooks)
    return targets_with_context(teacher, encoded, learned, second_stop=second_stop)
