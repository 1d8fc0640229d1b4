"""LLM usage of enrich jobs: the totals in `JobOut.spend`, and the list of calls. Money is decimal text in USD."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import StreamingResponse

from api.http.dependencies import ServicesDep
from api.http.schemas import LongLimit, Page, ResponseModel, Timestamp, iso_utc, page
from limbeck.shared.money import decimal_text, usd_from_pusd
from store.db import Database
from store.enrich import usage
from store.enrich.usage import NO_COST, Cost, UsageTotals
from store.jobs import jobs
from store.jobs.progress import Stage
from store.models import LLMCall

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
_ROWS_PER_QUERY = 1_000


class JobUsageOut(ResponseModel):
    """The LLM usage of a job so far, its caps, and its projected cost."""

    usd: str | None = Field(
        description="Cost with `unconfirmed_usd`, without the `unpriced_calls`; null if no call has a price."
    )
    tokens: int = Field(description="Prompt and completion tokens, with `unconfirmed_tokens`.")
    calls: int = Field(description="Calls, with `unconfirmed_calls`.")
    # Services of earlier releases sent none of these: the client has the same defaults.
    unconfirmed_usd: str | None = Field(
        None,
        description="At most what the calls cost that were in flight when a worker stopped without recording them, and "
        "that the server may bill; null if the price is unknown.",
    )
    unconfirmed_tokens: int = Field(0, description="The same in tokens.")
    unconfirmed_calls: int = Field(0, description="At most so many calls were in flight then.")
    unpriced_calls: int = Field(description="Calls whose price or number of tokens is unknown.")
    repeated_calls: int = Field(description="Calls after the first one of a question.")
    repaired_responses: int = Field(description="Responses whose JSON had to be repaired.")
    cap_usd: str | None
    cap_tokens: int | None
    projected_usd: str | None = Field(
        description="Cost of the whole job, if the remaining questions cost as much as the questions so far; null if "
        "unknown."
    )


def job_usage_out(
    totals: UsageTotals | None, stages: Sequence[Stage], unconfirmed: Cost = NO_COST
) -> JobUsageOut | None:
    """The response model of a job's usage; None for a job without LLM calls."""
    if totals is None:
        return None
    has_price = not unconfirmed.calls or unconfirmed.pusd > 0
    is_priced = totals.is_priced and (has_price or totals.spent_pusd > 0)
    return JobUsageOut(
        usd=_optional_usd(totals.spent_pusd + unconfirmed.pusd) if is_priced else None,
        tokens=totals.prompt_tokens + totals.completion_tokens + unconfirmed.tokens,
        calls=totals.calls + unconfirmed.calls,
        unconfirmed_usd=_optional_usd(unconfirmed.pusd) if has_price else None,
        unconfirmed_tokens=unconfirmed.tokens,
        unconfirmed_calls=unconfirmed.calls,
        unpriced_calls=totals.unpriced_calls,
        repeated_calls=totals.repeated_calls,
        repaired_responses=totals.repaired_responses,
        cap_usd=_optional_usd(totals.cap_pusd),
        cap_tokens=totals.cap_tokens,
        projected_usd=_optional_usd(usage.projected_pusd(totals, stages)),
    )


def _optional_usd(pusd: int | None) -> str | None:
    return None if pusd is None else decimal_text(usd_from_pusd(pusd))


class LLMCallOut(ResponseModel):
    """One call of the LLM: one HTTP attempt, or one line of a batch."""

    object: Literal["call"] = "call"
    id: str
    position: int = Field(description="Position of the label or image.")
    key: str = Field(description="Key of the LLM response that was requested: `GET /v1/answers/{key}`.")
    strategy: str
    model: str
    mode: Literal["live", "batch"]
    attempt: int = Field(description="Number of the attempt, from 1.")
    status: str = Field(description="`ok`, or why the attempt failed.")
    http_status: int | None
    prompt_tokens: int | None = Field(description="Null if the server did not report tokens; so for the other counts.")
    cached_tokens: int | None
    completion_tokens: int | None
    cost_usd: str | None = Field(description="Null if the price or the number of tokens is unknown.")
    latency_s: float = Field(description="Duration in seconds.")
    created_at: Timestamp


_COLUMNS = tuple(name for name in LLMCallOut.model_fields if name != "object")


def _call_out(call: LLMCall) -> LLMCallOut:
    fields = {name: getattr(call, name) for name in _COLUMNS if name != "cost_usd"}
    return LLMCallOut(**fields, cost_usd=_optional_usd(call.cost_pusd))


@router.get(
    "/{id}/calls",
    response_model=Page[LLMCallOut],
    responses={
        200: {
            "content": {"text/csv": {}},
            "description": "A page; with `format=csv` or `Accept: text/csv`, all calls as CSV",
        }
    },
)
def calls(
    services: ServicesDep,
    request: Request,
    id: str,
    limit: LongLimit = 100,
    after: Annotated[str | None, Query(max_length=64, description="`last_id` of the previous page.")] = None,
    format: Literal["json", "csv"] | None = None,
) -> object:
    """The LLM calls of an enrich job, in the order in which they were recorded. Other jobs have none."""
    with services.db.read() as tx:
        jobs.get(tx, id)
        if (format or _accepted_format(request)) == "csv":
            headers = {"Content-Disposition": f'attachment; filename="{id}.calls.csv"'}
            return StreamingResponse(_csv(services.db, id), headers=headers, media_type="text/csv; charset=utf-8")
        rows, more = usage.list_calls(tx, id, after=after, limit=limit)
    return page([_call_out(row) for row in rows], more, lambda item: item.id)


def _accepted_format(request: Request) -> str:
    return "csv" if "text/csv" in request.headers.get("accept", "") else "json"


def _csv(db: Database, job_id: str) -> Iterator[str]:
    """All calls of the job as CSV, one query per chunk."""
    yield _csv_rows([_COLUMNS])
    after, more = None, True
    while more:
        with db.read() as tx:
            rows, more = usage.list_calls(tx, job_id, after=after, limit=_ROWS_PER_QUERY)
        yield _csv_rows([_cells(call) for call in rows])
        after = rows[-1].id if rows else None


def _cells(call: LLMCall) -> list[object]:
    values = {name: getattr(call, name) for name in _COLUMNS if name != "cost_usd"}
    values |= {"cost_usd": _optional_usd(call.cost_pusd), "created_at": iso_utc(call.created_at)}
    return ["" if values[name] is None else values[name] for name in _COLUMNS]


def _csv_rows(rows: Sequence[Sequence[object]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows(rows)
    return out.getvalue()
