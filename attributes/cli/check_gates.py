"""Evaluate the quality gates on a file of attributes, and print or write the report.

    python -m attributes.cli.check_gates descriptors.json          any format of `attributes.formats`
    python -m attributes.cli.check_gates --label2text label2text.txt --sentences chatgpt.txt
    python -m attributes.cli.check_gates set.json --json > report.json
    python -m attributes.cli.check_gates set.json --html report.html

`--words` and LIMBECK_NONVISUAL_WORDS add files of non-visual words. `--second-opinion MODEL` lets an LLM
(LIMBECK_LLM_BASE_URL, LIMBECK_LLM_API_KEY) review the lines with non-visual words. Gates with English word lists judge
English lines only; `--language` states the language of the lines, which is detected otherwise. Exit codes: 0 no gate
fails, 1 a gate fails, 2 invalid input. `limbeck attributes check` is the same program.
"""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from attributes.cli.input_files import InputParser, InvalidInput, parse_bytes
from attributes.cli.llm_settings import llm_settings
from attributes.formats.common import Reading
from attributes.formats.label2text import join_sentences, read_label2text
from attributes.formats.registry import parse_entries
from attributes.gates.criteria import GateCriteria, load_word_lists
from attributes.gates.evaluate import evaluate_gates
from attributes.gates.reports.html_report import render_html
from attributes.gates.token_lengths import TokenCounter, clip_token_counter, token_counter_from_file
from attributes.gates.types import Violation
from attributes.gates.words.word_lists import WordListError
from attributes.types import Entry, Label
from limbeck.shared.attribute_files.decoding import decode
from limbeck.shared.format_names import DOCUMENT_FORMATS, DocumentFormat
from limbeck.shared.gate_report import print_report

WORDS_VARIABLE = "LIMBECK_NONVISUAL_WORDS"


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """The input, `file` or `label2text` with `sentences`, and the options of the check.

    `partial`: check what is valid of a file with faults. `tokenizer` is the tokenizer.json of a teacher (CLIP's if
    None), `context` its maximum number of tokens, `worst` the number of violations to print per failing gate.
    """

    file: Path | None = None
    format: str = "auto"
    label2text: Path | None = None
    sentences: Path | None = None
    partial: bool = False
    words: Sequence[Path] = ()
    tokenizer: Path | None = None
    context: int = 77
    second_opinion: str = ""
    language: str = ""
    json: bool = False
    html: Path | None = None
    worst: int = 5


def check_file(options: CheckOptions) -> int:
    """Evaluate the gates on a file, print and write the report. Returns the exit code. Raises InvalidInput."""
    reading = Reading(partial=options.partial)
    name, entries = read_entries(options, reading)
    criteria = _criteria(options)
    if options.second_opinion:
        criteria = _with_second_opinion(entries, criteria, options.second_opinion)
    report = evaluate_gates(lambda: entries, criteria)
    if options.html is not None:
        _write(options.html, render_html(name, report))
    if options.json:
        print(json.dumps({"file": name, **report.as_json()}, ensure_ascii=False, indent=2))
    else:
        print_report(name, report, report.results, worst=options.worst)
    for line in reading.report.lines():
        print(line, file=sys.stderr)
    return 0 if report.holds else 1


def read_entries(options: CheckOptions, reading: Reading) -> tuple[str, list[Entry]]:
    """The name of the file, and its entries. Raises InvalidInput."""
    format = _format_named(options.format)
    match options.file, options.label2text, options.sentences:
        case Path() as file, None, None:
            return file.name, parse_bytes(file, lambda content: parse_entries(content, format, reading))
        case None, Path() as label2text, Path() as sentences:
            rows = parse_bytes(label2text, lambda content: read_label2text(decode(content)[0], reading))
            joined = parse_bytes(sentences, lambda content: join_sentences(rows, decode(content)[0], reading))
            return sentences.name, joined
    raise InvalidInput("give FILE, or both --label2text and --sentences")


def _format_named(name: str) -> DocumentFormat | None:
    """The format; None for `auto`. Raises InvalidInput."""
    if name == "auto":
        return None
    for format in DOCUMENT_FORMATS:
        if name == format:
            return format
    raise InvalidInput(f"--format {name!r}: choose auto, {', '.join(DOCUMENT_FORMATS)}")


