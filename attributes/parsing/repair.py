"""Repair JSON that is nearly valid: trailing commas, Python dicts, comments, a missing last brace, quotes in a text.

json-repair (https://github.com/mangiucugna/json_repair) always returns something, also for half an answer. Its result
is used only if it has the whole text and nothing else: keys and texts occur in the response in the same order, each
text between its quotes, and only punctuation, literals and comments between them. So a repair never adds words, drops
words or ends a text where the response was cut.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from attributes.json_types import JSONObject, JSONValue

_MAX_CHARS = 20_000
_MAX_STARTS = 8
_MAX_IN_COMMENT = 4
_QUOTES = "\"'“”„‟‘’‚`«»"
_QUOTE = f"[{_QUOTES}]"
_START = re.compile(
    rf"\{{\s*(?:(?://|#)[^\n]*\n\s*|(?>/\*.*?\*/)\s*)*+{_QUOTE}?[\w -]{{1,40}}{_QUOTE}?\s*[:：]", re.DOTALL
)
_NO_BRACE = re.compile(rf"\A[\s`]*(?:json\s+)?{_QUOTE}\w{{1,40}}{_QUOTE}\s*:")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_SPACE = re.compile(r"\s+")
# What may stand between two keys or texts. A comment ends with its line. Possessive, so that no text takes long.
_GAP = re.compile(
    rf"(?>[\s{{}}\[\](),:;{_QUOTES}]|//[^\n]*|\#[^\n]*|/\*.*?\*/|<!--.*?-->|\.\.\.|…"
    r"|-?\d[\d.eE+-]*|\b(?:true|false|null|none|nan|infinity|undefined)\b)*+",
    re.IGNORECASE | re.DOTALL,
)
_COMMENT = re.compile(r"//[^\n]*|\#[^\n]*|/\*.*?\*/|<!--.*?-->", re.DOTALL)
_AFTER_KEY = re.compile(rf"{_QUOTE}?\s*:")
# After the quote that closes a text: punctuation, a comment, the next key or text, or the end.
_AFTER_TEXT = re.compile(rf"{_QUOTE}\s*(?:[,;}}\]:)]|//|\#|/\*|`{{3}}|\Z|(?<=\s){_QUOTE}|(?<=\s)\w+{_QUOTE}?\s*:)")
_AFTER_OBJECT = re.compile(r"\s*(?:\Z|[^\s,:;\[\]{}\"'“”‘’])")
# Done before the repair, only where the text cannot be inside of a string.
_LINE_COMMENT = re.compile(r"^[ \t]*(?://|\#)[^\n]*\n|(?<=[,{\[}\]])[ \t]*(?://|\#)([^\n]*)(?=\n)", re.MULTILINE)
_JOINED = re.compile(r"([\"'])\s*\+\s*\1")
_NOT_A_NUMBER = re.compile(r"(\"\s*:\s*)[+-]?(?:NaN|Infinity|undefined)(?=\s*[,}\]])")
_SMART_QUOTES = str.maketrans(dict.fromkeys("“”„‟«»", '"'))
# A text that has a key or a second text inside was put together from several.
_SWALLOWED = re.compile(rf"{_QUOTE}\w+{_QUOTE}\s*:|{_QUOTE}\s*[:\n]\s*{_QUOTE}|\}}\s*,?\s*\{{")
_WIDE = (  # Chinese punctuation
    (re.compile(rf"({_QUOTE}\s*)："), r"\1:"),
    (re.compile(rf"([{_QUOTES}}}\]]\s*)，(?=\s*[{_QUOTES}{{\[])"), r"\1,"),
)


@dataclass(frozen=True)
class RepairedObject:
    """An object from nearly valid JSON. `unclosed`: its last braces or brackets are missing in the response."""

    data: JSONObject
    unclosed: bool


def repaired_objects(text: str) -> Iterator[RepairedObject]:
    """The objects that a faithful repair finds, in the order of their opening braces."""
    if len(text) > _MAX_CHARS:
        return
    text = _prepared(text)
    segments = [text[start.start() :] for start in _START.finditer(text)][:_MAX_STARTS]
    if brace_is_missing := _NO_BRACE.match(text):
        segments.insert(0, "{" + text[brace_is_missing.start() :].lstrip("` \n").removeprefix("json"))
    for segment in segments:
        if (repaired := _repaired(_without_prose_after(segment))) is not None:
            yield repaired


def _prepared(text: str) -> str:
    """The text without what json-repair reads in another way than its writer meant it."""
    for pattern, replacement in _WIDE:
        text = pattern.sub(replacement, text)
    if '"' not in text:
        text = text.translate(_SMART_QUOTES)
    text = _NOT_A_NUMBER.sub(r"\1null", _JOINED.sub("", text))
    return _LINE_COMMENT.sub(lambda found: "" if (found[1] or "").count('"') % 2 == 0 else found[0], text)


def _without_prose_after(segment: str) -> str:
    """The segment up to its last brace or bracket, if prose follows; JSON that continues after it is kept."""
    end = max(segment.rfind("}"), segment.rfind("]")) + 1
    return segment[:end] if end and _AFTER_OBJECT.match(segment, end) else segment.rstrip().rstrip("`").rstrip()


def _repaired(segment: str) -> RepairedObject | None:
    import json_repair

    try:
        value = json_repair.loads(segment, skip_json_loads=True)
    except (ValueError, RecursionError, IndexError):
        return None
    if not isinstance(value, dict) or _is_misplaced(value):
        return None
    gaps = _gaps(value, segment)
    if gaps is None:
        return None
    structure = "".join(_COMMENT.sub("", gap) for gap in gaps)
    missing = sum(structure.count(opening) for opening in "{[") - sum(structure.count(closing) for closing in "}]")
    if missing > 0 and "," in gaps[-1].rpartition("}")[2]:
        return None  # it was cut before the next item
    return RepairedObject(value, unclosed=missing > 0)


def _is_misplaced(data: JSONObject) -> bool:
    """Whether the object has a key of the objects in its lists: a brace is in the wrong place, and an item lost its
    own."""
    items = [item for value in data.values() if isinstance(value, list) for item in value if isinstance(item, dict)]
    return any(key in item for item in items for key in data)


def _gaps(value: JSONValue, segment: str) -> list[str] | None:
    """What stands in the segment between keys and texts of the value; None unless the value is the whole segment."""
    text = _plain(segment)
    gaps, position = [], 0
    for is_key, token in _tokens(value):
        token = _plain(token, escapes=False)
        found = _after_gap(token, text, position)
        if found < 0:
            return None
        end = found + len(token)
        if is_key and not _AFTER_KEY.match(text, end):
            return None
        if not is_key and _SWALLOWED.search(token):
            return None
        if not is_key and not (text[found - 1] in _QUOTES and _AFTER_TEXT.match(text, end)):
            return None
        gaps.append(text[position:found])
        position = end
    if not gaps or not _GAP.fullmatch(text, position):
        return None
    return [*gaps, text[position:]]


def _after_gap(token: str, text: str, position: int) -> int:
    """Where the token stands behind a gap; -1 if there is something else before it. It may also be in a comment."""
    found = position - 1
    for _ in range(_MAX_IN_COMMENT):
        found = text.find(token, found + 1)
        if found < 0 or _GAP.fullmatch(text, position, found):
            return found
    return -1


def _tokens(value: JSONValue) -> Iterator[tuple[bool, str]]:
    """(is a key, text) of all keys and texts, in order."""
    if isinstance(value, str):
        yield False, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield True, key
            yield from _tokens(item)
    elif isinstance(value, list):
        for item in value:
            yield from _tokens(item)


def _plain(text: str, *, escapes: bool = True) -> str:
    """The text with escapes decoded and white space collapsed; a line end stays one, because it ends a comment."""
    if escapes and "\\" in text:
        text = _ESCAPE.sub(_unescaped, text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return _SPACE.sub(lambda space: "\n" if "\n" in space[0] else " ", text)


def _unescaped(escape: re.Match[str]) -> str:
    if escape[1]:
        return chr(int(escape[1], 16))
    return {"n": "\n", "r": "\n", "t": " ", "b": " ", "f": " "}.get(escape[2], escape[2])
