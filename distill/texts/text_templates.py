"""The texts by which a teacher hears of a label: its name, and what an attribute set says of it.

`a photo of {label}` and `a photo of {label} . {sentence}` are the templates of arXiv:2307.03135 as published; `a photo
of {label}, which has {phrase}` is the template of descriptor sets (arXiv:2210.07183), and the concept word (`a photo of
crane, a type of bird`) that of arXiv:2306.07282. A label's target is the mean over its texts
(`distill.texts.text_targets`). Imports no torch.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator


class TextsError(ValueError):
    """Texts or captions that a run cannot use as it is asked to; the message says why and what would do."""


TextKind = Literal["names", "sentence", "phrases", "phrases_joined", "answers", "contrast", "all"]
TEXT_KINDS: tuple[TextKind, ...] = get_args(TextKind)
TEXT_KIND_TITLES: dict[str, str] = {
    "names": "names alone",
    "sentence": "names, each with a sentence on how it looks",
    "phrases": "names, each with phrases on how it looks, averaged",
    "phrases_joined": "names, each with all its phrases in one text",
    "answers": "names, each with the answers to questions on how it looks, averaged",
    "contrast": "names, each with what tells it from its neighbours, averaged",
    "all": "names, each with everything that is said of it, averaged",
}
PREFIX = "a photo of "
PHRASE_SEPARATOR = "; "  # a text that is too long is cut at one of these: between two phrases

Template = Annotated[str, Field(max_length=200)]


class PromptOptions(BaseModel):
    """How a label is put into words, whatever is said of it.

    `concept`: one word for all labels (`bird`), said after the name. `templates`: each holds `{}` once, where the name
    comes; a label has every text once for each of them. `with_name`: false takes the name out and puts `a bird` (or
    `an object`) in its place, to see what the attributes alone can do.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    concept: str = Field("", max_length=100)
    templates: tuple[Template, ...] = Field((f"{PREFIX}{{}}",), min_length=1, max_length=200)
    with_name: bool = True

    @field_validator("templates")
    @classmethod
    def _one_place(cls, templates: tuple[str, ...]) -> tuple[str, ...]:
        for template in templates:
            if template.count("{}") != 1 or "{" in template.replace("{}", "") or "}" in template.replace("{}", ""):
                raise ValueError(f"template {template!r} must hold {{}} once, where the label's name comes")
        return templates

    def openings(self, label: str) -> list[str]:
        """How the texts of a label begin, one for each template."""
        if not self.with_name:
            return [template.replace("{}", self.stand_in) for template in self.templates]
        told = _tidy(label) + (f", a type of {_tidy(self.concept)}" if self.concept else "")
        return [template.replace("{}", told) for template in self.templates]

    @property
    def stand_in(self) -> str:
        """What is said in place of a name: `a bird`."""
        noun = _tidy(self.concept) or "object"
        return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"


DEFAULT_PROMPT = PromptOptions()


@dataclass(frozen=True)
class LabelAttributes:
    """What is known of how one label looks; empty where nothing is."""

    sentence: str = ""
    phrases: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    contrasts: tuple[str, ...] = ()

    @classmethod
    def of_lines(cls, lines: Iterable[Mapping[str, Any]]) -> "LabelAttributes":
        """What an entry's lines say. Raises TypeError and KeyError for lines without kind and text."""
        said: dict[str, list[str]] = {"sentence": [], "phrase": [], "answer": [], "contrast": []}
        for line in lines:
            if not isinstance(line["text"], str):
                raise TypeError(f"{line['text']!r} is no text")
            said.setdefault(line["kind"], []).append(line["text"])
        return cls(
            next(iter(said["sentence"]), ""), tuple(said["phrase"]), tuple(said["answer"]), tuple(said["contrast"])
        )


def uses_name_only(kind: TextKind, said: LabelAttributes) -> bool:
    """Whether a label of which this is known has nothing to say under `kind`, so that only its name is rendered.

    Text without a letter or digit says nothing: published sets hold sentences that are a lone full stop.
    """
    return kind != "names" and not any(map(_says_something, _texts(kind, said)))


def render(
    kind: TextKind, label: str, said: LabelAttributes, prompt: PromptOptions = DEFAULT_PROMPT
) -> tuple[str, ...]:
    """The texts to encode for one label, all of them different.

    Falls back to the rendering of `names` where `uses_name_only` says so. Runs of white space become one space, and a
    phrase loses its closing full stop. Raises KeyError for a kind that there is not.
    """
    if kind not in TEXT_KIND_TITLES:
        raise KeyError(kind)
    openings = prompt.openings(label)
    if kind == "names" or uses_name_only(kind, said):
        return tuple(dict.fromkeys(openings))
    sentences, phrases = _sentences(kind, said), _phrases(kind, said)
    if not prompt.with_name:
        noun = prompt.stand_in.partition(" ")[2]
        sentences, phrases = ([_nameless(text, label, noun) for text in texts] for texts in (sentences, phrases))
    if kind == "phrases_joined":
        phrases = [PHRASE_SEPARATOR.join(phrases)]
    texts = [f"{opening} . {sentence}" for opening in openings for sentence in sentences]
    texts += [f"{opening}, which has {phrase}" for opening in openings for phrase in phrases]
    return tuple(dict.fromkeys(texts))


def without_prefix(text: str) -> str:
    """A rendered text with room before it for learned vectors: `a photo of a crane` -> `a crane.`, closed as published.

    Raises TextsError for a text of another beginning.
    """
    if not text.startswith(PREFIX):
        raise TextsError(f'"{text}" does not begin with "{PREFIX}": learned vectors stand in the place of that')
    words = text.removeprefix(PREFIX)
    return words if words.endswith(".") else f"{words}."


def _sentences(kind: TextKind, said: LabelAttributes) -> list[str]:
    given: dict[str, Sequence[str]] = {
        "sentence": (said.sentence,),
        "answers": said.answers,
        "all": (said.sentence, *said.answers),
    }
    return [_tidy(text) for text in given.get(kind, ()) if _says_something(text)]


def _phrases(kind: TextKind, said: LabelAttributes) -> list[str]:
    given: dict[str, Sequence[str]] = {
        "phrases": said.phrases,
        "phrases_joined": said.phrases,
        "contrast": said.contrasts,
        "all": (*said.phrases, *said.contrasts),
    }
    return [_tidy(text).rstrip(".") for text in given.get(kind, ()) if _says_something(text)]


def _texts(kind: TextKind, said: LabelAttributes) -> list[str]:
    return _sentences(kind, said) + _phrases(kind, said)


def _nameless(text: str, label: str, noun: str) -> str:
    """The text with the label's name, where it stands as words of its own, replaced by a noun."""
    name = r"[\s_-]+".join(map(re.escape, re.split(r"[\s_-]+", label.strip())))
    return re.sub(rf"(?<!\w){name}(?:e?s)?(?!\w)", noun, text, flags=re.IGNORECASE) if name else text


def _tidy(text: str) -> str:
    return " ".join(text.split())


def _says_something(text: str) -> bool:
    return any(character.isalnum() for character in text)
