"""Texts about a job: its progress, its spending, and why it waits."""

from limbeck.models import Job, Progress, Spend
from limbeck.shared.money import usd_text
from limbeck.shared.text import counted


def progress_text(job: Job) -> str:
    """`training 30/120 steps`; "" if the total is not known."""
    progress = job.progress
    if not progress.total:
        return progress.name if job.status == "running" else ""
    return f"{progress.name} {progress.done:,}/{progress.total:,} {progress.unit}".strip()


def state_text(job: Job) -> str:
    """`running: training 30/120 steps`, `queued: no GPU worker is running`, `succeeded`."""
    more = job.waiting_for or ("" if job.ended else progress_text(job))
    return f"{job.status}: {more}" if more else job.status


def stage_text(progress: Progress, *, is_running: bool = True) -> str:
    """`30/120 steps, 9.1/s, 0:10 left`; what is not known is left out."""
    parts = [f"{progress.done:,}/{progress.total:,} {progress.unit}"] if progress.total else []
    if progress.rate and is_running:
        parts.append(f"{rate_text(progress.rate)}/s")
    if progress.eta_s is not None and is_running and progress.done < progress.total:
        parts.append(f"{duration_text(progress.eta_s)} left")
    return ", ".join(parts)


def spend_text(spend: Spend | None, *, ended: bool = False) -> str:
    """`$0.12 spent, about $1.40 in all (cap $2.50), 3 calls repeated, 2 responses repaired`; "" without calls.

    Tokens in place of dollars if the price is unknown. An `ended` job costs nothing more.
    """
    if spend is None or not spend.calls:
        return ""
    if spend.usd is None and not spend.tokens:  # an outage: no response had usage
        text = f"cost of {counted(spend.calls, 'call')} unknown"
    elif spend.usd is None:
        text = f"{counted(spend.tokens, 'token')} spent, price unknown"
    else:
        text = f"{usd_text(spend.usd)} spent"
        if not ended and spend.projected_usd is not None and spend.projected_usd > spend.usd:
            text += f", about {usd_text(spend.projected_usd)} in all"
        if spend.unpriced_calls:
            text += f", cost of {counted(spend.unpriced_calls, 'call')} unknown"
    caps = [usd_text(spend.cap_usd)] if spend.cap_usd is not None else []
    if spend.cap_tokens is not None:
        caps.append(f"{spend.tokens:,} of {spend.cap_tokens:,} tokens")
    text += f" (cap {', '.join(caps)})" if caps else ""
    if spend.unconfirmed_calls:
        most = (
            counted(spend.unconfirmed_tokens, "token") if not spend.unconfirmed_usd else usd_text(spend.unconfirmed_usd)
        )
        lost = counted(spend.unconfirmed_calls, "call")
        text += f", of which at most {most} for at most {lost} in flight when a worker was lost"
    text += f", {counted(spend.repeated_calls, 'call')} repeated" if spend.repeated_calls else ""
    return text + (f", {counted(spend.repaired_responses, 'response')} repaired" if spend.repaired_responses else "")


def rate_text(rate: float) -> str:
    """A rate with one decimal below 10, else without decimals."""
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"


def duration_text(seconds: float) -> str:
    """`0:42`, `12:05`, `3:07:00`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
