"""`limbeck enrich`: have an LLM describe a vocabulary's labels, or be told first what that will cost."""

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from limbeck.commands.common import DEFAULT_URL, BadInput, Url, read_text, service

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from limbeck.client import Limbeck
    from limbeck.models import AgainEstimate, Estimate, Job


def enrich(
    of: Annotated[
        str,
        typer.Argument(metavar="VOCABULARY_OR_FILE", help="voc_…, or a file: a label a line, or .csv."),
    ],
    strategies: Annotated[str, typer.Option(help="One after the other: sentence,phrases,contrast.")] = "describe",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what it will ask and cost; ask nothing.")] = False,
    budget_usd: Annotated[str, typer.Option(help="The most that it may cost: 2.50.")] = "",
    budget_tokens: Annotated[int | None, typer.Option(min=1, help="The most tokens that it may take.")] = None,
    batch: Annotated[
        bool, typer.Option("--batch", help="By the server's Batch API: half the price, up to a day.")
    ] = False,
    domain: Annotated[str, typer.Option(help="What a file's labels are kinds of: birds, dishes, tools.")] = "",
    base_set: Annotated[str, typer.Option(help="A set whose locked and human lines are kept.")] = "",
    teacher: Annotated[str, typer.Option(help="For contrast: who takes labels for each other.")] = "",
    neighbours: Annotated[int | None, typer.Option(help="For contrast: how many each is told apart from.")] = None,
    samples: Annotated[int | None, typer.Option(help="Answers to a question, where a strategy samples.")] = None,
    mend_rounds: Annotated[
        int | None, typer.Option(min=0, help="How often what the gates catch is asked for again; once if left out.")
    ] = None,
    llm_model: Annotated[str, typer.Option(help="The LLM to ask; the service's own if left out.")] = "",
    url: Url = DEFAULT_URL,
) -> None:
    """Describe each label by one or more strategies; what is answered already is not asked again."""
    from rich.console import Console

    from limbeck.progress import follow

    how: dict[str, Any] = {
        "strategies": _names(strategies),
        "model": llm_model or None,
        "base_set_id": base_set or None,
        "teacher": teacher or None,
        "neighbours": neighbours,
        "samples": samples,
        "budget_usd": _dollars(budget_usd),
        "budget_tokens": budget_tokens,
        "mode": "batch" if batch else None,
        "mend_rounds": mend_rounds,
    }
    console = Console()
    with service(url) as client:
        vocabulary_id = _vocabulary(client, of, domain, console)
        if dry_run:
            told = client.estimate(vocabulary_id, **how)
            console.print(estimate_table(told))
            console.print(estimate_text(told, _dollars(budget_usd), budget_tokens), highlight=False, markup=False)
            return
        job = follow(client, client.enrich(vocabulary_id, **how), console, title="describe labels")
    console.print(_told(job), highlight=False, markup=False)


def estimate_table(told: "Estimate") -> "Table":
    """What each strategy will ask, as expected and at most."""
    from rich.table import Table

    table = Table("strategy", box=None)
    for name in ("calls", "answered", "prompt tokens", "answer tokens"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("expected from")
    for one in told.strategies:
        bound = "≤ " if one.is_bound else ""
        basis = f"{one.num_seen:,} answers seen" if one.basis == "ledger" else "a guess"
        tokens = (
            f"{round(each.expected):,} (≤ {round(each.at_most):,})"
            for each in (one.prompt_tokens, one.completion_tokens)
        )
        table.add_row(one.strategy, f"{bound}{one.calls:,}", f"{one.answered:,}", *tokens, basis)
    return table


def estimate_text(told: "Estimate", budget_usd: str | None, budget_tokens: int | None) -> str:
    """The sum, and how it stands to the budget."""
    from limbeck.progress import usd_text

    expected = round(told.prompt_tokens.expected + told.completion_tokens.expected)
    said = f"{told.calls:,} calls to {told.model}, about {expected:,} tokens"
    if told.usd is None:
        said += f"; {told.usd_unknown}"
    else:
        said += f": about {usd_text(told.usd.expected)}, at most {usd_text(told.usd.at_most)} if no call is made twice"
        if budget_usd and told.usd.expected > Decimal(budget_usd):
            said += f"; a budget of {usd_text(Decimal(budget_usd))} will end before all is asked"
    if budget_tokens and expected > budget_tokens:
        said += f"; a budget of {budget_tokens:,} tokens will end before all is asked"
    return f"{said}{again_text(told.again)}" if told.again else said


def again_text(again: "AgainEstimate") -> str:
    """What asking again for what the gates catch can add."""
    from limbeck.progress import usd_text

    rounds = "once" if again.rounds == 1 else f"up to {again.rounds} times"
    cost = "" if again.usd is None else f", {usd_text(again.usd)}"
    return f"\nwhat the gates catch is asked for again {rounds}: at most {again.calls:,} calls more{cost}"


def _told(job: "Job") -> str:
    from limbeck.progress import spend_text

    result = job.result or {}
    failed = result["num_labels"] - result["num_described"]
    said = f"{result['num_described']:,} labels described as {result['attribute_set_id']}"
    if failed:
        said += f", {failed:,} without an answer"
    spent = spend_text(job.spend)
    return f"{said}; {spent}" if spent else f"{said}; nothing had to be asked"


def _vocabulary(client: "Limbeck", of: str, domain: str, console: "Console") -> str:
    if of.startswith("voc_"):
        if domain:
            raise BadInput("--domain is for a file of labels; a vocabulary has its own")
        return of
    path = Path(of)
    made = client.create_vocabulary_from_text(
        path.stem, read_text(path), format="csv" if path.suffix.lower() == ".csv" else "lines", domain=domain
    )
    console.print(f"{made.num_labels:,} labels as {made.id}", highlight=False)
    return made.id


def _names(given: str) -> list[str]:
    names = [name.strip() for name in given.split(",") if name.strip()]
    if not names:
        raise BadInput("--strategies names none: sentence,phrases")
    return names


def _dollars(given: str) -> str | None:
    if not given:
        return None
    try:
        dollars = Decimal(given.removeprefix("$"))
    except InvalidOperation:
        raise BadInput(f"--budget-usd {given!r} is no amount of dollars such as 2.50") from None
    if not dollars.is_finite() or dollars <= 0:
        raise BadInput(f"--budget-usd {given!r} must be above 0")
    return f"{dollars:f}"
