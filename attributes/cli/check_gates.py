"""`python -m attributes.cli.check_gates set.json`: the gates over any file of attributes, and what offends.

    python -m attributes.cli.check_gates descriptors.json                       our own JSON, DCLIP's, CuPL's, or CSV
    python -m attributes.cli.check_gates --label2text label2text.txt --sentences chatgpt.txt
    python -m attributes.cli.check_gates set.json --json > report.json          --html report.html for people

Files of words that no picture shows can be added (`--words`, LIMBECK_NONVISUAL_WORDS); `--second-opinion MODEL` lets an
LLM (LIMBECK_LLM_BASE_URL, LIMBECK_LLM_API_KEY) look at what the list found. Exit codes: 0 every gate holds, 1 some gate
fails, 2 bad input. The same as `limbeck attributes check`.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from pydantic import SecretStr, ValidationError

from attributes.cli.output_file import InvalidInput, parse_file
from attributes.formats.common import FormatError
from attributes.formats.csv import read_csv
from attributes.formats.cupl import read_cupl
from attributes.formats.dclip import read_dclip
from attributes.formats.label2text import join_sentences, read_label2text
from attributes.formats.limbeck_json import read_json
from attributes.gates.criteria import GateCriteria, load_word_lists
from attributes.gates.evaluate import evaluate_gates
from attributes.gates.html_report import render_html
from attributes.gates.text_report import print_report
from attributes.gates.token_lengths import TokenCounter, clip_token_counter, token_counter_from_file
from attributes.gates.types import Violation
from attributes.gates.word_lists import WordListError
from attributes.text import num_words
from attributes.types import Entry, Label

FORMATS = ("auto", "json", "dclip", "cupl", "csv")
WORDS_VARIABLE = "LIMBECK_NONVISUAL_WORDS"
_SENTENCE_WORDS = 8  # lists of strings that are longer than this in the middle are sentences


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """What to check, and how. `file`, or `label2text` with `sentences`; `tokenizer` and `context` are a teacher's."""

    file: Path | None = None
    format: str = "auto"
    label2text: Path | None = None
    sentences: Path | None = None
    words: Sequence[Path] = ()
    tokenizer: Path | None = None
    context: int = 77
    second_opinion: str = ""
    json: bool = False
    html: Path | None = None
    worst: int = 5


def check_file(asked: CheckOptions) -> int:
    """Check a file, print or write the report; the exit code. Raises BadInput."""
    name, entries = read_entries(asked)
    judges = _judges(asked)
    if asked.second_opinion:
        judges = _with_opinion(entries, judges, asked.second_opinion)
    report = evaluate_gates(lambda: entries, judges)
    if asked.html is not None:
        _write(asked.html, render_html(name, report))
    if asked.json:
        print(json.dumps({"file": name, **report.as_json()}, ensure_ascii=False, indent=2))
    else:
        print_report(name, report, worst=asked.worst)
    return 0 if report.holds else 1


def read_entries(asked: CheckOptions) -> tuple[str, list[Entry]]:
    """What the file is called, and its entries. Raises BadInput."""
    if asked.format not in FORMATS:
        raise InvalidInput(f"--format {asked.format!r}: choose {', '.join(FORMATS)}")
    both = asked.label2text is not None and asked.sentences is not None
    if asked.file is not None and asked.label2text is None and asked.sentences is None:
        return asked.file.name, parse_file(asked.file, lambda text: parse_entries(text, asked.format))
    if asked.file is not None or not both or asked.label2text is None or asked.sentences is None:
        raise InvalidInput("give FILE, or both --label2text and --sentences")
    rows = parse_file(asked.label2text, read_label2text)
    return asked.sentences.name, parse_file(asked.sentences, lambda text: join_sentences(rows, text))


def parse_entries(text: str, format: str = "auto") -> list[Entry]:
    """The entries of a file in this format, or in the one that it looks like. Raises FormatError."""
    readers: dict[str, Callable[[str], list[Entry]]] = {
        "json": lambda text: read_json(text).entries,
        "dclip": read_dclip,
        "cupl": read_cupl,
        "csv": read_csv,
    }
    entries = readers[format if format != "auto" else _looks_like(text)](text)
    if not entries:
        raise FormatError("holds no label")
    return entries


