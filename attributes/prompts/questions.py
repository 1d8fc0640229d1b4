"""Questions to an LLM. A question is one strategy applied to a label, a pair of labels or an image.

    question = Question(load_strategy("describe"), Label("crane", "bird"), "birds of North America")

`questions_for_label`, `questions_for_pair` and `questions_for_image` list the questions of a strategy.
"""

import base64
import hashlib
from dataclasses import dataclass, field

from attributes.prompts.strategy import Strategy
from attributes.types import Label

NO_LABEL = Label("")
"""The label of an image that is sent without a label."""

_MAGIC = {
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"GIF8": "image/gif",
}


@dataclass(frozen=True, slots=True)
class ImageFile:
    """The bytes of an image file: JPEG, PNG, GIF or WebP. Raises ValueError for any other format."""

    data: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not self.media_type:
            raise ValueError("the image is not a JPEG, PNG, GIF or WebP file")

    @property
    def media_type(self) -> str:
        """The media type by the first bytes of the file."""
        if self.data[:4] == b"RIFF" and self.data[8:12] == b"WEBP":
            return "image/webp"
        return next((kind for magic, kind in _MAGIC.items() if self.data.startswith(magic)), "")

    @property
    def digest(self) -> str:
        """sha256 of the file, hex."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def url(self) -> str:
        """The file as a data URL."""
        return f"data:{self.media_type};base64,{base64.b64encode(self.data).decode()}"


@dataclass(frozen=True, slots=True)
class Question:
    """One question to an LLM. Raises ValueError if the fields do not fit the strategy.

    `text` is one of `strategy.questions`, if the strategy has them. `sample` numbers responses to the same request
    from 0. `correction` states what was wrong with an earlier response. A pair is stored in a canonical order, so that
    (A, B) and (B, A) are the same question: the lines of the response belong to `label` and `other` as stored. With
    `NO_LABEL` as `label`, the model is not given the label of the image.
    """

    strategy: Strategy
    label: Label
    domain: str = ""
    text: str = ""
    sample: int = 0
    other: Label | None = None
    image: ImageFile | None = None
    correction: str = ""

    def __post_init__(self) -> None:
        given = {"pair": self.other is not None, "image": self.image is not None}
        if any(is_given != (self.strategy.about == about) for about, is_given in given.items()):
            subject = {"label": "one label", "pair": "a pair of labels", "image": "an image"}
            raise ValueError(f"strategy {self.strategy.ref} is about {subject[self.strategy.about]}")
        if bool(self.text) != bool(self.strategy.questions):
            fault = "needs one of its questions as text" if self.strategy.questions else "has no questions"
            raise ValueError(f"strategy {self.strategy.ref} {fault}")
        if self.other is not None:
            if _sort_key(self.other) == _sort_key(self.label):
                raise ValueError(f"label {str(self.label)!r} cannot be contrasted with itself")
            if _sort_key(self.other) < _sort_key(self.label):
                label, other = self.other, self.label
                object.__setattr__(self, "label", label)
                object.__setattr__(self, "other", other)


def questions_for_label(strategy: Strategy, label: Label, domain: str = "") -> tuple[Question, ...]:
    """The questions of a strategy about a label, ordered by question text, then by sample."""
    return tuple(
        Question(strategy, label, domain, text=text, sample=sample)
        for text in strategy.questions or ("",)
        for sample in range(strategy.samples)
    )


def questions_for_pair(strategy: Strategy, label: Label, other: Label, domain: str = "") -> tuple[Question, ...]:
    """The questions of a strategy about the differences between two labels, one for each sample."""
    return tuple(Question(strategy, label, domain, sample=sample, other=other) for sample in range(strategy.samples))


def questions_for_image(
    strategy: Strategy, image: ImageFile, label: Label = NO_LABEL, domain: str = ""
) -> tuple[Question, ...]:
    """The questions of a strategy about an image, one for each sample."""
    return tuple(Question(strategy, label, domain, sample=sample, image=image) for sample in range(strategy.samples))


def _sort_key(label: Label) -> tuple[str, str, str, str]:
    """The sort key that defines the canonical order of a pair."""
    sense = label.sense or ""
    return label.name.casefold(), sense.casefold(), label.name, sense
