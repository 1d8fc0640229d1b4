"""Describe a list of labels with an LLM.

    python -m attributes labels.txt --domain birds --base-url URL --model NAME --out set.json

The API key is read from LIMBECK_LLM_API_KEY, extra HTTP headers from LIMBECK_LLM_HEADERS (a JSON object), and a proxy
from LIMBECK_LLM_PROXY, not from options, because other users can see command lines. With `--api-version` the base URL
is the endpoint of an Azure OpenAI resource, and the model is the name of a deployment. Repeat `--strategy` for several
strategies: `--strategy sentence --strategy phrases`. Each result is appended to a journal (`set.json.part`) as it
arrives, so after an interruption or failed questions, the same command sends only the missing questions. Exit codes: 0
all questions answered, 1 the server refuses every call or is away, 2 invalid input, 3 some answers missing, 130
interrupted.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from attributes.cli.failure_summary import failure_lines, remedy
from attributes.cli.input_files import InputParser, InvalidInput, read_labels, read_text
from attributes.cli.llm_settings import llm_settings, variable
from attributes.cli.output_file import OutputFile
from attributes.languages import language_fault
from attributes.llm.client import FatalLLMError, LLMClient, LLMSettings, QueryTotals, QuestionResult
from attributes.llm.limits import Limiter, LocalLimiter
from attributes.llm.requests import cache_key_of
from attributes.prompts.customize import customize, system_prompt_fault
from attributes.prompts.questions import Question, questions_for_label
from attributes.prompts.strategy import DEFAULT_STRATEGY, Strategy, StrategyError, load_strategy
from attributes.types import Entry, Label
from limbeck.shared.exit_codes import FAILED, INTERRUPTED, INVALID_INPUT, LABELS_MISSING
from limbeck.shared.labels import domain_fault, normalize

_KEY_HELP = (
    "The API key is read from LIMBECK_LLM_API_KEY, if the server needs one, "
    "extra HTTP headers from LIMBECK_LLM_HEADERS (a JSON object), and a proxy from LIMBECK_LLM_PROXY."
)
# Options without a default: the variable applies, else the default of the settings.
_OPTIONAL: Mapping[str, str] = {
    "top_p": "nucleus sampling",
    "seed": "seed of the sampling",
    "reasoning_effort": "how much a model thinks: minimal, low, medium, high",
    "extra_body": "JSON object of further request parameters; null removes one",
    "ca_file": "file of CA certificates (PEM) for the server",
    "outage_limit_s": "how long the server may be away before the run ends, default 600",
    "max_reasoning_tokens": "by how much the token limit may grow for a model that thinks, default 8192",
}


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """The questions to send: labels, strategies, LLM settings and rate limits."""

    labels: Sequence[Label]
    strategies: Sequence[Strategy]
    domain: str
    settings: LLMSettings
    limiter: Limiter | None

    def questions(self, label: Label) -> list[Question]:
        return [
            question for strategy in self.strategies for question in questions_for_label(strategy, label, self.domain)
        ]

    def keys(self, label: Label) -> list[str]:
        """The cache keys of the questions about a label, in order."""
        return [cache_key_of(question, self.settings) for question in self.questions(label)]

    def missing(self, out: OutputFile) -> list[Question]:
        """The questions that have no lines in `out`."""
        return [
            question
            for label in self.labels
            for question in self.questions(label)
            if out.is_missing(label, cache_key_of(question, self.settings))
        ]


@dataclass
class _ResultRecorder:
    """Writes results to the output file, and shows the progress."""

    out: OutputFile
    progress: Progress
    task: TaskID
    totals: QueryTotals = field(default_factory=QueryTotals)
    failures: list[QuestionResult] = field(default_factory=list)

    def on_result(self, result: QuestionResult) -> None:
        label = result.question.label
        self.totals.add(result)
        if result.reason == "stopped":
            return
        if result.reason is None:
            self.out.add(Entry(label.name, label.sense, result.lines, result.flags))
        else:
            self.failures.append(result)
        self._show_progress()

    def _show_progress(self) -> None:
        num_failed = self.totals.failed.total()
        seconds = self.progress.tasks[0].elapsed or 0.0
        rate = f"{(self.totals.done + num_failed) / seconds:.1f} results/s" if seconds else ""
        self.progress.update(self.task, advance=1, rate=rate, failed=f"{num_failed} failed" if num_failed else "")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns the exit code."""
    try:
        arguments = _parse_arguments(argv)
        labels, report = read_labels(arguments.labels)
        plan = _Plan(
            labels=labels,
            strategies=_strategies(arguments),
            domain=_domain(arguments),
            settings=_settings(arguments),
            limiter=_limiter(arguments),
        )
        if not arguments.out.parent.is_dir():
            raise InvalidInput(f"--out {arguments.out}: the folder does not exist")
        refs = "+".join(strategy.ref for strategy in plan.strategies)
        out = OutputFile(arguments.out, domain=plan.domain, strategy=refs, model=plan.settings.model)
        _print_error(f"{arguments.labels}: {report}")
        return _describe(plan, out)
    except (InvalidInput, StrategyError) as error:
        _print_error(f"error: {error}")
        return INVALID_INPUT


