"""The texts of a run for its teacher: those of its labels, the phrases of the bank, and look-alikes."""

from torch import Tensor

from distill.cli.arguments import RunArguments
from distill.cli.console import Console
from distill.hooks import PipelineHooks
from distill.teacher.teacher import Teacher
from distill.texts.outliers import outlier_names, outlier_targets
from distill.texts.text_targets import TextTargets, encode_text_targets
from distill.texts.text_templates import LabelAttributes, TextKind, bank_texts, render, uses_name_only
from limbeck.shared.text import counted


def encode_texts(
    arguments: RunArguments, teacher: Teacher, kind: TextKind, console: Console, hooks: PipelineHooks
) -> TextTargets:
    """The text targets (K, D) of the labels."""
    attributes = list(zip(arguments.names, map(LabelAttributes.of_lines, arguments.lines), strict=True))
    if name_only := [label for label, own in attributes if uses_name_only(kind, own)]:
        console.message(
            f"{counted(len(name_only), 'label has', 'labels have')} no attributes for {kind}; their "
            "names alone are used: "
            f"{', '.join(name_only[:5])}"
        )
    console.begin(f"texts ({kind})")
    targets = encode_text_targets(
        teacher,
        [render(kind, label, own, arguments.prompt) for label, own in attributes],
        cache=arguments.cache,
        hooks=hooks,
    )
    for text in targets.truncated[:5]:
        console.message(f"shortened, {counted(text.tokens, 'token')}: {text.prompt}")
    if len(targets.truncated) > 5:
        console.message(f"and {len(targets.truncated) - 5} more texts were shortened")
    return targets


def phrase_texts(arguments: RunArguments) -> list[tuple[str, ...]]:
    """The texts of each label for the bank of phrases."""
    attributes = map(LabelAttributes.of_lines, arguments.lines)
    return [bank_texts(name, own, arguments.prompt) for name, own in zip(arguments.names, attributes, strict=True)]


def look_alikes(
    arguments: RunArguments, teacher: Teacher, learned: Tensor | None, console: Console, hooks: PipelineHooks
) -> TextTargets | None:
    """The text features of the look-alikes that the attributes name; None without any.

    `learned` (V, W): the vectors before the texts of the labels.
    """
    names = outlier_names((line for lines in arguments.lines for line in lines), arguments.names)
    if not names:
        return None
    console.begin("look-alikes")
    return outlier_targets(
        teacher,
        names,
        arguments.prompt,
        learned=learned,
        second_stop=arguments.config.objective.second_stop,
        cache=arguments.cache,
        hooks=hooks,
    )
