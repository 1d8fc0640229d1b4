"""The estimate of an enrichment on a terminal: calls, tokens and cost."""

from decimal import Decimal
from typing import TYPE_CHECKING

from limbeck.shared.money import usd_text
from limbeck.shared.text import counted

if TYPE_CHECKING:
    from rich.table import Table

    from limbeck.models import AgainEstimate, Estimate


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
    text = f"{counted(estimate.calls, 'call')} to {estimate.model}{at}, about {counted(expected, 'token')}"
    if estimate.usd is None:
        text += f"; {estimate.usd_unknown}"
    else:
        text += f": about {usd_text(estimate.usd.expected)}"
        if budget_usd and estimate.usd.expected > Decimal(budget_usd):
            text += f"; the budget of {usd_text(Decimal(budget_usd))} is expected to run out"
    if budget_tokens and expected > budget_tokens:
        text += f"; the budget of {counted(budget_tokens, 'token')} is expected to run out"
    return f"{text}\n{_bounds_text(estimate)}{_budget_text(budget_usd, budget_tokens)}{_reasoning_text(estimate)}"


def _budget_text(budget_usd: str | None, budget_tokens: int | None) -> str:
    """Where a budget ends the job; "" without one."""
    caps = [usd_text(Decimal(budget_usd))] if budget_usd else []
    caps += [counted(budget_tokens, "token")] if budget_tokens else []
    return f"\nthe budget ends the job before it costs more than {' or '.join(caps)}" if caps else ""


def _bounds_text(estimate: "Estimate") -> str:
    """What the two upper bounds assume."""
    if estimate.usd is None:
        tokens = estimate.prompt_tokens, estimate.completion_tokens
        single = counted(sum(one.without_repeats for one in tokens), "token")
        most = counted(sum(one.at_most for one in tokens), "token")
    else:
        single, most = usd_text(estimate.usd.without_repeats), usd_text(estimate.usd.at_most)
    repairs = f" and {repair_text(estimate.again)}" if estimate.again else ""
    attempts = (
        "its only attempt" if estimate.max_attempts == 1 else f"all its {counted(estimate.max_attempts, 'attempt')}"
    )
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
