"""How many tokens a text has for a teacher, as rendered with its label; without torch.

The teacher's own tokenizer is a Hugging Face `tokenizers` file, as it is kept of every teacher that a worker has
loaded. Where no teacher is named, the byte pairs of CLIP are taken from open_clip's folder (their vocabulary is a text
file), or, where that is not installed, a stated estimate of two tokens for each word and three more.
"""

import gzip
from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from attributes.types import LineKind

# The texts by which a teacher hears of a line: those of `distill.texts.text_templates`, which this room does not
# import.
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
_ROOM = 8  # special tokens, and what a normaliser may put before the first word
_CLIP_WORDS = 49152 - 256 - 2


class TokenCounter:
    """Counts a teacher's tokens, special ones included; `context` is how many it reads, `name` says whose they are."""

    def __init__(self, count: Callable[[Sequence[str]], list[int]], context: int, name: str) -> None:
        self.count, self.context, self.name = count, context, name
        self._of_word: dict[str, int] = {}

    def too_long(self, texts: Sequence[str]) -> list[tuple[int, int]]:
        """(index, tokens) of the texts beyond the context.

        Most are known to fit without counting them: no token is shorter than an ASCII letter, and the words of a text
        counted one by one (each once, ever, with special tokens of its own) are no fewer tokens than the text.
        """
        left = [at for at, text in enumerate(texts) if len(text) + _ROOM > self.context or not text.isascii()]
        split = {at: texts[at].split() for at in left}
        fresh = list({word for said in split.values() for word in said if word not in self._of_word})
        self._of_word.update(zip(fresh, self.count(fresh) if fresh else (), strict=True))
        special, space = self._special, self._space
        extra = space - special
        long = [at for at in left if sum(self._of_word[word] + extra for word in split[at]) + special > self.context]
        counts = self.count([texts[at] for at in long]) if long else []
        return [(at, tokens) for at, tokens in zip(long, counts, strict=True) if tokens > self.context]

    @cached_property
    def _special(self) -> int:
        return self.count([""])[0]

    @cached_property
    def _space(self) -> int:
        """What a space between two words counts by itself: nothing, but for tokenizers that go letter by letter."""
        one, two = self.count(["a", "a a"])
        return max(0, two - 2 * one + self._special)


def render_line(label: str, kind: LineKind, text: str) -> str:
    """A line as the teacher hears it, with its label; a phrase without its full stop."""
    said = " ".join(text.split())
    template = TEMPLATES[kind]
    return template.format(label=" ".join(label.split()), text=said.rstrip(".") if template is PHRASE else said)


def token_counter_from_file(data: bytes, context: int, name: str) -> TokenCounter:
    """Counts by a `tokenizers` file (the bytes of a `tokenizer.json`). Raises ValueError for any other."""
    try:
        tokenizer = Tokenizer.from_buffer(data)
    except Exception as error:  # the library raises bare Exception for a file it cannot parse
        raise ValueError(f"the tokenizer of {name} is no tokenizers file: {error}") from error
    return _counting(tokenizer, context, name)


@cache
def clip_token_counter() -> TokenCounter:
    """CLIP's own byte pairs with its context of 77, or an estimate that says so."""
    found = find_spec("open_clip")  # looks for the folder, and loads nothing
    vocabulary = Path(found.origin).with_name("bpe_simple_vocab_16e6.txt.gz") if found and found.origin else None
    if vocabulary is None or not vocabulary.is_file():
        return TokenCounter(_estimated, CLIP_CONTEXT, f"an estimate (two tokens a word), context {CLIP_CONTEXT}")
    return _counting(_byte_pairs(vocabulary), CLIP_CONTEXT, f"CLIP's byte pairs, context {CLIP_CONTEXT}")


def _counting(tokenizer: Tokenizer, context: int, name: str) -> TokenCounter:
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return TokenCounter(lambda texts: [len(one.ids) for one in tokenizer.encode_batch(list(texts))], context, name)


def _estimated(texts: Sequence[str]) -> list[int]:
    return [2 * len(text.split()) + 3 for text in texts]


def _byte_pairs(path: Path) -> Tokenizer:
    """The tokenizer of github.com/openai/CLIP from its list of merges."""
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
