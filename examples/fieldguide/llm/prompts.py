"""Prompt parsing of the stand-in LLM, and the response fields that depend on the prompt: answers to single questions,
differences between two species, captions, look-alikes, and rarer phrases if the prompt says that the first ones were
shared.

The stand-in has no vision. A caption describes some parts of the named species, with other parts and words for every
image. An image without a name is refused.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypedDict, cast

from examples.fieldguide.language import ATTRIBUTES, PARTS, Attributes, describe, phrase, value_of
from examples.fieldguide.llm.types import ChatBody, ContentPart, JSONSchema

_SUBJECT_KEYS = {"label", "sense", "other", "other_sense", "domain"}
_BLIND = "I'm sorry, but I can't see pictures, and this one came without the name of what it shows."
_PLACES = ("on open ground", "in front of bare rock", "under an even sky", "on a pale background", "in dim light")
_ASKS_FOR_RARER = re.compile(r"also said of other classes|said of another class")  # as in the repair prompts
_ASKS_FOR_LOOKALIKES = re.compile(r"look like this class and are not it")  # as in the strategy `outliers`
_NUM_LOOKALIKES = 6
_MAX_LOOKALIKE_WORDS = 12
_MAX_WORDS = 15
_PARTS_PER_PHRASE = 3  # parts in a phrase that should distinguish the species from others
# Words in a question → the parts that it is about. A question without these words is about all parts.
_TOPICS = {
    "colour|color|mark|pattern|texture": ("colour", "pattern"),
    "shape|proportion|size": ("body", "tail", "wings", "legs"),
    "head|face": ("head", "mouth", "eyes"),
}


@dataclass(frozen=True)
class ParsedPrompt:
    """A parsed request: its text, the JSON line with the label names, the schema in the prompt and the image URL."""

    text: str
    subject: Mapping[str, str]
    schema: JSONSchema | None
    image: str
    temperature: float

    @property
    def question(self) -> str:
        """The last message without its JSON lines."""
        return "\n".join(line for line in self.text.splitlines() if _json_in(line) is None).strip()


def parse_prompt(request: ChatBody) -> ParsedPrompt:
    """Parse the last user message of a request body.

    Raises KeyError, TypeError, ValueError or IndexError if the body has none.
    """
    message = [one for one in request["messages"] if one["role"] == "user"][-1]
    content = message["content"]
    parts: list[ContentPart] = content if isinstance(content, list) else [{"text": content}]
    text = "\n".join(str(part.get("text", "")) for part in parts if isinstance(part, Mapping) and "text" in part)
    images = [part["image_url"]["url"] for part in parts if isinstance(part, Mapping) and "image_url" in part]
    objects = [value for line in text.splitlines() if (value := _json_in(line)) is not None]
    subjects = [one for one in objects if set(one) <= _SUBJECT_KEYS and all(isinstance(v, str) for v in one.values())]
    schemas = [cast(JSONSchema, one) for one in objects if "properties" in one]
    temperature = request.get("temperature")
    return ParsedPrompt(
        text=text,
        subject={key: str(value) for key, value in subjects[-1].items()} if subjects else {},
        schema=schemas[0] if schemas else None,
        image=images[-1] if images else "",
        temperature=float(temperature) if isinstance(temperature, int | float) else 0.0,
    )


def refusal_reason(prompt: ParsedPrompt) -> str | None:
    """The refusal text if the prompt is refused, or None."""
    return _BLIND if prompt.image and not prompt.subject.get("label") else None


class ExtraFields(TypedDict, total=False):
    """The fields of a response that depend on the prompt."""

    other: str
    answer: str
    caption: str
    differences: list[dict[str, str]]
    phrases: list[dict[str, str]]


def extra_fields(
    prompt: ParsedPrompt, attributes: Attributes | None, other: Attributes | None, *, nth: int
) -> ExtraFields:
    """The fields `answer`, `caption` and `differences` from the attributes of the species (None: unknown species).

    `nth` is the number of earlier calls; at a temperature above zero it varies the response to equal prompts.
    """
    rng = Random(f"{prompt.text}\n{prompt.image}\n{nth if prompt.temperature else 0}")
    name = prompt.subject.get("label", "")
    fields: ExtraFields = {"other": prompt.subject.get("other", "")}
    if attributes is None:
        return fields | {
            "answer": f"The field guide has no entry under {name}.",
            "caption": f"{name}, of which the field guide has no entry.",
            "differences": [_unknown()],
        }
    if _ASKS_FOR_RARER.search(prompt.question):
        fields["phrases"] = _rarer_phrases(rng, attributes)
    if _ASKS_FOR_LOOKALIKES.search(prompt.question):
        fields["phrases"] = _lookalikes(rng, name, attributes)
    about = next((parts for words, parts in _TOPICS.items() if re.search(words, prompt.question, re.IGNORECASE)), PARTS)
    return fields | {
        "answer": _sentence(f"The {name} is {describe(rng, attributes, about)}"),
        "caption": _sentence(f"{name}, {describe(rng, attributes, rng.sample(PARTS, k=4))}, {rng.choice(_PLACES)}"),
        "differences": _differences(rng, attributes, other) if other else [_unknown()],
    }


def _rarer_phrases(rng: Random, one: Attributes) -> list[dict[str, str]]:
    """For each part a phrase that combines it with the next parts: few species share such a combination."""
    phrases = []
    for index, part in enumerate(PARTS):
        others = [PARTS[(index + offset) % len(PARTS)] for offset in range(1, _PARTS_PER_PHRASE)]
        first, *rest = (phrase(rng, one, each) for each in (part, *others))
        text = f"{first} with {' and '.join(rest)}"
        text = text if len(text.split()) <= _MAX_WORDS else f"{first} with {rest[0]}"
        phrases.append({"part": part, "value": value_of(one, part), "phrase": text})
    return phrases


def _lookalikes(rng: Random, name: str, one: Attributes) -> list[dict[str, str]]:
    """Invented relatives of the species, which differ in two parts."""
    names = []
    for _ in range(_NUM_LOOKALIKES):
        parts = rng.sample(("colour", "tail", "wings", "head"), k=2)
        changed = one | {
            part: rng.choice([value for value in ATTRIBUTES[part] if value != one[part]]) for part in parts
        }
        text = f"{name.split()[-1].lower()} with {' and '.join(phrase(rng, changed, part) for part in parts)}"
        is_short = len(text.split()) <= _MAX_LOOKALIKE_WORDS
        names.append(text if is_short else f"{name.split()[-1].lower()} with {phrase(rng, changed, parts[0])}")
    return [{"part": "", "value": "", "phrase": text} for text in dict.fromkeys(names)]


def _differences(rng: Random, one: Attributes, other: Attributes) -> list[dict[str, str]]:
    """The differing parts, those present in both species first; each phrase avoids the words of the other value."""
    parts = [part for part in PARTS if value_of(one, part) != value_of(other, part)]
    parts.sort(key=lambda part: "none" in (one[part], other[part]))
    return [
        {
            "part": part,
            "target_value": value_of(one, part),
            "other_value": value_of(other, part),
            "target_phrase": _own_phrase(rng, one, part, avoid=value_of(other, part)),
            "other_phrase": _own_phrase(rng, other, part, avoid=value_of(one, part)),
        }
        for part in parts
    ]


def _own_phrase(rng: Random, attributes: Attributes, part: str, *, avoid: str) -> str:
    avoided = set(avoid.split()) - set(value_of(attributes, part).split())
    candidates: Sequence[str] = [phrase(rng, attributes, part) for _ in range(8)]
    return next((text for text in candidates if not avoided & set(text.split())), candidates[0])


def _unknown() -> dict[str, str]:
    words = dict.fromkeys(("target_value", "other_value", "target_phrase", "other_phrase"), "unknown")
    return {"part": "looks", **words}


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


def _json_in(line: str) -> dict[str, object] | None:
    if not line.lstrip().startswith("{"):
        return None
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
