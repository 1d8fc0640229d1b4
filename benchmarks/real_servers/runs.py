"""One server's part of the benchmark: its rows, what it refuses, and a restart."""

import asyncio
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from attributes.llm.client import LLMSettings
from attributes.llm.model_profile import LearnedProfiles
from benchmarks.real_servers.job import job_faults
from benchmarks.real_servers.meter import Exchange, Meter
from benchmarks.real_servers.questions import (
    MAX_FATAL_CALLS,
    NUM_UNUSABLE,
    QuestionSet,
    Row,
    ask,
    bill_faults,
    many_questions,
    question_sets,
    result_faults,
    schema_faults,
    thinking_questions,
    unused_faults,
)
from benchmarks.real_servers.servers import Server

CONCURRENCY = 4
NUM_QUESTIONS, NUM_REFUSED, NUM_RESTARTED = 16, 50, 100
DOWN_S, OUTAGE_LIMIT_S = 3.0, 30.0
WRONG: Mapping[str, Mapping[str, str | SecretStr]] = {
    "model": {"model": "no-such-model"},
    "key": {"api_key": SecretStr("sk-of-someone-else")},
}
Report = Callable[[str], None]


@dataclass(frozen=True)
class Traits:
    """What a server does, and what is tried with it.

    `enforces_schema`: with a grammar. `thinks`: the model thinks until its token limit. `wrong`: what is
    tried wrongly, and `refuses`: what of it the server refuses. `restarts`: the server is also killed and restarted.
    `job`: the service also does a job with it.
    """

    enforces_schema: bool = False
    thinks: bool = False
    wrong: tuple[Literal["model", "key"], ...] = ("model", "key")
    refuses: tuple[Literal["model", "key"], ...] = ()
    restarts: bool = False
    job: bool = False


def run_server(name: str, server: Server, traits: Traits, report: Report) -> list[str]:
    """Run all rows against a server; prints a table, and returns the faults."""
    rows: list[Row] = []
    faults: list[str] = []
    with Meter(server.root) as meter:
        settings, profiles = settings_for(server, meter), LearnedProfiles()
        number = NUM_QUESTIONS if traits.enforces_schema else NUM_UNUSABLE
        for question_set in thinking_questions() if traits.thinks else question_sets(number):
            row = _measured(meter, ask(settings, profiles, question_set))
            rows.append(row)
            report(f"{name}: {describe(row)}")
            faults += [f"{row.title}: {fault}" for fault in row_faults(row, question_set, traits)]
        faults += metrics_faults(server, meter.exchanges)
        for what in traits.wrong:
            wrong = settings.model_copy(update=WRONG[what])
            row = _measured(meter, ask(wrong, LearnedProfiles(), QuestionSet(what, many_questions(NUM_REFUSED))))
            outcome = row.fatal or f"not refused: {dict(row.reasons)}"
            report(f"{name}: wrong {what}: after {len(row.calls)} calls for {NUM_REFUSED} labels: {outcome}")
            faults += [f"wrong {what}: {fault}" for fault in refusal_faults(row, what in traits.refuses)]
        if traits.restarts:
            row = _measured(meter, _ask_through_restart(server, settings, profiles))
            rows.append(row)
            report(f"{name}: {describe(row)}")
            faults += [f"{row.title}: {fault}" for fault in [*result_faults(row), *unused_faults(row)]]
    if traits.job:
        faults += [f"job: {fault}" for fault in job_faults(server, lambda line: report(f"{name}: {line}"))]
    Console(width=170).print(table_of(name, rows))
    return faults


def row_faults(row: Row, question_set: QuestionSet, traits: Traits) -> list[str]:
    """All faults of a row."""
    faults = [*result_faults(row), *bill_faults(row)]
    if traits.enforces_schema:
        faults += schema_faults(row)
        if question_set.label_fixed:
            faults += unused_faults(row)
    return faults


