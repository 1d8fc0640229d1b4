"""What the stand-in LLM reads in a prompt beyond a label, and what it says to that: answers to single questions,
differences between two species, captions, and phrases that few species share where it is told that many did.

It knows its species and cannot see. So a caption tells some of what a named species looks like, other parts and words
for every picture; a picture that is shown without a name it declines.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from examples.fieldguide.language import PARTS, Attributes, describe, phrase, value_of

_SUBJECT_KEYS = {"label", "sense", "other", "other_sense", "domain"}
_BLIND = "I'm sorry, but I can't see pictures, and this one came without the name of what it shows."
_PLACES = ("on open ground", "in front of bare rock", "under an even sky", "on a pale background", "in dim light")
_TOLD_SHARED = re.compile(r"also said of other classes|said of another class")
_MOST_WORDS = 15
_TOGETHER = 3  # parts in a phrase that is to tell a species from others
# Which parts a question is about, by words in it; about none of these, about everything.
_TOPICS = {
    "colour|color|mark|pattern|texture": ("colour", "pattern"),
    "shape|proportion|size": ("body", "tail", "wings", "legs"),
    "head|face": ("head", "mouth", "eyes"),
}


@dataclass(frozen=True)
class Prompt:
    """A request, taken apart: the line of JSON with the names, the text around it, the schema in it, the picture."""

    text: str
    subject: Mapping[str, str]
    schema: Mapping[str, Any] | None
    image: str
    temperature: float

    @property
    def question(self) -> str:
        """The last message without its lines of JSON."""
        return "\n".join(line for line in self.text.splitlines() if _json_in(line) is None).strip()


def read_prompt(asked: Mapping[str, Any]) -> Prompt:
    """The last user message of a request's body. Raises what a body without one raises."""
    message = [one for one in asked["messages"] if one["role"] == "user"][-1]
    content = message["content"]
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    text = "\n".join(str(part.get("text", "")) for part in parts if isinstance(part, Mapping) and "text" in part)
    images = [part["image_url"]["url"] for part in parts if isinstance(part, Mapping) and "image_url" in part]
    found = [value for line in text.splitlines() if (value := _json_in(line)) is not None]
    subjects = [one for one in found if set(one) <= _SUBJECT_KEYS and all(isinstance(v, str) for v in one.values())]
    temperature = asked.get("temperature")
    return Prompt(
        text=text,
        subject=subjects[-1] if subjects else {},
        schema=next((one for one in found if "properties" in one), None),
        image=images[-1] if images else "",
        temperature=float(temperature) if isinstance(temperature, int | float) else 0.0,
    )


def refusal_to(prompt: Prompt) -> str | None:
    """Why the prompt is declined, if it is."""
    return _BLIND if prompt.image and not prompt.subject.get("label") else None


def said_to(prompt: Prompt, attributes: Attributes | None, other: Attributes | None, *, nth: int) -> dict[str, Any]:
    """What is said beyond the entry: `answer`, `caption`, `differences`, by the attributes of the species (None:
    unknown). `nth` counts equal prompts, whose answers differ where the temperature is above zero."""
    rng = Random(f"{prompt.text}\n{prompt.image}\n{nth if prompt.temperature else 0}")
    name = prompt.subject.get("label", "")
    said: dict[str, Any] = {"other": prompt.subject.get("other", "")}
    if attributes is None:
        return said | {
            "answer": f"The field guide has no entry under {name}.",
            "caption": f"{name}, of which the field guide has no entry.",
            "differences": [_unknown()],
        }
    if _TOLD_SHARED.search(prompt.question):
        said["phrases"] = _particular_phrases(rng, attributes)
    about = next((parts for words, parts in _TOPICS.items() if re.search(words, prompt.question, re.IGNORECASE)), PARTS)
    return said | {
        "answer": _sentence(f"The {name} is {describe(rng, attributes, about)}"),
        "caption": _sentence(f"{name}, {describe(rng, attributes, rng.sample(PARTS, k=4))}, {rng.choice(_PLACES)}"),
        "differences": _differences(rng, attributes, other) if other else [_unknown()],
    }


def _particular_phrases(rng: Random, one: Attributes) -> list[dict[str, str]]:
    """Some parts at a time, for each part once with those after it: what many have by itself, few have together."""
    found = []
    for at, part in enumerate(PARTS):
        others = [PARTS[(at + ahead) % len(PARTS)] for ahead in range(1, _TOGETHER)]
        first, *rest = (phrase(rng, one, each) for each in (part, *others))
        text = f"{first} with {' and '.join(rest)}"
        text = text if len(text.split()) <= _MOST_WORDS else f"{first} with {rest[0]}"
        found.append({"part": part, "value": value_of(one, part), "phrase": text})
    return found


def _differences(rng: Random, one: Attributes, other: Attributes) -> list[dict[str, str]]:
    """What differs, first what both have; each side in words that hold nothing of the other's value."""
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
    foreign = set(avoid.split()) - set(value_of(attributes, part).split())
    drawn: Sequence[str] = [phrase(rng, attributes, part) for _ in range(8)]
    return next((text for text in drawn if not foreign & set(text.split())), drawn[0])


def _unknown() -> dict[str, str]:
    words = dict.fromkeys(("target_value", "other_value", "target_phrase", "other_phrase"), "unknown")
    return {"part": "looks", **words}


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


def _json_in(line: str) -> dict[str, Any] | None:
    if not line.lstrip().startswith("{"):
        return None
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
