"""Refusals in several languages, alone or as an object."""

import pytest

from attributes.parsing.refusals import is_refusal, is_refusal_object


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I’m really sorry, but no.",
        "Sorry, no.",
        "I apologize, but this is not possible.",
        "I cannot describe this.",
        "Unfortunately, I am not able to do this.",
        "I'm not comfortable describing this.",
        "I must respectfully decline.",
        "As an AI language model, I can't see it.",
        "This request violates the usage policies.",
        "Es tut mir leid, dabei kann ich nicht helfen.",
        "Ich kann dabei leider nicht helfen.",
        "Je suis désolé, je ne peux pas.",
        "Lo siento, no puedo ayudar.",
        "Desculpe, não posso.",
        "Mi dispiace, non posso.",
        "Извините, я не могу помочь.",
        "很抱歉，我无法回答。",
        "我无法描述这个。",
        "申し訳ありませんが、お答えできません。",
        "죄송합니다.",
    ],
)
def test_a_refusal(text: str) -> None:
    assert is_refusal(text)
    assert is_refusal(f'"{text}"')


@pytest.mark.parametrize(
    "text",
    ["A robin is red.", "It cannot fly.", "I see a robin.", "The request is clear: a robin.", "Der Vogel ist rot."],
)
def test_no_refusal(text: str) -> None:
    assert not is_refusal(text)


def test_a_refusal_as_an_object() -> None:
    assert is_refusal_object({"error": "I can't help with that."})
    assert is_refusal_object({"status": "refused", "message": "Sorry, no."})
    assert not is_refusal_object({"label": "robin", "sentence": "Sorry, no."})
    assert not is_refusal_object({"error": "The label is empty."})
    assert not is_refusal_object({})
