"""`limbeck enrich`: describe a vocabulary's labels with an LLM, or estimate the cost (`--dry-run`)."""

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from limbeck.commands.common import (
    DEFAULT_URL,
    BadInput,
    LabelsMissing,
    Language,
    SystemPromptFile,
    Url,
    create_vocabulary,
    read_text,
    service,
)
from limbeck.commands.plans import refusals_by_option
from limbeck.commands.run_inputs import PLANNED, read_labels
from limbeck.commands.started_jobs import start
from limbeck.shared.money import usd_text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from limbeck import Client
    from limbeck.client.job_requests import EnrichOptions
    from limbeck.models import AgainEstimate, Estimate


def enrich(
    of: Annotated[
        str,
        typer.Argument(metavar="VOCABULARY_OR_FILE", help="voc_…, or a label file: text, CSV, JSON, YAML …"),
    ],
    strategies: Annotated[
        str, typer.Option(help="Prompt strategies in order: sentence,phrases,contrast.")
    ] = "describe",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the estimated calls and cost; send nothing.")
    ] = False,
    budget_usd: Annotated[str, typer.Option(help="Maximum cost in US dollars: 2.50.")] = "",
    budget_tokens: Annotated[int | None, typer.Option(min=1, help="Maximum number of tokens.")] = None,
    batch: Annotated[
        bool, typer.Option("--batch", help="Use the server's Batch API: half the price, takes up to a day.")
    ] = False,
    domain: Annotated[str, typer.Option(help="The category of a file's labels: birds, dishes, tools.")] = "",
    base_set: Annotated[str, typer.Option(help="A set whose locked and human lines are kept.")] = "",
    teacher: Annotated[str, typer.Option(help="For contrast: the teacher that finds confusable labels.")] = "",
    neighbours: Annotated[int | None, typer.Option(help="For contrast: number of confusable labels per label.")] = None,
    samples: Annotated[int | None, typer.Option(help="Responses per question, for strategies that sample.")] = None,
    mend_rounds: Annotated[
        int | None,
        typer.Option(min=0, help="Maximum number of repair rounds for violations of the gates; 1 by default."),
    ] = None,
    endpoint: Annotated[str, typer.Option(help="The LLM endpoint, one of `limbeck llm endpoints`.")] = "",
    llm_model: Annotated[str, typer.Option(help="The LLM; the endpoint's by default.")] = "",
    language: Language = "",
    system_prompt: SystemPromptFile = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Describe each label with one or more strategies. Stored responses are reused. Exit code 3 if labels lack
    attributes.

    Examples:

      limbeck enrich birds.txt --domain birds --dry-run
      limbeck enrich voc_… --strategies describe,contrast --teacher ViT-B-32:openai --budget-usd 2.50
    """
    from rich.console import Console

    from limbeck.enrich_report import follow_enrichment, missing_text

    options: EnrichOptions = {
        "strategies": _strategies(strategies),
        "endpoint": endpoint or None,
        "model": llm_model or None,
        "base_set_id": base_set or None,
        "teacher": teacher or None,
        "neighbours": neighbours,
        "samples": samples,
        "budget_usd": _dollars(budget_usd),
        "budget_tokens": budget_tokens,
        "mode": "batch" if batch else None,
        "mend_rounds": mend_rounds,
        "language": language or None,
        "system_prompt": read_text(system_prompt) if system_prompt else None,
    }
    console = Console()
    with service(url) as client, refusals_by_option():
        if dry_run:
            estimate = _estimate(client, of, domain, options)
            console.print(estimate_table(estimate))
            console.print(estimate_text(estimate, _dollars(budget_usd), budget_tokens), highlight=False, markup=False)
            return
        vocabulary_id = _vocabulary(client, of, domain, console)
        started = start(client, console, "enrich", vocabulary_id=vocabulary_id, **options)
        job = follow_enrichment(client, started, console)
    if missing := missing_text(job):
        raise LabelsMissing(missing)


def estimate_table(estimate: "Estimate") -> "Table":
    """The expected calls and tokens of each strategy."""
    from rich.table import Table

    table = Table("strategy", box=None)
    for name in ("calls", "stored", "prompt tokens", "response tokens"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("estimated from")
    for item in estimate.strategies:
        bound = "≤ " if item.is_bound else ""
        basis = f"{item.num_seen:,} past responses" if item.basis == "ledger" else "default lengths"
        tokens = (f"{count.expected:,}" for count in (item.prompt_tokens, item.completion_tokens))
        table.add_row(item.strategy, f"{bound}{item.calls:,}", f"{item.answered:,}", *tokens, basis)
    return table


def estimate_text(estimate: "Estimate", budget_usd: str | None, budget_tokens: int | None) -> str:
    """The totals with what each of them assumes, and a note if they exceed the budget."""
    expected = round(estimate.prompt_tokens.expected + estimate.completion_tokens.expected)
    at = "" if estimate.endpoint == "default" else f" at {estimate.endpoint}"
    text = f"{estimate.calls:,} calls to {estimate.model}{at}, about {expected:,} tokens"
    if estimate.usd is None:
        text += f"; {estimate.usd_unknown}"
    else:
        text += f": about {usd_text(estimate.usd.expected)}"
        if budget_usd and estimate.usd.expected > Decimal(budget_usd):
            text += f"; the budget of {usd_text(Decimal(budget_usd))} is expected to run out"
    if budget_tokens and expected > budget_tokens:
        text += f"; the budget of {budget_tokens:,} tokens is expected to run out"
    return f"{text}\n{_bounds_text(estimate)}{_budget_text(budget_usd, budget_tokens)}{_reasoning_text(estimate)}"


def _budget_text(budget_usd: str | None, budget_tokens: int | None) -> str:
    """Where a budget ends the job; "" without one."""
    caps = [usd_text(Decimal(budget_usd))] if budget_usd else []
    caps += [f"{budget_tokens:,} tokens"] if budget_tokens else []
    return f"\nthe budget ends the job before it costs more than {' or '.join(caps)}" if caps else ""


def _bounds_text(estimate: "Estimate") -> str:
    """What the two upper bounds assume."""
    if estimate.usd is None:
        tokens = estimate.prompt_tokens, estimate.completion_tokens
        single = f"{sum(one.without_repeats for one in tokens):,} tokens"
        most = f"{sum(one.at_most for one in tokens):,} tokens"
    else:
        single, most = usd_text(estimate.usd.without_repeats), usd_text(estimate.usd.at_most)
    repairs = f" and {repair_text(estimate.again)}" if estimate.again else ""
    attempts = "its only attempt" if estimate.max_attempts == 1 else f"all its {estimate.max_attempts} attempts"
    return (
        f"{single} if no call is repeated and every response is as long as it may be; "
        f"never more than {most}: every question with {attempts} at the largest token limit{repairs}"
    )


def _reasoning_text(estimate: "Estimate") -> str:
    """What the expected figures assume about reasoning; "" if they come from recorded responses."""
    if all(one.basis == "ledger" for one in estimate.strategies):
        return ""
    if estimate.reasoning_tokens:
        return f"\nthe model thinks in up to {estimate.reasoning_tokens:,} tokens per response, which are included"
    return "\na model that thinks before it answers costs more; the estimate knows how much after the first responses"


def repair_text(repair: "AgainEstimate") -> str:
    """What repair rounds are, and the most that they can add."""
    rounds = "1 repair round" if repair.rounds == 1 else f"up to {repair.rounds} repair rounds"
    cost = "" if repair.usd is None else f", {usd_text(repair.usd)} of it"
    return f"{rounds} for violations of the gates ({repair.calls:,} more questions{cost})"


def _vocabulary(client: "Client", of: str, domain: str, console: "Console") -> str:
    if of.startswith("voc_"):
        if domain:
            raise BadInput("--domain applies to a file of labels only; a vocabulary has its own domain")
        return of
    return create_vocabulary(client, Path(of), domain, console).id


def _estimate(client: "Client", of: str, domain: str, options: "EnrichOptions") -> "Estimate":
    """The estimate for a vocabulary, or for the labels of a file; nothing is stored."""
    if of.startswith("voc_"):
        return client.jobs.estimate("enrich", vocabulary_id=of, **options)
    planned = {"vocabulary_id": PLANNED, **options}
    plan = client.jobs.plan([("enrich", planned)], vocabulary=read_labels(Path(of), domain).body())
    estimate = plan.jobs[0].estimate
    assert estimate is not None
    return estimate


def _strategies(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise BadInput(f"--strategies {text!r}: give at least one strategy, for example sentence,phrases")
    return names


def _dollars(amount: str) -> str | None:
    if not amount:
        return None
    try:
        dollars = Decimal(amount.removeprefix("$"))
    except InvalidOperation:
        raise BadInput(f"--budget-usd {amount!r} is not an amount of dollars; write it as 2.50") from None
    if not dollars.is_finite() or dollars <= 0:
        raise BadInput(f"--budget-usd {amount!r} must be above 0")
    return f"{dollars:f}"
