"""Limits of a key on jobs and on their LLM budget. `api.rate_limits` limits its requests.

They compare with everything of the owner, that is, of all keys of this name: unfinished jobs (paused ones included),
and the dollars of the jobs of the last 30 days. A job that has ended counts with what it spent (the reservations of
calls with unknown usage included), one that has not with its cap. `spent + capped <= budget` holds at every moment,
because a job without a cap in dollars is refused, and a cap needs a known price.
"""

import time

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from limbeck.shared.money import usd_from_pusd, usd_text
from store.access.principals import Principal
from store.errors import BudgetExceeded, Conflict, InvalidField, InvalidRequest
from store.ids import first_id_at
from store.models import Job, JobUsage

BUDGET_DAYS = 30
_DAY_S = 86_400.0


def check_new_job(tx: Session, principal: Principal, *, uses_llm: bool, cap_pusd: int | None = None) -> None:
    """Refuse a job that exceeds the limits of the key; `cap_pusd`: its budget.

    Until the transaction ends, no other one passes this check for the owner, so that two requests at the same time
    cannot both be the last one that fits. Raises Conflict (`too_many_jobs`), InvalidRequest (`budget_required`) and
    BudgetExceeded.
    """
    max_jobs, budget_pusd = principal.limits.max_jobs, principal.limits.budget_pusd
    if max_jobs is None and (budget_pusd is None or not uses_llm):
        return
    _lock_owner(tx, principal.owner)
    if max_jobs is not None:
        _check_number(tx, principal.owner, max_jobs)
    if budget_pusd is not None and uses_llm:
        _check_budget(tx, principal.owner, budget_pusd, cap_pusd)


def check_retry(tx: Session, principal: Principal, job: Job) -> None:
    """Refuse the retry of a job that has ended, which makes it unfinished again, if it exceeds the limits of the key.

    They compare with everything of the owner of the job, who is another one if an admin retries it. The lock is that
    of `check_new_job`. Raises Conflict (`too_many_jobs`, `budget_required`, `job_too_old`) and BudgetExceeded.
    """
    max_jobs, budget_pusd = principal.limits.max_jobs, principal.limits.budget_pusd
    usage = None if budget_pusd is None else tx.get(JobUsage, job.id)
    if max_jobs is None and usage is None:
        return
    owner = job.owner or principal.owner
    _lock_owner(tx, owner)
    if max_jobs is not None:
        _check_number(tx, owner, max_jobs)
    if budget_pusd is not None and usage is not None:
        _check_remaining_budget(tx, owner, budget_pusd, usage)


def num_unfinished(tx: Session, owner: str) -> int:
    """The number of jobs of the owner that have not ended."""
    query = select(func.count()).select_from(Job).where(Job.owner == owner, Job.finished_at.is_(None))
    return tx.scalar(query) or 0


def committed_pusd(tx: Session, owner: str) -> int:
    """What the jobs of the owner cost in the last 30 days, and what those that have not ended may still cost."""
    spent = JobUsage.spent_pusd + JobUsage.reserved_pusd
    amount = case((Job.finished_at.is_(None), func.coalesce(JobUsage.cap_pusd, spent)), else_=spent)
    query = select(func.sum(amount)).join(Job, Job.id == JobUsage.job_id)
    counts = (Job.id >= _first_job_id()) | Job.finished_at.is_(None)
    return int(tx.scalar(query.where(Job.owner == owner, counts)) or 0)


def _first_job_id() -> str:
    """The lowest id of a job of the last 30 days."""
    return first_id_at("job", time.time() - BUDGET_DAYS * _DAY_S)


def _check_number(tx: Session, owner: str, max_jobs: int) -> None:
    unfinished = num_unfinished(tx, owner)
    if unfinished >= max_jobs:
        detail = (
            f"{owner!r} has {unfinished} unfinished jobs, and this key allows {max_jobs}: wait until one ends, or "
            "cancel one"
        )
        raise Conflict("too_many_jobs", detail)


def _check_budget(tx: Session, owner: str, budget_pusd: int, cap_pusd: int | None) -> None:
    left, state = _left(tx, owner, budget_pusd)
    if cap_pusd is None:
        detail = f"is required, because the key has a budget: {state}"
        raise InvalidRequest("budget_required", f"budget_usd {detail}", [InvalidField("/budget_usd", detail)])
    if cap_pusd > left:
        detail = f"the job may cost {_usd(cap_pusd)}, and {state}: give it a smaller budget, or wait"
        raise BudgetExceeded(detail)


def _check_remaining_budget(tx: Session, owner: str, budget_pusd: int, usage: JobUsage) -> None:
    """What the job has spent counts already, if it is of the last 30 days."""
    left, state = _left(tx, owner, budget_pusd)
    again = "post the request again {}; responses are not paid for twice"
    if usage.cap_pusd is None:
        remedy = again.format("with budget_usd")
        raise Conflict("budget_required", f"the job has no budget in dollars, and the key has one ({state}): {remedy}")
    if usage.job_id < _first_job_id():
        remedy = again.format("as a new job")
        raise Conflict("job_too_old", f"the key has a budget, and the job is older than {BUDGET_DAYS} days: {remedy}")
    remaining = max(0, usage.cap_pusd - usage.spent_pusd - usage.reserved_pusd)
    if remaining > left:
        remedy = again.format("with a smaller budget")
        raise BudgetExceeded(f"the job may still cost {_usd(remaining)}, and {state}: wait, or {remedy}")


def _left(tx: Session, owner: str, budget_pusd: int) -> tuple[int, str]:
    """What is left of the budget, also in words."""
    left = max(0, budget_pusd - committed_pusd(tx, owner))
    return left, f"{_usd(left)} of the key's {_usd(budget_pusd)} per {BUDGET_DAYS} days are left"


def _lock_owner(tx: Session, owner: str) -> None:
    """SQLite has one writer at a time anyway."""
    if tx.get_bind().dialect.name == "postgresql":
        tx.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"jobs of {owner}", 0))))


def _usd(pusd: int) -> str:
    return usd_text(usd_from_pusd(pusd))
