"""The texts that a teacher encodes for a label: the kinds of text, and the templates of a name, sentence and phrase.

`a photo of {label}` and `a photo of {label} . {sentence}` are the published templates of arXiv:2307.03135; `a photo of
{label}, which has {phrase}` is the template of descriptor sets (arXiv:2210.07183).
"""

from typing import Literal, get_args

TextKind = Literal["names", "sentence", "phrases", "phrases_joined", "answers", "contrast", "all"]
TEXT_KINDS: tuple[TextKind, ...] = get_args(TextKind)
PREFIX = "a photo of "
PHRASE_KINDS = ("phrase", "contrast")
"""The kinds of lines that continue "which has"; the others are sentences."""


def one_line(text: str) -> str:
    """The text with each run of white space collapsed to one space."""
    return " ".join(text.split())


def phrase_words(text: str) -> str:
    """A phrase on one line, without its full stop."""
    return one_line(text).rstrip(".")


def with_sentence(name_text: str, sentence: str) -> str:
    """`a photo of a crane` and a sentence about it."""
    return f"{name_text} . {sentence}"


def with_phrase(name_text: str, phrase: str) -> str:
    """`a photo of a crane` and a phrase that says what it has."""
    return f"{name_text}, which has {phrase}"


def render_line(label: str, kind: str, text: str) -> str:
    """A line of a label rendered for the teacher, with the default prefix. `kind`: of the line, as in its JSON."""
    name_text = PREFIX + one_line(label)
    if kind in PHRASE_KINDS:
        return with_phrase(name_text, phrase_words(text))
    return with_sentence(name_text, one_line(text))
