"""Meta text: error messages, refusals, placeholders and talk about the task, where a description should be.

Published files contain such lines, and servers answer with them under status 200. `talks_about_task` finds them by
their wording (`attributes.meta_wordings`):

    talks_about_task("I'm sorry, but I cannot describe that.")     "refusal"
    talks_about_task("a screen with an error message")             None

Most wordings count only at the beginning of a text or sentence: a thing that shows such a text can be described. This
module imports nothing heavy: parsers use it.
"""

import re
from collections.abc import Iterable
from typing import Literal

from attributes import meta_languages
from attributes import meta_wordings as wordings
from limbeck.shared.labels import MAX_LABEL_CHARS
from limbeck.shared.text import clean

MetaKind = Literal["error", "placeholder", "refusal", "talk"]

META_KINDS: dict[MetaKind, str] = {
    "error": "an error message",
    "placeholder": "a placeholder",
    "refusal": "a refusal",
    "talk": "talk about the task",
}
NO_DESCRIPTION: frozenset[MetaKind] = frozenset({"error", "placeholder", "refusal"})
"""The kinds of text that are no answer. A text of the kind `talk` may contain a description."""
LANGUAGES = frozenset({"en", *meta_languages.REFUSAL_START})
"""ISO 639-1 codes of the languages in which refusals are found."""

_MAX_CHARS = 2_000  # descriptions are sentences; what follows in a longer text is not searched
_PLAIN = str.maketrans({"’": "'", "‘": "'", "´": "'", "“": '"', "”": '"', "！": "!", "，": ",", "：": ":", "…": "..."})
_MARKUP = " \"'*_#>-–—•·~(«„¡"
_END = re.compile(r"[\s\"'*_.!?,;:。、)»]+$")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n+")
_WORD = re.compile(r"[^\W_]+")
_TEMPLATE_MARK = re.compile(r"[<>{}\[(%$_]|lorem")


def _any(patterns: Iterable[str], frame: str = "(?:{})") -> re.Pattern[str]:
    return re.compile(frame.format("|".join(f"(?:{pattern})" for pattern in patterns)))


_BLANK = frozenset(wordings.BLANK)
_TEMPLATE = _any(wordings.TEMPLATE)
_ERROR_WHOLE = _any(wordings.ERROR_WHOLE)
_ERROR_START = _any(wordings.ERROR_START, r"(?:(?:oops|sorry|uh-oh|h+m+|whoops)\b[,.! ]*)?(?:{})")
_ERROR_ANYWHERE = _any(wordings.ERROR_ANYWHERE)
_REFUSAL_START = _any([*wordings.REFUSAL_START, *meta_languages.REFUSAL_START.values()])
_REFUSAL_SENTENCE = _any(wordings.REFUSAL_SENTENCE, r"(?:^|(?<=[.!?:;,\")] )|(?<=\bbut )|(?<=\bso ))(?:{})")
_REFUSAL_ANYWHERE = _any([*wordings.REFUSAL_ANYWHERE, *meta_languages.REFUSAL_ANYWHERE])
_TALK_START = _any(wordings.TALK_START)
_TALK_ANYWHERE = _any(wordings.TALK_ANYWHERE)


def talks_about_task(text: str, label: str = "") -> MetaKind | None:
    """The kind of meta text that `text` is or contains; None for a description or a text without letters.

    The name of the `label` does not count, whatever it says.
    """
    text = _without_label(text, label)[:_MAX_CHARS]
    plain = " ".join((text if text.isascii() else text.translate(_PLAIN)).casefold().split())
    start = plain.lstrip(_MARKUP)
    bare = _END.sub("", start)
    searched = not (plain.isascii() and wordings.SEARCHED_WORDS.isdisjoint(_WORD.findall(plain)))
    if bare not in _BLANK and (
        _ERROR_START.match(start) or _ERROR_WHOLE.fullmatch(bare) or (searched and _ERROR_ANYWHERE.search(start))
    ):
        return "error"
    if bare in _BLANK or (_TEMPLATE_MARK.search(plain) and _TEMPLATE.search(plain)):
        return "placeholder"
    if _REFUSAL_START.match(start):
        return "refusal"
    if searched and (_REFUSAL_SENTENCE.search(start) or _REFUSAL_ANYWHERE.search(start)):
        return "refusal"
    if _TALK_START.match(start) or (searched and _TALK_ANYWHERE.search(start)):
        return "talk"
    return None


def is_no_answer(text: str, label: str = "") -> MetaKind | None:
    """The kind of meta text of a text in which every sentence is meta text, the first of a kind in `NO_DESCRIPTION`;
    else None. A parser can refuse such a text: it has nothing to keep."""
    text = _without_label(text, label)
    kind = talks_about_task(text)
    if kind not in NO_DESCRIPTION:
        return None
    sentences = [sentence for sentence in _SENTENCE_END.split(text) if _WORD.search(sentence)]
    return kind if all(map(talks_about_task, sentences)) else None


def _without_label(text: str, label: str) -> str:
    """The text with `thing` in place of the label's name, as a prompt writes it."""
    name = clean(label, MAX_LABEL_CHARS)
    return text.replace(name, "thing") if len(name) > 1 else text
