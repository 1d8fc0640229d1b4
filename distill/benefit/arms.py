"""The text arms: for each arm, the texts that the teacher encodes for every label. Includes the control arms."""

from collections.abc import Sequence
from dataclasses import dataclass

from distill.benefit.waffle import shuffle_phrases, waffle_phrases
from distill.texts.text_templates import (
    DEFAULT_PROMPT,
    LabelAttributes,
    PromptOptions,
    TextKind,
    render,
    uses_name_only,
)

ATTRIBUTES: tuple[TextKind, ...] = ("sentence", "phrases", "phrases_joined", "answers", "contrast", "all")

Texts = list[tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class TextArm:
    """One arm. `samples`: the texts of each label, once per seed if the arm is random, else once.

    `role`: `baseline` (names), `control` (texts without information, or with wrong information), `attributes` (the
    texts under test), or `nameless` (attributes without the label's name, to measure the attributes alone).
    """

    name: str
    role: str
    samples: tuple[Texts, ...]


def build_arms(
    labels: Sequence[str], attributes: Sequence[LabelAttributes], *, concept: str = "", seeds: Sequence[int] = (0, 1, 2)
) -> list[TextArm]:
    """All arms that the attributes allow. A text kind for which no label has attributes is left out.

    `concept`: one noun for all labels; adds the arms that mention it. `seeds`: one sample of each control per seed.
    Raises ValueError if no label has any attribute.
    """
    with_concept = PromptOptions(concept=concept)
    nameless = PromptOptions(concept=concept, with_name=False)

    def texts(
        kind: TextKind, source: Sequence[LabelAttributes] = attributes, prompt: PromptOptions = DEFAULT_PROMPT
    ) -> Texts:
        return [render(kind, label, own, prompt) for label, own in zip(labels, source, strict=True)]

    kinds = _usable_kinds(attributes)
    arms = [TextArm(name="names", role="baseline", samples=(texts("names"),))]
    if concept:
        arms.append(TextArm(name="names, concept", role="baseline", samples=(texts("names", prompt=with_concept),)))
    counts = _phrases_to_count(attributes)
    arms.append(_control("waffle", [texts("phrases", waffle_phrases(counts, seed)) for seed in seeds]))
    if concept:
        samples = [texts("phrases", waffle_phrases(counts, seed), with_concept) for seed in seeds]
        arms.append(_control("waffle, concept", samples))
    if "phrases" in kinds:
        samples = [texts("phrases", shuffle_phrases(attributes, seed)) for seed in seeds]
        arms.append(_control("phrases of another label", samples))
    arms += [TextArm(name=kind, role="attributes", samples=(texts(kind),)) for kind in kinds]
    if concept:
        arms += [
            TextArm(name=f"{kind}, concept", role="attributes", samples=(texts(kind, prompt=with_concept),))
            for kind in kinds
        ]
    arms += [
        TextArm(name=f"{kind}, no name", role="nameless", samples=(texts(kind, prompt=nameless),)) for kind in kinds
    ]
    return arms


def _usable_kinds(attributes: Sequence[LabelAttributes]) -> list[TextKind]:
    """The text kinds for which some label has attributes; without `all` if it would repeat a single source."""
    kinds = [kind for kind in ATTRIBUTES if any(not uses_name_only(kind, own) for own in attributes)]
    if not kinds:
        raise ValueError("the set has no attributes for any label: there is nothing to measure")
    if kinds in (["sentence", "all"], ["phrases", "phrases_joined", "all"], ["answers", "all"], ["contrast", "all"]):
        kinds.remove("all")
    return kinds


def _control(name: str, samples: Sequence[Texts]) -> TextArm:
    return TextArm(name=name, role="control", samples=tuple(samples))


def _phrases_to_count(attributes: Sequence[LabelAttributes]) -> list[LabelAttributes]:
    """Attributes with one phrase for each Waffle text; a set with sentences only gets one text per label."""
    return [
        LabelAttributes(phrases=own.phrases or own.answers or own.contrasts or (own.sentence,) * bool(own.sentence))
        for own in attributes
    ]