def _criteria(options: CheckOptions) -> GateCriteria:
    word_files = [Path(path) for path in os.environ.get(WORDS_VARIABLE, "").split(os.pathsep) if path]
    try:
        lists = load_word_lists([*options.words, *word_files])
        language = options.language or None
        return GateCriteria(word_lists=lists, token_counter=_token_counter(options), language=language)
    except WordListError as error:
        raise InvalidInput(str(error)) from None


def _token_counter(options: CheckOptions) -> TokenCounter:
    if options.tokenizer is None:
        return clip_token_counter()
    if options.context < 1:
        raise InvalidInput(f"--context {options.context}: a teacher has a context of at least one token")
    try:
        name = f"{options.tokenizer.name}, context {options.context}"
        return token_counter_from_file(options.tokenizer.read_bytes(), options.context, name)
    except OSError as error:
        raise InvalidInput(f"{options.tokenizer}: {error.strerror}") from None
    except ValueError as error:
        raise InvalidInput(f"--tokenizer: {error}") from None


def _with_second_opinion(entries: Sequence[Entry], criteria: GateCriteria, model: str) -> GateCriteria:
    """The criteria with the verdicts of an LLM on the lines that the word lists find. Raises InvalidInput."""
    from attributes.gates.second_opinion import SecondOpinion
    from attributes.llm.client import FatalLLMError, LLMClient

    settings = llm_settings(model=model)
    found = _lines_with_nonvisual_words(entries, criteria)
    opinion = SecondOpinion()

    async def query() -> None:
        async with LLMClient(settings) as client:
            await client.query_all(list(opinion.questions(found)), on_result=opinion.add_result)

    try:
        asyncio.run(query())
    except FatalLLMError as error:
        raise InvalidInput(f"--second-opinion: {error.message}") from None
    for result in opinion.failed:
        print(f"no second opinion on {result.question.label}: {result.reason}: {result.detail}", file=sys.stderr)
    return replace(criteria, visible_texts=frozenset(opinion.visible_texts), judge_model=model)


def _lines_with_nonvisual_words(entries: Sequence[Entry], criteria: GateCriteria) -> dict[Label, list[str]]:
    found: dict[Label, list[str]] = {}

    def on_violation(violation: Violation) -> None:
        if violation.gate == "nonvisual":
            entry = entries[violation.position]
            found[Label(entry.label, entry.sense)] = [line.text for line in violation.lines]

    evaluate_gates(lambda: entries, criteria, on_violation=on_violation)
    return found


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}") from None


def _parse_options(argv: Sequence[str] | None) -> CheckOptions:
    parser = InputParser(
        prog="python -m attributes.cli.check_gates", description="Evaluate the quality gates on a file of attributes."
    )
    add = parser.add_argument
    add("file", type=Path, nargs="?", help="a file of attributes")
    add("--format", default="auto", help=f"format of FILE: auto, {', '.join(DOCUMENT_FORMATS)}")
    add("--label2text", type=Path, help="instead of FILE: one `folder number label` per line")
    add("--sentences", type=Path, help="with --label2text: one sentence per line, in the same order")
    add("--partial", action="store_true", help="check what is valid of a file with faults")
    add("--words", type=Path, action="append", default=[], help="a file with more non-visual words; repeatable")
    add("--tokenizer", type=Path, help="a teacher's tokenizer.json; CLIP's by default")
    add("--context", type=int, default=77, help="token limit of the teacher")
    add("--second-opinion", metavar="MODEL", default="", help="let an LLM review the lines with non-visual words")
    add("--language", default="", help="language of the lines, such as de or German; detected by default")
    add("--json", action="store_true", help="print the report as JSON")
    add("--html", type=Path, help="also write the report as an HTML page to this file")
    add("--worst", type=int, default=5, help="violations to print per failing gate")
    return CheckOptions(**vars(parser.parse_args(argv)))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns the exit code."""
    try:
        return check_file(_parse_options(argv))
    except InvalidInput as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
