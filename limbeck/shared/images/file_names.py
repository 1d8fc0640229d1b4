"""Names of files as text. Python keeps the bytes of a name that are not UTF-8 as lone surrogates, which neither JSON
responses nor databases nor terminals accept.

`shown_path` is for people, `name_as_text` for a comparison with labels, `json_line` for a file that keeps the name.
"""

import json
import os

_FIRST_ESCAPED = 0xDC80  # a byte B that is not UTF-8 is the surrogate U+DC00 + B
_LAST_ESCAPED = 0xDCFF


def shown_path(path: str | os.PathLike[str]) -> str:
    r"""A path for messages, reports and logs: bytes that are not UTF-8, control characters and invisible characters are
    escaped, such as `caf\xe9.jpg` and `a\nb.jpg`. The result is one line and valid UTF-8.
    """
    text = os.fspath(path)
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    if _FIRST_ESCAPED <= ord(character) <= _LAST_ESCAPED:
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def is_utf8(name: str) -> bool:
    """Whether a name can be written as UTF-8."""
    return name.isascii() or not any(0xD800 <= ord(character) <= 0xDFFF for character in name)


def name_as_text(name: str) -> str:
    """A name with its letters: one that is not UTF-8 is read as Windows-1252, else as Latin-1."""
    if is_utf8(name):
        return name
    data = name.encode("utf-8", "surrogateescape")
    try:
        return data.decode("cp1252")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def json_line(value: object) -> str:
    """A value as JSON in one line of UTF-8: as it is, or in ASCII if it holds a name that is not UTF-8."""
    text = json.dumps(value, ensure_ascii=False)
    return (text if is_utf8(text) else json.dumps(value)) + "\n"
