"""The texts by which a teacher hears of a label: its name, its name and a sentence, or its name and each phrase.

The first two templates are those of arXiv:2307.03135 as published; the third is the phrase template of
DCLIP-style descriptor sets (arXiv:2210.07183), averaged by `distill.text_targets`. Imports no torch.
"""

from collections.abc import Sequence
from typing import Literal

TextKind = Literal["names", "sentence", "phrases"]

OPENING = "a photo of "
TEMPLATES: dict[TextKind, str] = {
    "names": OPENING + "{label}",
    "sentence": OPENING + "{label} . {sentence}",
    "phrases": OPENING + "{label}, which has {phrase}",
}


def falls_back(kind: TextKind, sentence: str | None, phrases: Sequence[str]) -> bool:
    """Whether a label with these attributes has nothing to say under `kind`, so that only its name is rendered.

    Text without a letter or digit says nothing: published sets hold sentences that are a lone full stop.
    """
    if kind == "sentence":
        return not _says_something(sentence or "")
    return kind == "phrases" and not any(map(_says_something, phrases))


def render(kind: TextKind, label: str, sentence: str | None, phrases: Sequence[str]) -> tuple[str, ...]:
    """The texts to encode for one label: one for `names` and `sentence`, one for each phrase for `phrases`.

    Falls back to the rendering of `names` where `falls_back` says so. Runs of white space become one space, and a
    phrase loses its closing full stop. Raises KeyError for a kind that has no template.
    """
    template = TEMPLATES[kind]
    name = _tidy(label)
    if kind == "names" or falls_back(kind, sentence, phrases):
        return (TEMPLATES["names"].format(label=name),)
    if kind == "sentence":
        return (template.format(label=name, sentence=_tidy(sentence or "")),)
    said = (_tidy(phrase).rstrip(".") for phrase in phrases if _says_something(phrase))
    return tuple(template.format(label=name, phrase=phrase) for phrase in said)


def without_opening(prompt: str) -> str:
    """A rendered text with room before it for learned vectors: `a photo of a crane` -> `a crane.`, closed as published.

    Raises ValueError for a text of another beginning.
    """
    if not prompt.startswith(OPENING):
        raise ValueError(f'"{prompt}" does not begin with "{OPENING}": learned vectors stand in the place of that')
    words = prompt.removeprefix(OPENING)
    return words if words.endswith(".") else f"{words}."


def _tidy(text: str) -> str:
    return " ".join(text.split())


def _says_something(text: str) -> bool:
    return any(character.isalnum() for character in text)