def settings_for(server: Server, meter: Meter) -> LLMSettings:
    """The client's settings for a server behind a meter."""
    return LLMSettings(
        base_url=f"{meter.root}/v1",
        model=server.model,
        api_key=SecretStr(server.api_key),
        timeout_s=120,
        max_attempts=4,
        concurrency=CONCURRENCY,
        max_tokens=700,
        outage_limit_s=OUTAGE_LIMIT_S,
        temperature=1.0,
    )


def _measured(meter: Meter, run: Coroutine[None, None, Row]) -> Row:
    """The row of a run, with the exchanges that it caused."""
    before = len(meter.exchanges)
    row = asyncio.run(run)
    row.exchanges = meter.exchanges[before:]
    return row


async def _ask_through_restart(server: Server, settings: LLMSettings, profiles: LearnedProfiles) -> Row:
    """Questions during which the server is killed, and started again `DOWN_S` seconds later."""
    question_set = QuestionSet(f"server away for {DOWN_S:g} s", many_questions(NUM_RESTARTED), label_fixed=True)

    def restart() -> None:
        time.sleep(1.0)
        server.kill()
        time.sleep(DOWN_S)
        server.start()
        server.wait_until_ready()

    thread = threading.Thread(target=restart)
    thread.start()
    row = await ask(settings, profiles, question_set)
    await asyncio.to_thread(thread.join)
    return row


def refusal_faults(row: Row, is_refused: bool) -> Iterator[str]:
    """Faults of a run with a wrong model or key."""
    if is_refused and not row.fatal:
        yield "the run was not stopped"
    if row.fatal and len(row.calls) > MAX_FATAL_CALLS:
        yield f"the run was stopped only after {len(row.calls)} calls"


def metrics_faults(server: Server, exchanges: Sequence[Exchange]) -> list[str]:
    """Differences between the tokens that llama.cpp's responses state and those that it counted itself.

    Its counter has only those prompt tokens that were not in its cache, and tokens of responses that ended as errors.
    """
    request = urllib.request.Request(f"{server.root}/metrics", headers={"Authorization": f"Bearer {server.api_key}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            lines = response.read().decode().splitlines()
    except OSError:
        return []  # another server
    counters = dict(line.split()[:2] for line in lines if line.startswith("llamacpp:"))
    told = {
        "prompt_tokens_total": sum(each.prompt_tokens - each.cached_tokens for each in exchanges),
        "tokens_predicted_total": sum(each.completion_tokens for each in exchanges),
    }
    return [
        f"{name}: {count:,} by the responses, {int(counters[f'llamacpp:{name}']):,} by the server's own counter"
        for name, count in told.items()
        if int(counters[f"llamacpp:{name}"]) != count
    ]


def describe(row: Row) -> str:
    """A row in one line."""
    outcome = ", ".join(f"{count} {reason}" for reason, count in row.reasons.most_common())
    rate = f"{len(row.calls)} calls in {row.seconds:.1f} s ({len(row.calls) / row.seconds:.1f}/s)"
    return f"{row.title}: {row.num_questions} questions, {rate}: {outcome}{' · ' + row.fatal if row.fatal else ''}"


def table_of(name: str, rows: Sequence[Row]) -> Table:
    """The table of a server."""
    table = Table(title=name)
    for heading in ("strategy", "questions", "results", "calls by format and status", "complete responses that fit"):
        table.add_column(heading)
    for heading in ("calls/s", "prompt tokens", "completion tokens"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            row.title,
            str(row.num_questions),
            _lines(row.reasons) + (f"\n{row.fatal.partition(':')[0]}" if row.fatal else ""),
            _lines(Counter(f"{call.level}: {call.status}" for call in row.calls)),
            f"{sum(each.fits_schema() for each in row.enforced)} of {len(row.enforced)}",
            f"{len(row.calls) / row.seconds:.1f}",
            f"{sum(each.prompt_tokens for each in row.exchanges):,}",
            f"{sum(each.completion_tokens for each in row.exchanges):,}",
        )
    return table


def _lines(counts: Counter[str]) -> str:
    return "\n".join(f"{count} {name}" for name, count in counts.most_common())
