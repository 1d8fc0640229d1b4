"""Names as words, so that two spellings of a name are compared as a person would.

Case, accents, punctuation, `&` and `and`, British and American spelling, possessive and plural endings make no
difference. Two different words stay different, even if only one letter differs (`male` and `female`, `tern` and
`teal`): a difference of a letter is a typo only if a dictionary knows at most one of the two words.
"""

import re
import unicodedata

_ACCENTS = re.compile("[\u0300-\u036f]")  # only these: marks of other scripts make other letters
_LETTERS = {"ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i"}
_PLAIN_LETTERS = str.maketrans(_LETTERS | {one.upper(): other.capitalize() for one, other in _LETTERS.items()})
_APOSTROPHE_N = re.compile(r"(?<=\s)['’]?n['’](?=\s)")
_POSSESSIVE = re.compile(r"(?<=\w)['’ʼ`´]s\b|(?<=\ws)['’ʼ`´](?!\w)")
_APOSTROPHES = re.compile(r"(?<=\w)['’ʼ`´](?=\w)")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z][a-z])")
_WORD = re.compile(r"[^\W_]+[+#]*|[+#]+")
_IRREGULAR = {
    "buffaloes": "buffalo",
    "buses": "bus",
    "children": "child",
    "feet": "foot",
    "flamingoes": "flamingo",
    "geese": "goose",
    "knives": "knife",
    "leaves": "leaf",
    "loaves": "loaf",
    "mangoes": "mango",
    "men": "man",
    "mice": "mouse",
    "potatoes": "potato",
    "teeth": "tooth",
    "tomatoes": "tomato",
    "wolves": "wolf",
    "women": "woman",
}
_NO_PLURALS = {"glasses"}  # not several of a glass
_SPELLINGS = {
    "aeroplane": "airplane",
    "axe": "ax",
    "centre": "center",
    "colour": "color",
    "doughnut": "donut",
    "fibre": "fiber",
    "gray": "grey",
    "harbour": "harbor",
    "jewellery": "jewelry",
    "mould": "mold",
    "moustache": "mustache",
    "parlour": "parlor",
    "plough": "plow",
    "pyjama": "pajama",
    "sulphur": "sulfur",
    "theatre": "theater",
    "tyre": "tire",
    "yoghurt": "yogurt",
}
_ARTICLES = {"a", "an", "the", "le", "la", "les", "un", "une", "el", "los", "las", "der", "die", "das", "ein", "eine"}

Words = tuple[str, ...]


def folded(text: str) -> str:
    """The letters and digits of a text without case and accents; the text if it has none."""
    plain = _plain(text).casefold()
    return "".join(filter(str.isalnum, plain)) or plain.strip()


def words_of(text: str) -> Words:
    """The words of a name, each in one form. Empty for a text without letters and digits."""
    plain = _CAMEL.sub(" ", _plain(text)).casefold().replace("&", " and ").replace(" w/", " with ")
    plain = _APOSTROPHES.sub("", _POSSESSIVE.sub("", _APOSTROPHE_N.sub("and", plain)))
    return tuple(map(_one_form, _WORD.findall(plain)))


def without_article(words: Words) -> Words:
    """The words without an article at their beginning."""
    return words[1:] if len(words) > 1 and words[0] in _ARTICLES and not words[1].isdecimal() else words


def is_typo(one: Words, other: Words) -> bool:
    """Whether one word differs, and only by a typo. Words with digits never do: `737-200` is not `737-300`."""
    if len(one) != len(other) or len(folded("".join(one))) < 5:
        return False
    differing = [(a, b) for a, b in zip(one, other, strict=True) if a != b]
    return len(differing) == 1 and _is_typo(*differing[0], alone=len(one) == 1)


def _is_typo(a: str, b: str, *, alone: bool) -> bool:
    longer = max(len(a), len(b))
    if longer < 4 or not (a.isalpha() and b.isalpha()) or a[0] != b[0]:  # a typo seldom changes the first letter
        return False
    distance = _distance(a, b)
    if distance > (2 if longer >= 9 else 1):
        return False
    num_known = _is_known(a) + _is_known(b)
    if num_known == 2:  # a letter too many or too few makes few names of other things, if the rest of the name is equal
        return not alone and distance == 1 and len(a) != len(b) and longer >= 5
    return num_known == 1 or longer >= 7


def _is_known(word: str) -> bool:
    """Whether the English dictionary of simplemma has the word. The first call loads it in 0.2 s."""
    from simplemma import is_known

    return is_known(word, lang="en")


def _distance(a: str, b: str) -> int:
    """Edit distance, in which two letters in the wrong order are one edit."""
    rows = [list(range(len(b) + 1))]
    for i, x in enumerate(a, start=1):
        row = [i]
        for j, y in enumerate(b, start=1):
            best = min(rows[i - 1][j] + 1, row[j - 1] + 1, rows[i - 1][j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                best = min(best, rows[i - 2][j - 2] + 1)
            row.append(best)
        rows.append(row)
    return rows[-1][-1]


def _plain(text: str) -> str:
    decomposed = _ACCENTS.sub("", unicodedata.normalize("NFKD", text))
    return unicodedata.normalize("NFC", decomposed).translate(_PLAIN_LETTERS)


def _one_form(word: str) -> str:
    """The word in the singular and in one spelling."""
    word = _singular(word)
    word = _SPELLINGS.get(word, word)
    return word[:-2] + "y" if word.endswith("ie") else word  # `cookies` became `cooky`


def _singular(word: str) -> str:
    if word in _IRREGULAR or word in _NO_PLURALS:
        return _IRREGULAR.get(word, word)
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    return word[:-1]
