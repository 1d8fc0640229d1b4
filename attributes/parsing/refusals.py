"""Recognise a refusal in a response that has no JSON object, or whose object holds only the refusal."""

import re

from attributes.json_types import JSONObject

_APOLOGY = (
    r"(?:i[’']?m|i am|we[’']?re|we are)?\s*(?:(?:very|so|really|terribly) )?sorry\b",
    r"i (?:do )?apologi[sz]e\b",
    r"my apologies\b",
    r"es tut mir leid",
    r"tut mir leid",
    r"entschuldig",
    r"(?:je suis )?désolé",
    r"lo siento",
    r"lo lamento",
    r"(?:me )?desculpe?",
    r"sinto muito",
    r"lamento",
    r"mi dispiace",
    r"het spijt me",
    r"przepraszam",
    r"üzgünüm",
    r"maaf",
    r"извините",
    r"простите",
    r"к сожалению",
    r"(?:很|非常|十分)?抱歉",
    r"对不起",
    r"對不起",
    r"申し訳",
    r"すみません",
    r"죄송",
    r"عذر",
    r"آسف",
    r"क्षमा",
)
_INABILITY = (
    r"(?:i|we) (?:can(?:no|[’'])?t|can not|won[’']?t|will not|decline|refuse)",
    r"(?:i|we) must (?:respectfully )?(?:decline|refuse)",
    r"(?:i[’']?m|i am|we are) (?:not able|unable|not allowed|not permitted|not comfortable|not going to|prevented)",
    r"i (?:don[’']?t|do not) (?:feel comfortable|assist|help|provide|engage)",
    r"as an? (?:ai|artificial|large language|language) [\w ]*?,? ?i (?:can|am|do|must|won)",
    r"(?:this|that|your|the) (?:request|prompt|content|question|topic) (?:violates|goes against|is not allowed)",
    r"ich (?:kann|darf|werde) (?:\w+ ){0,6}(?:nicht|keine)",
    r"je ne (?:peux|suis)",
    r"no puedo\b",
    r"(?:eu )?não posso\b",
    r"non posso\b",
    r"ik kan (?:\w+ ){0,5}(?:niet|geen)",
    r"nie mogę",
    r"я не могу",
    r"(?:我|作为[^，。]{0,20}，?我)(?:无法|不能|不会)",
    r"(?:我)(?:無法|不能)",
)
_LEAD = r"\W*(?:(?:unfortunately|regrettably|leider|malheureusement|lamentablemente|purtroppo|infelizmente)\W+)?"
_REFUSAL = re.compile(rf"{_LEAD}(?:{'|'.join((*_APOLOGY, *_INABILITY))})", re.IGNORECASE)
_KEYS = {"error", "refusal", "reason", "message", "detail", "response", "answer", "status", "warning", "note"}


def is_refusal(text: str) -> bool:
    """Whether the text begins as a refusal does."""
    return bool(_REFUSAL.match(text))


def is_refusal_object(data: JSONObject) -> bool:
    """Whether an object holds only a refusal, such as `{"error": "I can't help with that."}`."""
    texts = [value for value in data.values() if isinstance(value, str)]
    return {key.lower() for key in data} <= _KEYS and any(map(is_refusal, texts))
