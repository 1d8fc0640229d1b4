"""Text templates: the texts for a label, rendered from its name and its attributes. Imports no torch.

The templates of a name, a sentence and a phrase are in `limbeck.shared.templates`. The concept word (`a photo of crane,
a type of bird`) is from arXiv:2306.07282. The text target of a label is the mean over its texts
(`distill.texts.text_targets`).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from limbeck.shared.templates import PREFIX, TEXT_KINDS, one_line, phrase_words, with_phrase, with_sentence
from limbeck.shared.templates import TextKind as TextKind


class TextsError(ValueError):
    """Texts or captions do not fit the config of the run; the message gives the reason and the fix."""


TEXT_KIND_TITLES: dict[str, str] = {
    "names": "names alone",
    "sentence": "names, each with a sentence on how it looks",
    "phrases": "names, each with phrases on how it looks, averaged",
    "phrases_joined": "names, each with all its phrases in one text",
    "answers": "names, each with the answers to questions on how it looks, averaged",
    "contrast": "names, each with its differences from confusable labels, averaged",
    "all": "names, each with all of its attributes, averaged",
}
OUTLIER_STRATEGY = "outliers@"  # the strategy of `attributes/prompts/outliers.toml`, in any version
PHRASE_SEPARATOR = "; "  # `text_targets.shorten` cuts texts that are too long at this separator

Template = Annotated[str, Field(max_length=200)]


class PromptOptions(BaseModel):
    """Options for rendering the texts of labels.

    `concept`: a word for all labels (`bird`), added after the name. `templates`: each contains `{}` once, for the name;
    every text of a label is rendered with each template. `with_name`: false replaces the name by `a bird` (or `an
    object`), to measure the attributes alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    concept: str = Field("", max_length=100)
    templates: tuple[Template, ...] = Field((f"{PREFIX}{{}}",), min_length=1, max_length=200)
    with_name: bool = True

    @field_validator("templates")
    @classmethod
    def _has_one_placeholder(cls, templates: tuple[str, ...]) -> tuple[str, ...]:
        for template in templates:
            if template.count("{}") != 1 or "{" in template.replace("{}", "") or "}" in template.replace("{}", ""):
                raise ValueError(f"template {template!r} must contain {{}} once, where the label's name is inserted")
        return templates

    def prefixes(self, label: str) -> list[str]:
        """The beginnings of a label's texts, one per template."""
        if not self.with_name:
            return [template.replace("{}", self.name_substitute) for template in self.templates]
        name = one_line(label) + (f", a type of {one_line(self.concept)}" if self.concept else "")
        return [template.replace("{}", name) for template in self.templates]

    @property
    def name_substitute(self) -> str:
        """The text that replaces the name if `with_name` is false: `a bird`."""
        noun = one_line(self.concept) or "object"
        return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"


DEFAULT_PROMPT = PromptOptions()


@dataclass(frozen=True)
class LabelAttributes:
    """Visual attributes of one label; empty fields are unknown."""

    sentence: str = ""
    phrases: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    contrasts: tuple[str, ...] = ()

    @classmethod
    def of_lines(cls, lines: Iterable[Mapping[str, object]]) -> "LabelAttributes":
        """The attributes in the lines of an entry, without outlier labels.

        Raises TypeError or KeyError for lines without kind and text.
        """
        texts: dict[object, list[str]] = {"sentence": [], "phrase": [], "answer": [], "contrast": []}
        for line in lines:
            if not isinstance(line["text"], str):
                raise TypeError(f"the text of a line must be a string, not {line['text']!r}")
            if not is_outlier(line):
                texts.setdefault(line["kind"], []).append(line["text"])
        return cls(
            next(iter(texts["sentence"]), ""), tuple(texts["phrase"]), tuple(texts["answer"]), tuple(texts["contrast"])
        )


def is_outlier(line: Mapping[str, object]) -> bool:
    """Whether a line of an entry is the name of another class, by the strategy `outliers`, and no attribute."""
    return str(line.get("strategy", "")).startswith(OUTLIER_STRATEGY)


def uses_name_only(kind: TextKind, attributes: LabelAttributes) -> bool:
    """Whether a label has no attributes for `kind`, so that only its name is rendered.

    A text without a letter or digit counts as empty: published sets contain sentences that are only a full stop.
    """
    return kind != "names" and not any(map(_is_informative, _texts(kind, attributes)))


