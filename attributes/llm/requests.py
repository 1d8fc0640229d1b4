"""The chat request of a question, and its cache key.

    question = Question(load_strategy("describe"), Label("crane", "bird"), "birds of North America")
    build_request(question).messages      cache_key_of(question, settings)

One `Question` (`attributes.prompts.questions`) is one LLM call with its retries, and has one cache key.
"""

import hashlib
import json
from dataclasses import dataclass, field, replace
from string import Template
from typing import Literal, TypedDict

from attributes.llm.settings import LLMSettings
from attributes.prompts.questions import NO_LABEL, ImageFile, Question
from attributes.prompts.strategy import ObjectSchema
from attributes.types import Label
from limbeck.shared.label_matching import is_identifier
from limbeck.shared.labels import MAX_DOMAIN_CHARS, MAX_LABEL_CHARS, MAX_SENSE_CHARS
from limbeck.shared.text import clean

MAX_CORRECTION_CHARS = 2_000
TOKEN_LIMIT_FACTOR = 3  # multiplies the token limit after a response was cut off


class TextPart(TypedDict):
    """A text in the content of a message."""

    type: Literal["text"]
    text: str


class ImageURL(TypedDict):
    """A data URL, or the digest of an image, and the detail to read it in."""

    url: str
    detail: Literal["low"]


class ImagePart(TypedDict):
    """An image in the content of a message."""

    type: Literal["image_url"]
    image_url: ImageURL


class Message(TypedDict):
    """A chat message. A message with an image has a text part and an image part."""

    role: Literal["system", "user"]
    content: str | list[TextPart | ImagePart]


@dataclass(frozen=True, kw_only=True)
class ChatRequest:
    """A chat request before a response format is chosen. `messages` name an image by its digest; `messages_to_send`
    puts the image in."""

    messages: tuple[Message, ...]
    schema: ObjectSchema = field(repr=False)
    schema_name: str
    version: int
    image: ImageFile | None = field(default=None, repr=False)

    def with_schema_in_prompt(self) -> "ChatRequest":
        """The same request for a server that does not enforce a schema."""
        schema = json.dumps(self.schema, ensure_ascii=False)
        return self.with_paragraph(
            f"Answer with one JSON object that fits this JSON Schema, and nothing else:\n{schema}"
        )

    def with_paragraph(self, text: str) -> "ChatRequest":
        """The same request with `text` as a paragraph at the end of its last message."""
        *before, last = self.messages
        content = last["content"]
        if isinstance(content, str):
            content = f"{content}\n\n{text}"
        else:
            first, *rest = content
            assert first["type"] == "text"
            content = [{"type": "text", "text": f"{first['text']}\n\n{text}"}, *rest]
        return replace(self, messages=(*before, {"role": last["role"], "content": content}))

    def messages_to_send(self) -> list[Message]:
        """The messages for the server, with the image as a data URL."""
        if self.image is None:
            return list(self.messages)
        *before, last = self.messages
        parts = last["content"]
        assert not isinstance(parts, str)
        content = [_image_part(self.image.url) if part["type"] == "image_url" else part for part in parts]
        return [*before, {"role": last["role"], "content": content}]


def build_request(question: Question) -> ChatRequest:
    """The chat request of a question.

    Labels, senses and domain are data: cleaned, capped, and quoted as JSON strings on a separate line. No text can
    end that line.
    """
    strategy = question.strategy
    text = Template(strategy.user).safe_substitute(subject=_subject(question), question=question.text)
    content: str | list[TextPart | ImagePart] = text
    if question.image is not None:
        content = [{"type": "text", "text": text}, _image_part(f"sha256:{question.image.digest}")]
    request = ChatRequest(
        messages=({"role": "system", "content": strategy.system}, {"role": "user", "content": content}),
        schema=strategy.schema,
        schema_name=strategy.name,
        version=strategy.version,
        image=question.image,
    )
    if not question.correction:
        return request
    return request.with_paragraph(clean(question.correction, MAX_CORRECTION_CHARS))


def temperature_of(question: Question, settings: LLMSettings) -> float:
    """The temperature of a question: the strategy's, else the settings'."""
    temperature = question.strategy.temperature
    return settings.temperature if temperature is None else temperature


def max_tokens_of(question: Question, settings: LLMSettings) -> int:
    """The token limit of the response: the strategy's, else the settings'."""
    return question.strategy.max_tokens or settings.max_tokens


def max_limit_of(question: Question, settings: LLMSettings) -> int:
    """The largest token limit that an attempt at the question can have, after responses that were cut off."""
    base = max_tokens_of(question, settings)
    return max(TOKEN_LIMIT_FACTOR * base, base + settings.max_reasoning_tokens)


def cache_key_of(question: Question, settings: LLMSettings) -> str:
    """sha256 (hex) of everything that shapes the response; questions with equal keys may share one response.

    Labels, senses, domain and image count as they appear in the messages (an image by its digest).
    """
    request = build_request(question)
    fields = {
        "messages": request.messages,
        "schema": question.strategy.schema_digest,
        "schema_name": request.schema_name,
        "version": request.version,
        "model": settings.model,
        "base_url": settings.base_url.rstrip("/"),
        "temperature": float(temperature_of(question, settings)),
        "max_tokens": max_tokens_of(question, settings),
        "sample": question.sample,
    }
    if extra := settings.extra_parameters():  # absent otherwise, so that older keys stay valid
        fields["extra"] = extra
    return hashlib.sha256(json.dumps(fields, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _subject(question: Question) -> str:
    """The line of JSON with labels, senses and domain; empty ones are left out."""
    other = question.other or NO_LABEL
    subject = {
        "label": clean(question.label.name, MAX_LABEL_CHARS),
        "sense": clean(_sense(question.label), MAX_SENSE_CHARS),
        "other": clean(other.name, MAX_LABEL_CHARS),
        "other_sense": clean(_sense(other), MAX_SENSE_CHARS),
        "domain": clean(question.domain, MAX_DOMAIN_CHARS),
    }
    return json.dumps({key: value for key, value in subject.items() if value}, ensure_ascii=False)


def _sense(label: Label) -> str:
    """The sense, if it says something: an LLM must not take an identifier of a folder (n02012849) for a word."""
    return "" if label.sense is None or is_identifier(label.sense) else label.sense


def _image_part(url: str) -> ImagePart:
    # Low detail is enough for a one-line caption, and OpenAI bills it as one tile.
    return {"type": "image_url", "image_url": {"url": url, "detail": "low"}}
