"""What a reader of attribute files finds: counts, warnings, and all faults of a file with their lines.

A reader reports each fault to a `Reading` and goes on. At its end `close` raises one `FormatError` with all of them; a
partial reading keeps what is valid and only counts what it left out.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from limbeck.shared.attribute_files.cleaning import UNUSUAL, clean_text, is_clean
from limbeck.shared.text import counted

MAX_FAULTS = 20
Path = tuple[str | int, ...]
"""Object keys and array indices from the root of a JSON document."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault. `line` counts from 1 (None: unknown); `file` names the file if there are two; `path` is for JSON."""

    detail: str
    line: int | None = None
    file: str = ""
    path: Path = ()

    def __str__(self) -> str:
        place = " ".join(part for part in (self.file, f"line {self.line}" if self.line else "") if part)
        return f"{place}: {self.detail}" if place else self.detail


class FormatError(ValueError):
    """An invalid file: its first faults, at most 20, and the number of all.

    `line`, `detail` and `file` are those of the first fault.
    """

    def __init__(
        self, detail: str | Sequence[Fault], *, line: int | None = None, file: str = "", num_faults: int = 0
    ) -> None:
        self.faults = (
            (Fault(detail=detail, line=line, file=file),) if isinstance(detail, str) else tuple(detail[:MAX_FAULTS])
        )
        self.num_faults = max(num_faults, len(self.faults))
        super().__init__("\n".join(self.summary()))
        first = self.faults[0]
        self.detail, self.line, self.file = first.detail, first.line, first.file

    def summary(self) -> list[str]:
        """The message: one line for one fault; for several their number, and one line for each of the first 20."""
        if self.num_faults == 1:
            return [str(self.faults[0])]
        shown = f"; the first {len(self.faults)}" if self.num_faults > len(self.faults) else ""
        return [f"{counted(self.num_faults, 'fault')}{shown}:", *(f"  {fault}" for fault in self.faults)]


@dataclass(kw_only=True)
class ReadReport:
    """What was read and changed. `normalized_*`: texts and labels that changed; `repeated_texts`: kept repetitions."""

    read_as: str = ""
    encoding: str = ""
    normalized_texts: int = 0
    normalized_labels: int = 0
    dropped_characters: int = 0
    empty_texts: int = 0
    repeated_texts: int = 0
    left_out: int = 0
    faults: list[Fault] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The report for a terminal: only what is not zero."""
        normalised = "with normalised white space or invisible characters"
        counts = (
            (self.normalized_texts, f"text {normalised}", f"texts {normalised}"),
            (self.normalized_labels, f"label {normalised}", f"labels {normalised}"),
            (self.dropped_characters, "character dropped", "characters dropped"),
            (self.empty_texts, "empty text dropped", "empty texts dropped"),
            (self.repeated_texts, "repeated text, which is kept", "repeated texts, which are kept"),
            (self.left_out, "fault, whose text or label is left out", "faults, whose texts or labels are left out"),
        )
        encoding = f" ({self.encoding})" if self.encoding not in ("", "UTF-8") else ""
        head = [f"read as {self.read_as}{encoding}"] if self.read_as else []
        found = [counted(number, noun, nouns) for number, noun, nouns in counts if number]
        faults = [f"left out: {fault}" for fault in self.faults]
        more = [f"left out: {self.left_out - len(faults):,} more"] if self.left_out > len(faults) else []
        return [*head, *found, *faults, *more, *(f"warning: {warning}" for warning in self.warnings)]


class Reading:
    """The state of one reading. `partial`: keep what is valid; otherwise `close` raises all faults.

    `locate` finds the line of a path in the JSON document that is read; `num_rows` are the lines of label2text.txt.
    """

    def __init__(self, *, partial: bool = False) -> None:
        self.partial = partial
        self.report = ReadReport()
        self.locate: Callable[[Path], int | None] | None = None
        self.num_rows = 0
        self._unusual: Counter[str] = Counter()

    def fault(self, detail: str, *, line: int | None = None, file: str = "", path: Path = ()) -> None:
        """Report a fault; the caller leaves the faulty item out."""
        self.report.left_out += 1
        if len(self.report.faults) < MAX_FAULTS:
            self.report.faults.append(Fault(detail=detail, line=line, file=file, path=path))

    def warn(self, warning: str) -> None:
        """Report what a person should look at; each warning once."""
        if warning not in self.report.warnings:
            self.report.warnings.append(warning)

    def text(self, raw: str) -> str:
        """The cleaned text; empty texts are counted."""
        text = self._clean(raw)
        self.report.normalized_texts += text != raw
        self.report.empty_texts += not text
        return text

    def field(self, raw: str) -> str:
        """A cleaned text of another field than the text of a line. It may be empty."""
        text = self._clean(raw)
        self.report.normalized_texts += text != raw
        return text

    def label(self, raw: str) -> str:
        """The cleaned name or sense of a label."""
        name = self._clean(raw)
        self.report.normalized_labels += name != raw
        return name

    def close(self) -> None:
        """Raise FormatError with all faults, unless the reading is partial; add lines to faults and warnings."""
        report = self.report
        if self.locate is not None:
            locate = self.locate
            report.faults = [
                replace(fault, line=locate(fault.path)) if fault.line is None and fault.path else fault
                for fault in report.faults
            ]
        if not any(fault.file for fault in report.faults):
            report.faults.sort(key=lambda fault: fault.line or 0)
        for category, number in self._unusual.items():
            self.warn(f"{number:,} {UNUSUAL[category]} dropped from texts or labels")
        self._unusual.clear()
        if report.faults and not self.partial:
            raise FormatError(report.faults, num_faults=report.left_out)

    def _clean(self, raw: str) -> str:
        if "\ufffd" in raw:
            self.warn("texts have replacement characters (U+FFFD): an earlier program decoded them wrongly")
        if is_clean(raw):
            return raw
        cleaned = clean_text(raw)
        for category, number in cleaned.removed.items():
            self.report.dropped_characters += number
            if category in UNUSUAL:
                self._unusual[category] += number
        return cleaned.text
