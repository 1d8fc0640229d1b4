"""Token counts of lines as rendered for a teacher, without torch.

The teacher's tokenizer is a Hugging Face `tokenizers` file; workers store one for every teacher that they load. Without
a teacher, CLIP's byte-pair vocabulary is read from open_clip's package folder. Without open_clip, the count is an
estimate, named as one: two tokens per word plus three.
"""

import gzip
from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from attributes.types import LineKind

# The text templates of `distill.texts.text_templates`, which this package does not import.
SENTENCE = "a photo of {label} . {text}"
PHRASE = "a photo of {label}, which has {text}"
TEMPLATES: Mapping[LineKind, str] = {
    "sentence": SENTENCE,
    "answer": SENTENCE,
    "caption": SENTENCE,
    "phrase": PHRASE,
    "contrast": PHRASE,
}
CLIP_CONTEXT = 77
_RESERVED = 8  # special tokens, and characters that a normaliser can put before the first word
_CLIP_WORDS = 49152 - 256 - 2


class TokenCounter:
    """Counts a teacher's tokens, special tokens included. `context` is the token limit, `name` the counter's name in
    reports."""

    def __init__(self, count: Callable[[Sequence[str]], list[int]], context: int, name: str) -> None:
        self.count, self.context, self.name = count, context, name
        self._tokens_of_word: dict[str, int] = {}

    def too_long(self, texts: Sequence[str]) -> list[tuple[int, int]]:
        """(index, tokens) of the texts with more tokens than `context`.

        Two upper bounds avoid tokenizing most texts: an ASCII text has at most one token per character, and a text has
        at most as many tokens as its words counted one by one (the count of each word is cached).
        """
        candidates = [
            index for index, text in enumerate(texts) if len(text) + _RESERVED > self.context or not text.isascii()
        ]
        words = {index: texts[index].split() for index in candidates}
        new_words = list({word for split in words.values() for word in split if word not in self._tokens_of_word})
        self._tokens_of_word.update(zip(new_words, self.count(new_words) if new_words else (), strict=True))
        special, extra = self._special, self._space - self._special
        long = [
            index
            for index in candidates
            if sum(self._tokens_of_word[word] + extra for word in words[index]) + special > self.context
        ]
        counts = self.count([texts[index] for index in long]) if long else []
        return [(index, tokens) for index, tokens in zip(long, counts, strict=True) if tokens > self.context]

    @cached_property
    def _special(self) -> int:
        return self.count([""])[0]

    @cached_property
    def _space(self) -> int:
        """The tokens of a space between two words: 0, except for tokenizers of single characters."""
        one, two = self.count(["a", "a a"])
        return max(0, two - 2 * one + self._special)


def render_line(label: str, kind: LineKind, text: str) -> str:
    """A line rendered with its label for the teacher; a phrase loses its full stop."""
    text = " ".join(text.split())
    template = TEMPLATES[kind]
    return template.format(label=" ".join(label.split()), text=text.rstrip(".") if template is PHRASE else text)


def token_counter_from_file(data: bytes, context: int, name: str) -> TokenCounter:
    """A counter from the bytes of a `tokenizer.json` (`tokenizers`). Raises ValueError if they cannot be parsed."""
    try:
        tokenizer = Tokenizer.from_buffer(data)
    except Exception as error:  # the library raises bare Exception for a file it cannot parse
        raise ValueError(f"the tokenizer of {name} is not a tokenizers file: {error}") from error
    return _token_counter(tokenizer, context, name)


@cache
def clip_token_counter() -> TokenCounter:
    """CLIP's byte-pair tokenizer with its context of 77 tokens, or an estimate that is named as one."""
    found = find_spec("open_clip")  # finds the package folder without importing it
    vocabulary = Path(found.origin).with_name("bpe_simple_vocab_16e6.txt.gz") if found and found.origin else None
    if vocabulary is None or not vocabulary.is_file():
        return TokenCounter(_estimate, CLIP_CONTEXT, f"an estimate (two tokens a word), context {CLIP_CONTEXT}")
    return _token_counter(_byte_pairs(vocabulary), CLIP_CONTEXT, f"CLIP's byte pairs, context {CLIP_CONTEXT}")


def _token_counter(tokenizer: Tokenizer, context: int, name: str) -> TokenCounter:
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return TokenCounter(
        lambda texts: [len(encoding.ids) for encoding in tokenizer.encode_batch(list(texts))], context, name
    )


def _estimate(texts: Sequence[str]) -> list[int]:
    return [2 * len(text.split()) + 3 for text in texts]


def _byte_pairs(path: Path) -> Tokenizer:
    """The tokenizer of github.com/openai/CLIP from its merges file."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        lines = file.read().split("\n")[1 : _CLIP_WORDS + 1]
    merges = [(first, second) for first, second in (line.split() for line in lines)]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<start_of_text>", "<end_of_text>"]
    pieces = [*letters, *(letter + "</w>" for letter in letters), *map("".join, merges), *special]
    ids = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=merges, end_of_word_suffix="</w>", unk_token=special[1]))
    tokenizer.add_special_tokens([AddedToken(word, special=True) for word in special])
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip(), normalizers.Lowercase()]
    )
    pattern = Regex(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(pattern, behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{special[0]} $A {special[1]}", special_tokens=[(word, ids[word]) for word in special]
    )
    return tokenizer
