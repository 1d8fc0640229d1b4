"""The criteria of an evaluation: thresholds, token counter, word lists, text margins and a second opinion."""

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from attributes.gates.margins import Margins
from attributes.gates.token_lengths import TokenCounter, clip_token_counter
from attributes.gates.types import Thresholds
from attributes.gates.words.word_lists import PhraseIndex, read_word_lists
from attributes.languages import language_code

NONVISUAL = Path(__file__).parent / "words" / "nonvisual.txt"
COMPARATIVES = Path(__file__).parent / "words" / "comparatives.txt"
EVALUATION_VERSION = 2  # increase it when a gate finds something else in the same set: old reports are then not reused


@dataclass(frozen=True, kw_only=True)
class WordLists:
    """The word lists in use, their name in a report, and a digest of their files."""

    nonvisual: PhraseIndex
    comparatives: PhraseIndex
    name: str
    digest: str


def load_word_lists(extra: Sequence[Path] = ()) -> WordLists:
    """The built-in lists, with a user's files added to the list of non-visual words. Raises WordListError."""
    name = " and ".join(["our word list", *(f'"{path.name}"' for path in extra)])
    nonvisual, comparatives = read_word_lists([NONVISUAL, *extra]), read_word_lists([COMPARATIVES])
    digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in (NONVISUAL, COMPARATIVES, *extra))).hexdigest()
    return WordLists(nonvisual=nonvisual, comparatives=comparatives, name=name, digest=digest)


@dataclass(frozen=True, kw_only=True)
class GateCriteria:
    """What the gates evaluate a set against.

    `margins` are a teacher's text margins; without them the gate `margin` is not measured. `visible_texts` are texts
    that the LLM `judge_model` calls visible; the gate `nonvisual` accepts them although the word list matches.
    `language` is the language of all lines (`de`, `German`); None: the language of each line is detected.
    """

    thresholds: Thresholds = field(default_factory=Thresholds)
    token_counter: TokenCounter = field(default_factory=clip_token_counter)
    word_lists: WordLists = field(default_factory=load_word_lists)
    margins: Margins | None = None
    visible_texts: Collection[str] = ()
    judge_model: str = ""
    language: str | None = None

    @property
    def digest(self) -> str:
        """Criteria with equal digests give equal reports on the same set, apart from margins and second opinion."""
        lists, language = self.word_lists.digest, self.language and language_code(self.language)
        hashed = (EVALUATION_VERSION, asdict(self.thresholds), self.token_counter.name, lists, language)
        return hashlib.sha256(json.dumps(hashed, sort_keys=True).encode()).hexdigest()
