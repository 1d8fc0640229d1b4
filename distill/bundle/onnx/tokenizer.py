"""`onnx/tokenizer.json`: a teacher's tokenizer that needs no library but `tokenizers`.

open_clip cleans a text in Python before it splits it into tokens: it repairs Unicode (ftfy), resolves HTML entities,
joins white space, and makes most texts lower case. The file does the same, character by character. Two steps stay with
the caller: `html.unescape` twice (`unescape_html` in `config.json`), and the repair of texts that were decoded with a
wrong encoding.
"""

import html
from collections.abc import Iterator

import ftfy.chardata
import tokenizers
from tokenizers import Regex, normalizers

from distill.bundle.verify import BundleError
from distill.teacher.tokenizer import Tokenizer

UNESCAPE_HTML = 2
"""How often open_clip resolves HTML entities."""
AWKWARD_TEXTS = (
    "",
    "a photo of a crane",
    "  a  photo\tof\na CRANE \r\n",
    "Bewick’s swan, “small” ‘type’ – 3.5 mm × 2½",
    "it's they're I'll don't O'Neill's",
    "snake_case, semi;colon: (brackets) [and] {braces} #1 @home 50% a/b\\c ~ ^ ` | < > = + * & !?",
    "naïve café Ångström ĳ Œuvre straße İstanbul ǅ",
    "cafe\u0301 (combining accent)",
    "日本の鶴 タンチョウ 한국어 العربية हिन्दी ไทย",
    "ＦＵＬＬ　ＷＩＤＴＨ ｔｅｘｔ！",
    "ﬁsh and ﬂower and oﬃce",
    "🦩 flamingo 👩‍🔬 scientist ☕️",
    "fish &amp; chips &lt;b&gt; &eacute;",
    "zero\u200bwidth\ufeff and soft\u00adhyphen, non\u00a0breaking",
    "bell\x07 and null\x00 characters",
    "a" * 60 + " " + "word " * 10,
)
"""Texts on which the file must give the same tokens as open_clip."""

_CONTROL = r"[\x00-\x08\x0b\x0e-\x1f\x7f\u206a-\u206f\ufeff\ufff9-\ufffc]"  # as ftfy removes them
_FULL_WIDTH = range(0xFF01, 0xFF5F)  # of ASCII


def tokenizer_file(tokenizer: Tokenizer, context_length: int) -> bytes:
    """`tokenizer.json`, which cuts and pads to `context_length`. Raises BundleError for one that cannot be written."""
    try:
        complete = tokenizer.as_file()
    except ValueError as error:
        raise BundleError(f"its tokenizer has no file: {error}") from error
    cleaning = [*_repairs(), *([] if complete.normalizer is None else [complete.normalizer])]
    complete.normalizer = normalizers.Sequence(cleaning)
    _check_equal(complete, tokenizer)
    complete.enable_truncation(context_length)
    pad_token = complete.id_to_token(tokenizer.pad_id)
    complete.enable_padding(pad_id=tokenizer.pad_id, pad_token=pad_token, length=context_length)
    data: bytes = complete.to_str().encode()
    return data


def _repairs() -> Iterator[normalizers.Normalizer]:
    """The repairs of ftfy that concern single characters."""
    yield normalizers.Replace(Regex(_CONTROL), "")
    yield normalizers.Replace(Regex("[\u02bc\u2018-\u201b]"), "'")
    yield normalizers.Replace(Regex("[\u201c-\u201f]"), '"')
    for character, letters in ftfy.chardata.LIGATURES.items():
        yield normalizers.Replace(chr(character), letters)
    yield normalizers.Replace("\u3000", " ")
    for character in _FULL_WIDTH:
        yield normalizers.Replace(chr(character), chr(character - 0xFF01 + 0x21))


def _check_equal(complete: tokenizers.Tokenizer, tokenizer: Tokenizer) -> None:
    for text in AWKWARD_TEXTS:
        prepared = text
        for _ in range(UNESCAPE_HTML):
            prepared = html.unescape(prepared)
        (expected,) = tokenizer.ids([text])
        found = list(complete.encode(prepared).ids)
        if found != expected:
            raise BundleError(f"a tokenizers file gives {text!r} the tokens {found}, and open_clip {expected}")