def check_some_text(kind: TextKind, attributes: Iterable[LabelAttributes]) -> None:
    """Raises TextsError if no label has attributes for `kind`, so that the texts of all would be their names."""
    if kind == "names":
        return
    of_labels = list(attributes)
    others = [
        f'"{other}"'
        for other in TEXT_KINDS
        if other != "names" and any(not uses_name_only(other, own) for own in of_labels)
    ]
    if f'"{kind}"' not in others:
        hint = f"choose {' or '.join(others)}" if others else 'choose "names", or give other attributes'
        raise TextsError(f'no label has attributes for the text "{kind}": {hint}')


def render(
    kind: TextKind, label: str, attributes: LabelAttributes, prompt: PromptOptions = DEFAULT_PROMPT
) -> tuple[str, ...]:
    """The distinct texts to encode for one label.

    Renders as `names` if `uses_name_only` is true. Collapses white space, and removes the final full stop of a phrase.
    Raises KeyError for an unknown kind.
    """
    if kind not in TEXT_KIND_TITLES:
        raise KeyError(kind)
    prefixes = prompt.prefixes(label)
    if kind == "names" or uses_name_only(kind, attributes):
        return tuple(dict.fromkeys(prefixes))
    sentences, phrases = _sentences(kind, attributes), _phrases(kind, attributes)
    if not prompt.with_name:
        noun = prompt.name_substitute.partition(" ")[2]
        sentences, phrases = ([_without_name(text, label, noun) for text in texts] for texts in (sentences, phrases))
    if kind == "phrases_joined":
        phrases = [PHRASE_SEPARATOR.join(phrases)]
    texts = [with_sentence(prefix, sentence) for prefix in prefixes for sentence in sentences]
    texts += [with_phrase(prefix, phrase) for prefix in prefixes for phrase in phrases]
    return tuple(dict.fromkeys(texts))


def bank_texts(label: str, attributes: LabelAttributes, prompt: PromptOptions = DEFAULT_PROMPT) -> tuple[str, ...]:
    """The phrases and contrasts of a label without its name, for a bank of phrases: `a photo of a bird, which has …`.

    Rendered with the first template. Empty without phrases and contrasts.
    """
    nameless = prompt.model_copy(update={"with_name": False, "templates": prompt.templates[:1]})
    kinds: tuple[TextKind, ...] = ("phrases", "contrast")
    texts = [render(kind, label, attributes, nameless) for kind in kinds if not uses_name_only(kind, attributes)]
    return tuple(dict.fromkeys(text for of_kind in texts for text in of_kind))


def without_prefix(text: str, *, second_stop: bool = False) -> str:
    """A rendered text without `a photo of `, which learned vectors replace: `a photo of a crane` -> `a crane.`.

    Ends with a full stop. With `second_stop`, one is added also to a text that ends in one, as published. Raises
    TextsError for a text with another beginning.
    """
    if not text.startswith(PREFIX):
        raise TextsError(f'"{text}" does not begin with "{PREFIX}": learned vectors replace exactly that')
    words = text.removeprefix(PREFIX)
    return words if words.endswith(".") and not second_stop else f"{words}."


def _sentences(kind: TextKind, attributes: LabelAttributes) -> list[str]:
    by_kind: dict[str, Sequence[str]] = {
        "sentence": (attributes.sentence,),
        "answers": attributes.answers,
        "all": (attributes.sentence, *attributes.answers),
    }
    return [one_line(text) for text in by_kind.get(kind, ()) if _is_informative(text)]


def _phrases(kind: TextKind, attributes: LabelAttributes) -> list[str]:
    by_kind: dict[str, Sequence[str]] = {
        "phrases": attributes.phrases,
        "phrases_joined": attributes.phrases,
        "contrast": attributes.contrasts,
        "all": (*attributes.phrases, *attributes.contrasts),
    }
    return [phrase_words(text) for text in by_kind.get(kind, ()) if _is_informative(text)]


def _texts(kind: TextKind, attributes: LabelAttributes) -> list[str]:
    return _sentences(kind, attributes) + _phrases(kind, attributes)


def _without_name(text: str, label: str, noun: str) -> str:
    """The text with the label's name replaced by `noun`, where the name occurs as whole words."""
    name = r"[\s_-]+".join(map(re.escape, re.split(r"[\s_-]+", label.strip())))
    return re.sub(rf"(?<!\w){name}(?:e?s)?(?!\w)", noun, text, flags=re.IGNORECASE) if name else text


def _is_informative(text: str) -> bool:
    return any(character.isalnum() for character in text)
