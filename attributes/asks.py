"""A question to an LLM: what is asked about which label, the request it becomes, and its cache key.

    ask = Ask(load_strategy("describe"), Label("crane", "bird"), "birds of North America")
    request_for(ask).messages      key_of(ask, settings)

One `Ask` is one call with its retries, and one key. `asks_about` lists the questions that a strategy has about a
label, `asks_between` those about a pair, `asks_showing` those about a picture.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from string import Template
from typing import Any

from attributes.settings import LLMSettings
from attributes.strategy import Strategy
from attributes.text import MAX_DOMAIN_CHARS, MAX_LABEL_CHARS, MAX_SENSE_CHARS, clean
from attributes.types import Label

MAX_CORRECTION_CHARS = 2_000
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


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked, before it takes the form that a server understands. A picture stands in `messages` by its digest
    until it is sent."""

    messages: tuple[Mapping[str, Any], ...]
    schema: Mapping[str, Any] = field(repr=False)
    schema_name: str
    version: int
    image: Picture | None = field(default=None, repr=False)

    def with_schema_in_prompt(self) -> "Request":
        """The same request for a server that does not hold answers to a schema."""
        schema = json.dumps(self.schema, ensure_ascii=False)
        return self.adding(f"Answer with one JSON object that fits this JSON Schema, and nothing else:\n{schema}")

    def adding(self, text: str) -> "Request":
        """The same request with a paragraph of ours at the end of its last message."""
        content = self.messages[-1]["content"]
        if isinstance(content, str):
            content = f"{content}\n\n{text}"
        else:
            first, *rest = content
            content = [{**first, "text": f"{first['text']}\n\n{text}"}, *rest]
        return replace(self, messages=(*self.messages[:-1], {**self.messages[-1], "content": content}))

    def sendable(self) -> list[dict[str, Any]]:
        """The messages as they go to the server, with the picture in them."""
        if self.image is None:
            return [dict(message) for message in self.messages]
        *before, last = self.messages
        shown = [_image_part(self.image.url) if part["type"] == "image_url" else part for part in last["content"]]
        return [*map(dict, before), {**last, "content": shown}]


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


def request_for(ask: Ask) -> Request:
    """What to send.

    Labels, senses and domain are data: cleaned, capped, and quoted as JSON strings on one line of their own, which
    nothing in them can end.
    """
    strategy = ask.strategy
    text = Template(strategy.user).safe_substitute(subject=_subject(ask), question=ask.question)
    content: Any = text
    if ask.image is not None:
        content = [{"type": "text", "text": text}, _image_part(f"sha256:{ask.image.digest}")]
    request = Request(
        messages=({"role": "system", "content": strategy.system}, {"role": "user", "content": content}),
        schema=strategy.schema,
        schema_name=strategy.name,
        version=strategy.version,
        image=ask.image,
    )
    return request.adding(clean(ask.correction, MAX_CORRECTION_CHARS)) if ask.correction else request


def temperature_of(ask: Ask, settings: LLMSettings) -> float:
    """The temperature to ask at: the strategy's own, else the settings'."""
    own = ask.strategy.temperature
    return settings.temperature if own is None else own


def max_tokens_of(ask: Ask, settings: LLMSettings) -> int:
    """The limit of the answer: the strategy's own, else the settings'."""
    return ask.strategy.max_tokens or settings.max_tokens


def key_of(ask: Ask, settings: LLMSettings) -> str:
    """sha256 (hex) over everything that shapes the answer; equal keys may share one call and its answer.

    Labels, senses, domain and picture count as the messages render them (a picture by its digest).
    """
    request = request_for(ask)
    shaping = {
        "messages": request.messages,
        "schema": ask.strategy.schema_digest,
        "schema_name": request.schema_name,
        "version": request.version,
        "model": settings.model,
        "base_url": settings.base_url.rstrip("/"),
        "temperature": float(temperature_of(ask, settings)),
        "max_tokens": max_tokens_of(ask, settings),
        "sample": ask.sample,
    }
    return hashlib.sha256(json.dumps(shaping, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _subject(ask: Ask) -> str:
    other = ask.other or NO_LABEL
    said = {
        "label": clean(ask.label.name, MAX_LABEL_CHARS),
        "sense": clean(ask.label.sense or "", MAX_SENSE_CHARS),
        "other": clean(other.name, MAX_LABEL_CHARS),
        "other_sense": clean(other.sense or "", MAX_SENSE_CHARS),
        "domain": clean(ask.domain, MAX_DOMAIN_CHARS),
    }
    return json.dumps({key: value for key, value in said.items() if value}, ensure_ascii=False)


def _image_part(url: str) -> dict[str, Any]:
    # Low detail is plenty for one short caption, and OpenAI bills it as one tile.
    return {"type": "image_url", "image_url": {"url": url, "detail": "low"}}


def _place(label: Label) -> tuple[str, str, str, str]:
    """Where a label stands in the one order of pairs."""
    sense = label.sense or ""
    return label.name.casefold(), sense.casefold(), label.name, sense
