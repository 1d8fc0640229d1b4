"""CLIP's byte-pair tokenizer as a `tokenizers` object, without torch and open_clip.

`clip_merges.txt.xz` holds the merges of github.com/openai/CLIP (MIT, see `clip_merges.LICENSE.txt`), so that a service
without open_clip counts the same tokens as the teacher. `python -m tests.limbeck.shared.record_clip_merges` writes it
from the file in open_clip.
"""

import html
import lzma
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from tokenizers.normalizers import Normalizer

MERGES_FILE = Path(__file__).with_name("clip_merges.txt.xz")
NUM_MERGES = 49152 - 256 - 2
START, END = "<start_of_text>", "<end_of_text>"
CONTEXT_LENGTH = 77


def clip_merges() -> list[tuple[str, str]]:
    """The `NUM_MERGES` merges of CLIP's vocabulary, by rank."""
    lines = lzma.decompress(MERGES_FILE.read_bytes()).decode().splitlines()
    return [(first, second) for first, second in (line.split(" ") for line in lines)]


def clean_text(text: str) -> str:
    """A text as CLIP cleans it before it is split into words: Unicode repaired, one line, lower case."""
    import ftfy

    return " ".join(html.unescape(html.unescape(ftfy.fix_text(text))).split()).lower()


def clip_tokenizer(
    merges: Sequence[tuple[str, str]], *, clean: str | None = "lower", special_tokens: Sequence[str] = ()
) -> "Tokenizer":
    """The tokenizer of the vocabulary that `merges` and `special_tokens` (besides start and end) define.

    `clean`: the cleaning that the tokenizer does, named as in open_clip (`lower`, `whitespace`, `canonicalize`), except
    for the repair of broken Unicode and HTML, which a `tokenizers` file cannot hold; None for texts that were cleaned
    by `clean_text`.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    byte_letters = _byte_letters()
    special = [START, END, *special_tokens]
    tokens = [*byte_letters, *(letter + "</w>" for letter in byte_letters), *map("".join, merges), *special]
    ids = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=list(merges), end_of_word_suffix="</w>", unk_token=END))
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
    tokenizer.normalizer = normalizers.Sequence([] if clean is None else cleaning_steps(clean))
    words = Regex(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=[(START, ids[START]), (END, ids[END])]
    )
    return tokenizer


def cleaning_steps(clean: str) -> "list[Normalizer]":
    """The cleaning of a text, named as in open_clip, except for the repair of broken Unicode and HTML."""
    from tokenizers import Regex, normalizers

    steps: list[normalizers.Normalizer] = [normalizers.NFC()]
    if clean == "canonicalize":
        steps += [normalizers.Replace("_", " "), normalizers.Replace(Regex(r"[!-/:-@\[-`{-~]"), "")]
    steps += [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    if clean != "whitespace":
        steps.append(normalizers.Lowercase())
    return steps


def _byte_letters() -> list[str]:
    """The 256 characters that stand for bytes, in the order of CLIP's vocabulary: printable bytes first."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return [*map(chr, printable), *(chr(256 + number) for number in range(256 - len(printable)))]
