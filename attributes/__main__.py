"""`python -m attributes labels.txt --domain birds --base-url URL --model NAME --out set.json`: describe a label list.

The key comes from LIMBECK_LLM_API_KEY, never from the command line, where others could read it. `--strategy` may be
given several times: `--strategy sentence --strategy phrases`. Each answer is kept beside the out file as it arrives
(`set.json.part`), so a run that was broken off, or in which questions failed, asks only for what is missing when it is
started again. Exit codes: 0 every question answered, 1 some are missing, 2 bad input, 130 interrupted.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from pydantic import SecretStr, ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from attributes.cli.output_file import InvalidInput, OutputFile, parse_file
from attributes.formats.label_lines import read_label_lines
from attributes.llm.client import FatalLLMError, LLMClient, LLMSettings, QueryTotals, QuestionResult
from attributes.llm.limits import Limiter, LocalLimiter
from attributes.llm.requests import cache_key_of
from attributes.prompts.questions import Question, questions_for_label
from attributes.prompts.strategy import DEFAULT_STRATEGY, Strategy, StrategyError, load_strategy
from attributes.types import Entry, Label

_NAMED_FAILURES = 20
_KEY_HELP = "The API key, where the server wants one, comes from LIMBECK_LLM_API_KEY."


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InvalidInput(message)


@dataclass(frozen=True, kw_only=True)
class _Job:
    """What to ask, whom, and how fast."""

    labels: Sequence[Label]
    strategies: Sequence[Strategy]
    domain: str
    settings: LLMSettings
    limiter: Limiter | None

    def asks(self, label: Label) -> list[Question]:
        return [ask for strategy in self.strategies for ask in questions_for_label(strategy, label, self.domain)]

    def keys(self, label: Label) -> list[str]:
        return [cache_key_of(ask, self.settings) for ask in self.asks(label)]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    try:
        asked = _arguments(argv)
        labels = parse_file(asked.labels, read_label_lines)
        strategies = _strategies(asked)
        settings = _settings(asked)
        job = _Job(
            labels=labels, strategies=strategies, domain=asked.domain, settings=settings, limiter=_limiter(asked)
        )
        if not asked.out.parent.is_dir():
            raise InvalidInput(f"--out {asked.out}: there is no such folder")
        refs = "+".join(strategy.ref for strategy in strategies)
        return _describe(job, OutputFile(asked.out, domain=asked.domain, strategy=refs, model=settings.model))
    except (InvalidInput, StrategyError) as error:
        return _say(f"error: {error}", 2)


def _describe(job: _Job, out: OutputFile) -> int:
    total = len(job.labels) * sum(strategy.num_questions for strategy in job.strategies)
    missing = sum(1 for _ in _missing(job, out))
    failures: list[QuestionResult] = []
    tally, fatal, interrupted = QueryTotals(), "", False
    with _progress() as progress:
        task = progress.add_task("", total=total, completed=total - missing, rate="", failed="")

        def keep(outcome: QuestionResult) -> None:
            label = outcome.question.label
            if outcome.reason is None:
                out.add(Entry(label.name, label.sense, outcome.lines, outcome.flags))
            elif outcome.reason != "stopped":
                failures.append(outcome)
            tally.add(outcome)
            if outcome.reason != "stopped":
                _show(progress, task, tally)

        try:
            asyncio.run(_ask(job, list(_missing(job, out)), keep))
        except FatalLLMError as error:
            fatal = error.message
        except KeyboardInterrupt:
            interrupted = True
    beyond = out.finish(job.labels, job.keys) if out.entries else 0
    _report(job, out, failures, tally, beyond)
    if fatal:
        return _say(f"error: {fatal}", 1)
    if interrupted:
        return _say("interrupted; start again to go on", 130)
    return 1 if failures else 0


def _missing(job: _Job, out: OutputFile) -> Iterator[Question]:
    return (ask for label in job.labels for ask in job.asks(label) if out.wants(label, cache_key_of(ask, job.settings)))


async def _ask(job: _Job, asks: Sequence[Question], keep: Callable[[QuestionResult], None]) -> None:
    async with LLMClient(job.settings, limiter=job.limiter) as enricher:
        await enricher.query_all(asks, on_result=keep)


def _report(job: _Job, out: OutputFile, failures: Sequence[QuestionResult], tally: QueryTotals, beyond: int) -> None:
    for outcome in failures[:_NAMED_FAILURES]:
        which = f" [{outcome.question.strategy.ref}]" if len(job.strategies) > 1 else ""
        _say(f"failed: {outcome.question.label}{which}: {outcome.reason}: {outcome.detail}", 1)
    if len(failures) > _NAMED_FAILURES:
        _say(f"failed: and {len(failures) - _NAMED_FAILURES} more", 1)
    kept = f"; {beyond} of them not in the label list, kept from before" if beyond else ""
    tokens = f"{tally.prompt_tokens:,} + {tally.completion_tokens:,} tokens"
    _say(f"{out.path}: {len(out.entries):,} entries{kept}; {tally.calls:,} calls, {tokens}", 0)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    env = os.environ
    parser = _Parser(prog="python -m attributes", description="Describe a label list with an LLM.", epilog=_KEY_HELP)
    parser.add_argument("labels", type=Path, help="text file, a label a line; a sense may follow after a tab")
    parser.add_argument("--out", type=Path, required=True, help="attribute set to write, or to go on with")
    parser.add_argument("--domain", default="", help='what all labels are, such as "birds of North America"')
    parser.add_argument("--base-url", default=env.get("LIMBECK_LLM_BASE_URL", ""), help="OpenAI-compatible server")
    parser.add_argument("--model", default=env.get("LIMBECK_LLM_MODEL", ""), help="model to ask")
    parser.add_argument("--strategy", action="append", help="name, name@version, or a .toml file; may be repeated")
    folder = env.get("LIMBECK_STRATEGIES_DIR")
    parser.add_argument("--strategies-dir", type=Path, default=folder, help="folder of strategies of your own")
    parser.add_argument("--rpm", type=int, help="requests a minute at most")
    parser.add_argument("--tpm", type=int, help="tokens a minute at most")
    for name in ("concurrency", "max_tokens", "max_attempts", "timeout_s", "temperature"):
        default = LLMSettings.model_fields[name].default
        parser.add_argument(f"--{name.replace('_', '-')}", default=default, help=f"default {default:g}")
    return parser.parse_args(argv)


def _strategies(asked: argparse.Namespace) -> list[Strategy]:
    chosen = [load_strategy(ref, asked.strategies_dir) for ref in asked.strategy or [DEFAULT_STRATEGY]]
    for strategy in chosen:
        if strategy.about != "label":
            said = f"asks about {strategy.about}s; here only those about labels can be asked, the service asks all"
            raise InvalidInput(f"--strategy {strategy.ref} {said}")
    if len({strategy.ref for strategy in chosen}) < len(chosen):
        raise InvalidInput("--strategy: the same one is given twice")
    return chosen


def _limiter(asked: argparse.Namespace) -> Limiter | None:
    for name in ("rpm", "tpm"):
        if getattr(asked, name) is not None and getattr(asked, name) < 1:
            raise InvalidInput(f"--{name} must be 1 or more; leave it out for no limit")
    if asked.rpm is None and asked.tpm is None:
        return None
    return LocalLimiter(requests_per_min=asked.rpm, tokens_per_min=asked.tpm)


def _settings(asked: argparse.Namespace) -> LLMSettings:
    if not asked.model:
        raise InvalidInput("--model is missing (or LIMBECK_LLM_MODEL)")
    given = {name: getattr(asked, name) for name in LLMSettings.model_fields if hasattr(asked, name)}
    try:
        return LLMSettings(**given, api_key=SecretStr(os.environ.get("LIMBECK_LLM_API_KEY", "")))
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidInput(f"--{str(first['loc'][0]).replace('_', '-')}: {first['msg']}") from None


def _progress() -> Progress:
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    return Progress(*columns, TextColumn("{task.fields[failed]}"), console=Console(stderr=True))


def _show(progress: Progress, task: TaskID, tally: QueryTotals) -> None:
    num_failed = tally.failed.total()
    seconds = progress.tasks[0].elapsed or 0.0
    rate = f"{(tally.done + num_failed) / seconds:.1f} answers/s" if seconds else ""
    progress.update(task, advance=1, rate=rate, failed=f"{num_failed} failed" if num_failed else "")


def _say(line: str, code: int) -> int:
    print(line, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
