"""A question to an LLM: one strategy applied to a label, a pair of labels or a picture.

    question = Ask(load_strategy("describe"), Label("crane", "bird"), "birds of North America")

`asks_about` lists the questions of a strategy about a label, `asks_between` those about a pair, `asks_showing` those
about a picture.
"""

import base64
import hashlib
from dataclasses import dataclass, field

from attributes.prompts.strategy import Strategy
from attributes.types import Label

NO_LABEL = Label("")  # of a picture that is shown without saying what is on it

_MAGIC = {
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"GIF8": "image/gif",
}


@dataclass(frozen=True, slots=True)
class Picture:
    """The bytes of a picture file: JPEG, PNG, GIF or WebP. Raises ValueError for anything else."""

    data: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not self.media_type:
            raise ValueError("the picture is no JPEG, PNG, GIF or WebP file")

    @property
    def media_type(self) -> str:
        """What its first bytes say that it is."""
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
class Ask:
    """One question. Raises ValueError where strategy and question do not go together.

    `question` is one of the strategy's, where it has several; `sample` counts answers to the same request from 0.
    `correction` says in words of our own what an earlier answer got wrong. Of a pair, `label` and `other` are put in
    one order whichever way they are given, so that (A, B) and (B, A) are one question: what comes of it is said of
    `label` and of `other` as they then stand. A `label` of `NO_LABEL` keeps what is on a picture from the model.
    """

    strategy: Strategy
    label: Label
    domain: str = ""
    question: str = ""
    sample: int = 0
    other: Label | None = None
    image: Picture | None = None
    correction: str = ""

    def __post_init__(self) -> None:
        given = {"pair": self.other is not None, "image": self.image is not None}
        if any(there != (self.strategy.about == about) for about, there in given.items()):
            takes = {"label": "a label alone", "pair": "a label and another", "image": "a picture"}
            raise ValueError(f"strategy {self.strategy.ref} asks about {takes[self.strategy.about]}")
        if bool(self.question) != bool(self.strategy.questions):
            has = "needs one of its questions" if self.strategy.questions else "has no questions"
            raise ValueError(f"strategy {self.strategy.ref} {has}")
        if self.other is not None:
            if _place(self.other) == _place(self.label):
                raise ValueError(f"label {str(self.label)!r} cannot be told apart from itself")
            if _place(self.other) < _place(self.label):
                label, other = self.other, self.label
                object.__setattr__(self, "label", label)
                object.__setattr__(self, "other", other)


def asks_about(strategy: Strategy, label: Label, domain: str = "") -> tuple[Ask, ...]:
    """The strategy's questions about a label, in the order of their slots: questions, and samples of each."""
    return tuple(
        Ask(strategy, label, domain, question=question, sample=sample)
        for question in strategy.questions or ("",)
        for sample in range(strategy.samples)
    )


def asks_between(strategy: Strategy, label: Label, other: Label, domain: str = "") -> tuple[Ask, ...]:
    """The strategy's questions about what tells two labels apart."""
    return tuple(Ask(strategy, label, domain, sample=sample, other=other) for sample in range(strategy.samples))


def asks_showing(strategy: Strategy, image: Picture, label: Label = NO_LABEL, domain: str = "") -> tuple[Ask, ...]:
    """The strategy's questions about a picture."""
    return tuple(Ask(strategy, label, domain, sample=sample, image=image) for sample in range(strategy.samples))


def _place(label: Label) -> tuple[str, str, str, str]:
    """Where a label stands in the one order of pairs."""
    sense = label.sense or ""
    return label.name.casefold(), sense.casefold(), label.name, sense