def _describe(plan: _Plan, out: OutputFile) -> int:
    """Send the missing questions, write the output file and print a summary. Returns the exit code."""
    total = len(plan.labels) * sum(strategy.num_questions for strategy in plan.strategies)
    missing = plan.missing(out)
    fatal_error: FatalLLMError | None = None
    is_interrupted = False
    with _progress_bar() as progress:
        task = progress.add_task("", total=total, completed=total - len(missing), rate="", failed="")
        recorder = _ResultRecorder(out, progress, task)
        try:
            asyncio.run(_query(plan, missing, recorder.on_result))
        except FatalLLMError as error:
            fatal_error = error
        except KeyboardInterrupt:
            is_interrupted = True
    num_others = out.finish(plan.labels, plan.keys) if out.entries else 0
    _print_summary(plan, recorder, num_others)
    if fatal_error is not None:
        _print_error(f"error: {fatal_error.message}")
        _print_error(f"  remedy: {remedy(fatal_error.code)}")
        return FAILED
    if is_interrupted:
        _print_error("interrupted; run the same command again to continue")
        return INTERRUPTED
    return LABELS_MISSING if recorder.failures else 0


async def _query(plan: _Plan, questions: Sequence[Question], on_result: Callable[[QuestionResult], None]) -> None:
    async with LLMClient(plan.settings, limiter=plan.limiter, on_outage=_print_error) as client:
        await client.query_all(questions, on_result=on_result)


def _print_summary(plan: _Plan, recorder: _ResultRecorder, num_others: int) -> None:
    """`num_others`: the number of entries whose label is not in the list."""
    for line in failure_lines(recorder.failures, with_strategy=len(plan.strategies) > 1):
        _print_error(line)
    others = f"; {num_others} of them from an earlier run, not in the label list" if num_others else ""
    totals = recorder.totals
    tokens = f"{totals.prompt_tokens:,} + {totals.completion_tokens:,} tokens"
    if totals.uncounted_calls:
        tokens += f"; the server counted no tokens of {totals.uncounted_calls:,} of them"
    _print_error(
        f"{recorder.out.path}: {len(recorder.out.entries):,} entries{others}; {totals.calls:,} calls, {tokens}"
    )


