"""`python -m attributes labels.txt --domain birds --base-url URL --model NAME --out set.json`: describe a label list.

The key comes from LIMBECK_LLM_API_KEY, never from the command line, where others could read it. Each answer is kept
beside the out file as it arrives (`set.json.part`), so a run that was broken off, or in which labels failed, asks
only for what is missing when it is started again. Exit codes: 0 every label described, 1 some are missing, 2 bad
input, 130 interrupted.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, TextIO, TypeVar

from pydantic import SecretStr, ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from attributes.client import Enricher, FatalLLMError, LLMSettings, Outcome, Tally
from attributes.formats import FORMAT, VERSION, AttributeFile, FormatError, read_json, read_label_lines, write_json
from attributes.set_schema import EntryModel, SetModel
from attributes.strategy import DEFAULT_STRATEGY, Strategy, StrategyError, load_strategy
from attributes.types import Entry, Label, entry_from_json

T = TypeVar("T")
Identity = tuple[str, str]
_NAMED_FAILURES = 20
_KEY_HELP = "The API key, where the server wants one, comes from LIMBECK_LLM_API_KEY."


class BadInput(Exception):
    """What the user gave cannot be used; the message is the one line that they see."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadInput(message)


class OutFile:
    """The set on its way: what a former run left, and what this one adds, an answer a line, as it arrives."""

    def __init__(self, path: Path, *, domain: str, strategy: str, model: str) -> None:
        self.path = path
        self.part = path.with_name(path.name + ".part")
        self.asked_with = {"domain": domain, "strategy": strategy, "model": model}
        self.entries: dict[Identity, Entry] = {}
        self._journal: TextIO | None = None
        if path.exists():
            self._take(_as_input(path, read_json), path)
        if self.part.exists():
            self._take_part()

    def add(self, entry: Entry) -> None:
        """Keep an entry; it is on its way to the disk when this returns, and a killed process loses none."""
        if self._journal is None:
            self._journal = self.part.open("a", encoding="utf-8")
            if self._journal.tell() == 0:
                head = {"format": FORMAT, "version": VERSION, **self.asked_with}
                self._journal.write(json.dumps(head, ensure_ascii=False) + "\n")
        self._journal.write(json.dumps(entry.as_json(), ensure_ascii=False) + "\n")
        self._journal.flush()
        self.entries[_identity(entry.label, entry.sense)] = entry

    def finish(self, labels: Sequence[Label]) -> int:
        """Write the set in the order of the labels, then what it has beyond them; the number of those."""
        if self._journal is not None:
            self._journal.close()
        listed = [_identity(label.name, label.sense) for label in labels]
        beyond = [key for key in self.entries if key not in set(listed)]
        chosen = [self.entries[key] for key in listed + beyond if key in self.entries]
        fresh = self.path.with_name(self.path.name + ".new")
        with fresh.open("w", encoding="utf-8") as file:
            file.writelines(write_json(chosen, **self.asked_with))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)
        self.part.unlink(missing_ok=True)
        return len(beyond)

    def _take(self, file: AttributeFile, source: Path) -> None:
        for key, asked in self.asked_with.items():
            before = getattr(file, key)
            if before is not None and before != asked:
                raise BadInput(f"{source} was made with {key} {before!r}, not {asked!r}; give another --out")
        self.entries.update({_identity(entry.label, entry.sense): entry for entry in file.entries})

    def _take_part(self) -> None:
        *whole, _ = _read(self.part).split("\n")  # a run killed in mid-write leaves the last line without its end
        entries: list[Entry] = []
        for number, line in enumerate(whole, start=1):
            try:
                if number == 1:
                    asked_with = SetModel.model_validate({**json.loads(line), "entries": []})
                else:
                    entries.append(entry_from_json(EntryModel.model_validate_json(line).model_dump()))
            except (ValueError, TypeError):
                fault = f"line {number} is damaged; mend it, or move the file away to start from {self.path.name}"
                raise BadInput(f"{self.part}: {fault}") from None
        if whole:
            head = asked_with.model_dump(include=set(self.asked_with))
            self._take(AttributeFile(entries=entries, **head), self.part)
        self.part.write_text("".join(f"{line}\n" for line in whole), encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    try:
        asked = _arguments(argv)
        labels = _as_input(asked.labels, read_label_lines)
        strategy = load_strategy(asked.strategy)
        settings = _settings(asked)
        if not asked.out.parent.is_dir():
            raise BadInput(f"--out {asked.out}: there is no such folder")
        out = OutFile(asked.out, domain=asked.domain, strategy=strategy.ref, model=settings.model)
        return _describe(labels, settings, strategy, asked.domain, out)
    except (BadInput, StrategyError) as error:
        return _say(f"error: {error}", 2)


def _describe(labels: Sequence[Label], settings: LLMSettings, strategy: Strategy, domain: str, out: OutFile) -> int:
    missing = [label for label in labels if _identity(label.name, label.sense) not in out.entries]
    failures: list[Outcome] = []
    tally, fatal, interrupted = Tally(), "", False
    with _progress() as progress:
        task = progress.add_task("", total=len(labels), completed=len(labels) - len(missing), rate="", failed="")

        def keep(outcome: Outcome) -> None:
            if outcome.entry is not None:
                out.add(outcome.entry)
            elif outcome.reason != "stopped":
                failures.append(outcome)
            tally.add(outcome)
            if outcome.reason != "stopped":
                _show(progress, task, tally)

        try:
            asyncio.run(_ask(missing, settings, strategy, domain, keep))
        except FatalLLMError as error:
            fatal = error.message
        except KeyboardInterrupt:
            interrupted = True
    beyond = out.finish(labels) if out.entries else 0
    for outcome in failures[:_NAMED_FAILURES]:
        _say(f"failed: {outcome.label}: {outcome.reason}: {outcome.detail}", 1)
    if len(failures) > _NAMED_FAILURES:
        _say(f"failed: and {len(failures) - _NAMED_FAILURES} more", 1)
    kept = f"; {beyond} of them not in the label list, kept from before" if beyond else ""
    tokens = f"{tally.prompt_tokens:,} + {tally.completion_tokens:,} tokens"
    _say(f"{out.path}: {len(out.entries):,} entries{kept}; {tally.calls:,} calls, {tokens}", 0)
    if fatal:
        return _say(f"error: {fatal}", 1)
    if interrupted:
        return _say("interrupted; start again to go on", 130)
    return 1 if failures else 0


async def _ask(
    labels: Sequence[Label], settings: LLMSettings, strategy: Strategy, domain: str, keep: Callable[[Outcome], None]
) -> None:
    async with Enricher(settings, strategy, domain) as enricher:
        await enricher.describe_all(labels, on_outcome=keep)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    env = os.environ
    parser = _Parser(prog="python -m attributes", description="Describe a label list with an LLM.", epilog=_KEY_HELP)
    parser.add_argument("labels", type=Path, help="text file, a label a line; a sense may follow after a tab")
    parser.add_argument("--out", type=Path, required=True, help="attribute set to write, or to go on with")
    parser.add_argument("--domain", default="", help='what all labels are, such as "birds of North America"')
    parser.add_argument("--base-url", default=env.get("LIMBECK_LLM_BASE_URL", ""), help="OpenAI-compatible server")
    parser.add_argument("--model", default=env.get("LIMBECK_LLM_MODEL", ""), help="model to ask")
    parser.add_argument("--strategy", default=DEFAULT_STRATEGY, help="name@version, or a .toml file")
    for name in ("concurrency", "max_tokens", "max_attempts", "timeout_s", "temperature"):
        default = LLMSettings.model_fields[name].default
        parser.add_argument(f"--{name.replace('_', '-')}", default=default, help=f"default {default:g}")
    return parser.parse_args(argv)


def _settings(asked: argparse.Namespace) -> LLMSettings:
    if not asked.model:
        raise BadInput("--model is missing (or LIMBECK_LLM_MODEL)")
    given = {name: getattr(asked, name) for name in LLMSettings.model_fields if hasattr(asked, name)}
    try:
        return LLMSettings(**given, api_key=SecretStr(os.environ.get("LIMBECK_LLM_API_KEY", "")))
    except ValidationError as error:
        first = error.errors()[0]
        raise BadInput(f"--{str(first['loc'][0]).replace('_', '-')}: {first['msg']}") from None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"is not UTF-8 (byte {error.start})"
        raise BadInput(f"{path}: {reason}") from None


def _as_input(path: Path, read: Callable[[str], T]) -> T:
    try:
        return read(_read(path))
    except FormatError as error:
        raise BadInput(f"{path}: {error}") from None


def _identity(name: str, sense: str | None) -> Identity:
    return name.casefold(), (sense or "").casefold()


def _progress() -> Progress:
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    return Progress(*columns, TextColumn("{task.fields[failed]}"), console=Console(stderr=True))


def _show(progress: Progress, task: TaskID, tally: Tally) -> None:
    num_failed = tally.failed.total()
    seconds = progress.tasks[0].elapsed or 0.0
    rate = f"{(tally.done + num_failed) / seconds:.1f} labels/s" if seconds else ""
    progress.update(task, advance=1, rate=rate, failed=f"{num_failed} failed" if num_failed else "")


def _say(line: str, code: int) -> int:
    print(line, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
