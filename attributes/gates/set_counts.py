"""First pass over a set: shared lines and attributes, near-duplicate labels, and texts beyond the token limit.

The second pass (`attributes.gates.violations`) reads these counts line by line, in the order in which they were added.
"""

from array import array

from attributes.gates.criteria import GateCriteria
from attributes.gates.label_names import name_words, without_name
from attributes.gates.near_duplicates import NearDuplicate, NearDuplicateFinder
from attributes.gates.shared_attributes import SharedCounts, SharingCounter, attributes_of
from attributes.gates.words.languages import LanguageDetector, LineLanguages
from attributes.gates.words.lemmas import hyphenated_words
from attributes.types import Entry, Label
from limbeck.shared.templates import render_line

_TOKEN_BATCH = 4096  # texts that are tokenized at once


class SetCounts:
    """Counts over all labels of a set. Call `add` for every entry in order, then `finish`.

    After `finish`: `verbatim` counts lines by text and `by_meaning` attributes by meaning; `attributes_per_line` holds
    the number of attributes of each line; `near_duplicates` maps label positions to the nearest label; `too_long` maps
    label positions to (line index, tokens) of the lines beyond the token limit; `languages` has the language of each
    line.
    """

    verbatim: SharedCounts
    by_meaning: SharedCounts
    attributes_per_line: "array[int]"
    near_duplicates: dict[int, NearDuplicate]
    languages: LineLanguages

    def __init__(self, criteria: GateCriteria) -> None:
        self.labels: list[Label] = []
        self.num_lines = 0
        self.too_long: dict[int, list[tuple[int, int]]] = {}
        self._token_counter = criteria.token_counter
        self._rendered: list[tuple[int, int, str]] = []  # (label position, line index, rendered text)
        self._sharing = SharingCounter()
        self._detector = LanguageDetector(criteria.language)
        self._finder = NearDuplicateFinder(criteria.thresholds.twin)

    def add(self, position: int, entry: Entry) -> None:
        """Add the lines of the label at `position`."""
        self.labels.append(Label(entry.label, entry.sense))
        self.num_lines += len(entry.lines)
        own_name = name_words(entry.label)
        texts = [without_name(line.text, own_name)[0] for line in entry.lines]
        self._detector.add(texts)
        for index, (line, text) in enumerate(zip(entry.lines, texts, strict=True)):
            self._sharing.add(position, line, list(attributes_of(line, text)))
            self._rendered.append((position, index, render_line(entry.label, line.kind, line.text)))
        # The label's name is removed as written: two labels whose texts differ only by their names are duplicates.
        text = "\n".join(line.text for line in entry.lines).casefold()
        self._finder.add(position, set(hyphenated_words(_without_written_name(text, entry.label.casefold()))))
        if len(self._rendered) >= _TOKEN_BATCH:
            self._count_tokens()

    def finish(self) -> None:
        """Compute the counts. No entry can be added afterwards."""
        self._count_tokens()
        self.languages = self._detector.finish()
        self.verbatim = self._sharing.verbatim()
        self.by_meaning = self._sharing.by_meaning()
        self.attributes_per_line = self._sharing.attributes_per_line
        del self._sharing  # free each large structure before building the next: peak memory at 100,000 labels
        self.near_duplicates = self._finder.find()
        del self._finder

    def _count_tokens(self) -> None:
        for place, num_tokens in self._token_counter.too_long([text for _, _, text in self._rendered]):
            position, index, _ = self._rendered[place]
            self.too_long.setdefault(position, []).append((index, num_tokens))
        self._rendered.clear()


def _without_written_name(text: str, name: str) -> str:
    """The text without every occurrence of the name that is not part of a longer word."""
    start = text.find(name) if name else -1
    while start >= 0:
        stop = start + len(name)
        if not (text[start - 1 : start].isalnum() or text[stop : stop + 1].isalnum()):
            text, stop = f"{text[:start]} {text[stop:]}", start
        start = text.find(name, stop)
    return text
