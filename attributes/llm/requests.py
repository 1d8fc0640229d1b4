"""A question to an LLM: what is asked about which label, the request it becomes, and its cache key.

    ask = Ask(load_strategy("describe"), Label("crane", "bird"), "birds of North America")
    request_for(ask).messages      key_of(ask, settings)

One `Question` is one call with its retries, and one key. `questions_for_label` lists the questions that a strategy has about a
label, `questions_for_pair` those about a pair, `questions_for_image` those about a picture.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from string import Template
from typing import Any

from attributes.llm.settings import LLMSettings
from attributes.prompts.questions import NO_LABEL, ImageFile, Question
from attributes.text import MAX_DOMAIN_CHARS, MAX_LABEL_CHARS, MAX_SENSE_CHARS, clean

MAX_CORRECTION_CHARS = 2_000


@dataclass(frozen=True, kw_only=True)
class ChatRequest:
    """What is asked, before it takes the form that a server understands. A picture stands in `messages` by its digest
    until it is sent."""

    messages: tuple[Mapping[str, Any], ...]
    schema: Mapping[str, Any] = field(repr=False)
    schema_name: str
    version: int
    image: ImageFile | None = field(default=None, repr=False)

    def with_schema_in_prompt(self) -> "ChatRequest":
        """The same request for a server that does not hold answers to a schema."""
        schema = json.dumps(self.schema, ensure_ascii=False)
        return self.adding(f"Answer with one JSON object that fits this JSON Schema, and nothing else:\n{schema}")

    def adding(self, text: str) -> "ChatRequest":
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


def request_for(ask: Question) -> ChatRequest:
    """What to send.

    Labels, senses and domain are data: cleaned, capped, and quoted as JSON strings on one line of their own, which
    nothing in them can end.
    """
    strategy = ask.strategy
    text = Template(strategy.user).safe_substitute(subject=_subject(ask), question=ask.text)
    content: Any = text
    if ask.image is not None:
        content = [{"type": "text", "text": text}, _image_part(f"sha256:{ask.image.digest}")]
    request = ChatRequest(
        messages=({"role": "system", "content": strategy.system}, {"role": "user", "content": content}),
        schema=strategy.schema,
        schema_name=strategy.name,
        version=strategy.version,
        image=ask.image,
    )
    return request.adding(clean(ask.correction, MAX_CORRECTION_CHARS)) if ask.correction else request


def temperature_of(ask: Question, settings: LLMSettings) -> float:
    """The temperature to ask at: the strategy's own, else the settings'."""
    own = ask.strategy.temperature
    return settings.temperature if own is None else own


def max_tokens_of(ask: Question, settings: LLMSettings) -> int:
    """The limit of the answer: the strategy's own, else the settings'."""
    return ask.strategy.max_tokens or settings.max_tokens


def key_of(ask: Question, settings: LLMSettings) -> str:
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


def _subject(ask: Question) -> str:
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
