"""The language that attributes are written in: validation, names of codes, and whether it is English."""

import re
import unicodedata

from limbeck.shared.labels import normalize

MAX_LANGUAGE_CHARS = 50
_PUNCTUATION = frozenset(" -_.,'’()/")
_CODE_PATTERN = re.compile(r"([a-z]{2,3})((?:[-_][A-Za-z0-9]{2,8})*)", re.IGNORECASE)
# ISO 639-1 codes. A model knows the name of a language better than its code.
_CODES = (
    "af Afrikaans;ar Arabic;az Azerbaijani;be Belarusian;bg Bulgarian;bn Bengali;bs Bosnian;ca Catalan;cs Czech;"
    "cy Welsh;da Danish;de German;el Greek;en English;eo Esperanto;es Spanish;et Estonian;eu Basque;fa Persian;"
    "fi Finnish;fr French;ga Irish;gl Galician;gu Gujarati;he Hebrew;hi Hindi;hr Croatian;hu Hungarian;hy Armenian;"
    "id Indonesian;is Icelandic;it Italian;ja Japanese;ka Georgian;kk Kazakh;km Khmer;kn Kannada;ko Korean;"
    "la Latin;lt Lithuanian;lv Latvian;mk Macedonian;ml Malayalam;mn Mongolian;mr Marathi;ms Malay;mt Maltese;"
    "my Burmese;nb Norwegian Bokmål;ne Nepali;nl Dutch;nn Norwegian Nynorsk;no Norwegian;pa Punjabi;pl Polish;"
    "pt Portuguese;ro Romanian;ru Russian;si Sinhala;sk Slovak;sl Slovenian;sq Albanian;sr Serbian;sv Swedish;"
    "sw Swahili;ta Tamil;te Telugu;th Thai;tl Tagalog;tr Turkish;uk Ukrainian;ur Urdu;uz Uzbek;vi Vietnamese;"
    "zh Chinese;zu Zulu"
)
_NAMES = dict(pair.split(" ", 1) for pair in _CODES.split(";"))


def language_fault(text: str) -> str | None:
    """Why the text is not a language, such as `German`, `de` or `pt-BR`; None if it can be one.

    It becomes part of a prompt: one line of letters with a little punctuation is allowed.
    """
    language = normalize(text)
    if not language:
        return "is blank"
    if len(language) > MAX_LANGUAGE_CHARS:
        return f"has {len(language)} characters; at most {MAX_LANGUAGE_CHARS} are allowed"
    if not language[0].isalpha() or not all(map(_is_allowed, language)):
        return "must be the name or the code of a language, such as German, de or pt-BR"
    return None


def language_name(language: str) -> str:
    """The language as a prompt names it: `German` for `de`, `Portuguese (pt-BR)` for `pt-BR`, else the text itself."""
    match = _CODE_PATTERN.fullmatch(language)
    name = _NAMES.get(match[1].lower()) if match else None
    if match is None or name is None:
        return language
    return f"{name} ({language})" if match[2] else name


def language_code(language: str) -> str:
    """The code of a stated language, such as `de` for `de-AT` and `German`; an unknown name is kept, in lower case."""
    folded = language.strip().casefold()
    for code, name in _NAMES.items():
        if folded == name.casefold() or folded.replace("_", "-").split("-")[0] == code:
            return code
    return folded


def is_english(language: str) -> bool:
    """Whether the language is English; an empty one is, because the strategies are written in English."""
    words = re.findall(r"[a-z]+", language_name(language).casefold())
    return not language or "english" in words


def _is_allowed(character: str) -> bool:
    return character.isalnum() or character in _PUNCTUATION or unicodedata.category(character).startswith("M")