def _parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    env = os.environ
    parser = InputParser(
        prog="python -m attributes", description="Describe a list of labels with an LLM.", epilog=_KEY_HELP
    )
    parser.add_argument(
        "labels", type=Path, help="label file: one label per line, with its sense after a tab; CSV, JSON, YAML …"
    )
    parser.add_argument("--out", type=Path, required=True, help="attribute set to write or to continue")
    parser.add_argument("--domain", default="", help='what all labels are, such as "birds of North America"')
    parser.add_argument("--base-url", default=env.get("LIMBECK_LLM_BASE_URL", ""), help="OpenAI-compatible server")
    parser.add_argument("--model", default=env.get("LIMBECK_LLM_MODEL", ""), help="model of that server")
    version = env.get("LIMBECK_LLM_API_VERSION", "")
    parser.add_argument("--api-version", default=version, help="API version, if the server is Azure OpenAI")
    parser.add_argument("--strategy", action="append", help="name, name@version or .toml file; repeatable")
    parser.add_argument("--language", default="", help="language of the attributes: German, pt-BR (default: English)")
    prompt_help = "file with a system prompt that replaces that of the strategies"
    parser.add_argument("--system-prompt", type=Path, help=prompt_help)
    folder = env.get("LIMBECK_STRATEGIES_DIR")
    parser.add_argument("--strategies-dir", type=Path, default=folder, help="folder with strategies of your own")
    parser.add_argument("--rpm", type=int, help="maximum requests per minute")
    parser.add_argument("--tpm", type=int, help="maximum tokens per minute")
    for name in ("concurrency", "max_tokens", "max_attempts", "timeout_s", "temperature"):
        default = LLMSettings.model_fields[name].default
        parser.add_argument(f"--{name.replace('_', '-')}", default=default, help=f"default {default:g}")
    for name, text in _OPTIONAL.items():
        parser.add_argument(f"--{name.replace('_', '-')}", help=f"{text} ({variable(name)})")
    return parser.parse_args(argv)


def _domain(arguments: argparse.Namespace) -> str:
    if fault := domain_fault(arguments.domain):
        raise InvalidInput(f"--domain {fault}")
    return normalize(arguments.domain)


def _strategies(arguments: argparse.Namespace) -> list[Strategy]:
    strategies = [load_strategy(ref, arguments.strategies_dir) for ref in arguments.strategy or [DEFAULT_STRATEGY]]
    for strategy in strategies:
        if strategy.about != "label":
            fault = f"is about {strategy.about}s; use a strategy about labels, or the service, which supports all"
            raise InvalidInput(f"--strategy {strategy.ref} {fault}")
    if len({strategy.ref for strategy in strategies}) < len(strategies):
        raise InvalidInput("--strategy: a strategy is given twice")
    return [_customized(strategy, arguments) for strategy in strategies]


def _customized(strategy: Strategy, arguments: argparse.Namespace) -> Strategy:
    """The strategy in the language and with the system prompt of the arguments."""
    language = normalize(arguments.language)
    if language and (fault := language_fault(language)):
        raise InvalidInput(f"--language {fault}")
    prompt = "" if arguments.system_prompt is None else read_text(arguments.system_prompt).removeprefix("\ufeff")
    if arguments.system_prompt is not None and (fault := system_prompt_fault(prompt)):
        raise InvalidInput(f"--system-prompt {arguments.system_prompt} {fault}")
    return customize(strategy, language=language, system_prompt=prompt)


def _limiter(arguments: argparse.Namespace) -> Limiter | None:
    for name in ("rpm", "tpm"):
        if getattr(arguments, name) is not None and getattr(arguments, name) < 1:
            raise InvalidInput(f"--{name} must be 1 or more; omit it for no limit")
    if arguments.rpm is None and arguments.tpm is None:
        return None
    return LocalLimiter(requests_per_min=arguments.rpm, tokens_per_min=arguments.tpm)


def _settings(arguments: argparse.Namespace) -> LLMSettings:
    if not arguments.model:
        raise InvalidInput("--model is missing (or LIMBECK_LLM_MODEL)")
    options = {name: getattr(arguments, name) for name in LLMSettings.model_fields if hasattr(arguments, name)}
    return llm_settings(**options)


def _progress_bar() -> Progress:
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    return Progress(*columns, TextColumn("{task.fields[failed]}"), console=Console(stderr=True))


def _print_error(line: str) -> None:
    print(line, file=sys.stderr)
