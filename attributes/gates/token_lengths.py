"""Token counts of lines as rendered for a teacher, without torch.

The teacher's tokenizer is a Hugging Face `tokenizers` file; workers store one for every teacher that they load. Without
a teacher, texts are counted with CLIP's byte-pair vocabulary (`limbeck.shared.clip_tokenizer`).
"""

from collections.abc import Callable, Sequence
from functools import cache, cached_property

from tokenizers import Tokenizer

from limbeck.shared.clip_tokenizer import CONTEXT_LENGTH, clean_text, clip_merges, clip_tokenizer

_RESERVED = 8  # special tokens, and characters that a normaliser can put before the first word


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


def token_counter_from_file(data: bytes, context: int, name: str) -> TokenCounter:
    """A counter from the bytes of a `tokenizer.json` (`tokenizers`). Raises ValueError if they cannot be parsed."""
    try:
        tokenizer = Tokenizer.from_buffer(data)
    except Exception as error:  # the library raises bare Exception for a file it cannot parse
        raise ValueError(f"the tokenizer of {name} is not a tokenizers file: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return TokenCounter(lambda texts: _num_tokens(tokenizer, texts), context, name)


@cache
def clip_token_counter() -> TokenCounter:
    """CLIP's byte-pair tokenizer with its context of 77 tokens; counts as open_clip does."""
    tokenizer = clip_tokenizer(clip_merges(), clean=None)
    return TokenCounter(
        lambda texts: _num_tokens(tokenizer, [clean_text(text) for text in texts]),
        CONTEXT_LENGTH,
        f"CLIP's byte pairs, context {CONTEXT_LENGTH}",
    )


def _num_tokens(tokenizer: Tokenizer, texts: Sequence[str]) -> list[int]:
    return [len(encoding.ids) for encoding in tokenizer.encode_batch(list(texts))]
