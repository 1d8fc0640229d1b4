"""The ways in which a teacher is told of labels: what is to be proved, and the controls beside it."""

from collections.abc import Sequence
from dataclasses import dataclass

from distill.benefit.waffle import shuffle_phrases, waffle_phrases
from distill.texts.text_templates import PLAIN, LabelAttributes, PromptOptions, TextKind, falls_back, render

ATTRIBUTES: tuple[TextKind, ...] = ("sentence", "phrases", "phrases_joined", "answers", "contrast", "all")

Texts = list[tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class TextArm:
    """One way: its texts for each label, once for each seed where there is chance in it.

    `role`: `baseline` (names), `control` (texts that say nothing, or what is wrong), `attributes` (what is to be
    proved), or `nameless` (attributes without the name, to see what they can do alone).
    """

    name: str
    role: str
    drawn: tuple[Texts, ...]


def build_arms(
    labels: Sequence[str], said: Sequence[LabelAttributes], *, concept: str = "", seeds: Sequence[int] = (0, 1, 2)
) -> list[TextArm]:
    """Every way that the attributes allow: a kind of which no label has anything is left out.

    `concept`: one word for all labels, for the arms that have it. Raises ValueError where nothing is said at all.
    """
    with_concept = PromptOptions(concept=concept)
    nameless = PromptOptions(concept=concept, with_name=False)

    def texts(kind: TextKind, given: Sequence[LabelAttributes] = said, prompt: PromptOptions = PLAIN) -> Texts:
        return [render(kind, label, own, prompt) for label, own in zip(labels, given, strict=True)]

    known = [kind for kind in ATTRIBUTES if any(not falls_back(kind, own) for own in said)]
    if not known:
        raise ValueError("the set says nothing of any label: there is nothing to prove")
    if known in (["sentence", "all"], ["phrases", "phrases_joined", "all"], ["answers", "all"], ["contrast", "all"]):
        known.remove("all")
    made = [TextArm(name="names", role="baseline", drawn=(texts("names"),))]
    if concept:
        made.append(TextArm(name="names, concept", role="baseline", drawn=(texts("names", prompt=with_concept),)))
    counted = _counted(said)
    made.append(_control("waffle", [texts("phrases", waffle_phrases(counted, seed)) for seed in seeds]))
    if concept:
        drawn = [texts("phrases", waffle_phrases(counted, seed), with_concept) for seed in seeds]
        made.append(_control("waffle, concept", drawn))
    if "phrases" in known:
        made.append(
            _control("phrases of another label", [texts("phrases", shuffle_phrases(said, seed)) for seed in seeds])
        )
    made += [TextArm(name=kind, role="attributes", drawn=(texts(kind),)) for kind in known]
    if concept:
        made += [
            TextArm(name=f"{kind}, concept", role="attributes", drawn=(texts(kind, prompt=with_concept),))
            for kind in known
        ]
    made += [TextArm(name=f"{kind}, no name", role="nameless", drawn=(texts(kind, prompt=nameless),)) for kind in known]
    return made


def _control(name: str, drawn: Sequence[Texts]) -> TextArm:
    return TextArm(name=name, role="control", drawn=tuple(drawn))


def _counted(said: Sequence[LabelAttributes]) -> list[LabelAttributes]:
    """As many phrases as a label has texts of its own: a set of sentences alone is held against one text each."""
    return [
        LabelAttributes(phrases=own.phrases or own.answers or own.contrasts or (own.sentence,) * bool(own.sentence))
        for own in said
    ]