def _looks_like(text: str) -> str:
    if not text.lstrip("\ufeff \t\r\n").startswith(("{", "[")):
        return "csv"
    try:
        data = json.loads(text.removeprefix("\ufeff"))
    except ValueError:
        return "json"  # whose reader says where it is broken
    if not isinstance(data, dict) or "entries" in data or "format" in data:
        return "json"
    said = [one for texts in data.values() if isinstance(texts, list) for one in texts if isinstance(one, str)]
    lengths = sorted(map(num_words, said))
    return "cupl" if lengths and lengths[len(lengths) // 2] > _SENTENCE_WORDS else "dclip"


def _judges(asked: CheckOptions) -> GateCriteria:
    extra = [*asked.words, *(Path(path) for path in os.environ.get(WORDS_VARIABLE, "").split(os.pathsep) if path)]
    try:
        return GateCriteria(word_lists=load_word_lists(extra), token_counter=_tokens(asked))
    except WordListError as error:
        raise InvalidInput(str(error)) from None


def _tokens(asked: CheckOptions) -> TokenCounter:
    if asked.tokenizer is None:
        return clip_token_counter()
    if asked.context < 1:
        raise InvalidInput(f"--context {asked.context}: a teacher reads at least one token")
    try:
        name = f"{asked.tokenizer.name}, context {asked.context}"
        return token_counter_from_file(asked.tokenizer.read_bytes(), asked.context, name)
    except OSError as error:
        raise InvalidInput(f"{asked.tokenizer}: {error.strerror}") from None
    except ValueError as error:
        raise InvalidInput(f"--tokenizer: {error}") from None


def _with_opinion(entries: Sequence[Entry], judges: GateCriteria, model: str) -> GateCriteria:
    """The judges with what an LLM says of the lines that the word list finds."""
    from attributes.gates.second_opinion import SecondOpinion
    from attributes.llm.client import FatalLLMError, LLMClient, LLMSettings

    try:
        settings = LLMSettings(
            base_url=os.environ.get("LIMBECK_LLM_BASE_URL", ""),
            model=model,
            api_key=SecretStr(os.environ.get("LIMBECK_LLM_API_KEY", "")),
        )
    except ValidationError as error:
        raise InvalidInput(f"LIMBECK_LLM_BASE_URL: {error.errors()[0]['msg']}") from None
    found: dict[Label, list[str]] = {}

    def note(offence: Violation) -> None:
        if offence.gate == "nonvisual":
            entry = entries[offence.position]
            found[Label(entry.label, entry.sense)] = [line.text for line in offence.lines]

    evaluate_gates(lambda: entries, judges, on_violation=note)
    opinion = SecondOpinion()

    async def ask() -> None:
        async with LLMClient(settings) as enricher:
            await enricher.query_all(list(opinion.questions(found)), on_result=opinion.add_result)

    try:
        asyncio.run(ask())
    except FatalLLMError as error:
        raise InvalidInput(f"--second-opinion: {error.message}") from None
    for outcome in opinion.failed:
        print(f"no second opinion on {outcome.question.label}: {outcome.reason}: {outcome.detail}", file=sys.stderr)
    return replace(judges, visible_texts=frozenset(opinion.visible_texts), judge_model=model)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}") from None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InvalidInput(message)


def _arguments(argv: Sequence[str] | None) -> CheckOptions:
    parser = _Parser(prog="python -m attributes.cli.check_gates", description="The gates over a file of attributes.")
    options: dict[str, dict[str, Any]] = {
        "--format": {"default": "auto", "help": f"one of {', '.join(FORMATS)}"},
        "--label2text": {"type": Path, "help": "in place of FILE: `folder number label` a line"},
        "--sentences": {"type": Path, "help": "with --label2text: a sentence a line, in the same order"},
        "--words": {"type": Path, "action": "append", "default": [], "help": "more words that no picture shows"},
        "--tokenizer": {"type": Path, "help": "a teacher's tokenizer.json; CLIP's if left out"},
        "--context": {"type": int, "default": 77, "help": "how many tokens that teacher reads"},
        "--second-opinion": {"metavar": "MODEL", "default": "", "help": "let an LLM look at what the words found"},
        "--json": {"action": "store_true", "help": "the report as JSON"},
        "--html": {"type": Path, "help": "write the report as a page, too"},
        "--worst": {"type": int, "default": 5, "help": "offenders to print for each gate that fails"},
    }
    parser.add_argument("file", type=Path, nargs="?", help="our own JSON, DCLIP's, CuPL's, or CSV")
    for name, settings in options.items():
        parser.add_argument(name, **settings)
    return CheckOptions(**vars(parser.parse_args(argv)))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    try:
        return check_file(_arguments(argv))
    except InvalidInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
