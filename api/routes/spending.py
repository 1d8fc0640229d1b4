"""What enrich jobs spend: the sums in a job's answer, and the ledger of its calls. Money is decimal text in dollars."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import StreamingResponse

from api.http.dependencies import Use
from api.http.schemas import LongLimit, Output, Page, Time, iso, page
from store.db import Database
from store.enrich import usage
from store.enrich.usage import Sums, usd_text
from store.jobs import lifecycle
from store.jobs.progress import Stage
from store.models import LLMCall

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
_ROWS_AT_ONCE = 1_000


class SpendOut(Output):
    """What a job's calls took so far; its cap, and what it will have cost if the rest costs what the questions so far
    did. `usd` lacks the `unpriced_calls`, whose price nobody knows or whose tokens the server did not state; null where
    those are all."""

    usd: str | None
    tokens: int
    calls: int
    unpriced_calls: int
    cap_usd: str | None
    cap_tokens: int | None
    projected_usd: str | None


def spend_out(spend: Sums | None, stages: Sequence[Stage]) -> SpendOut | None:
    """The sums as they are answered."""
    if spend is None:
        return None
    return SpendOut(
        usd=usd_text(spend.spent_pusd) if spend.is_priced else None,
        tokens=spend.prompt_tokens + spend.completion_tokens,
        calls=spend.calls,
        unpriced_calls=spend.unpriced_calls,
        cap_usd=_text(spend.cap_pusd),
        cap_tokens=spend.cap_tokens,
        projected_usd=_text(usage.projected_pusd(spend, stages)),
    )


def _text(pusd: int | None) -> str | None:
    return None if pusd is None else usd_text(pusd)


class CallOut(Output):
    """One HTTP attempt (of a batch: one line). `position` is the label's or image's; `key` that of the answer it was
    made for; `cost_usd` null where the price is unknown or the server stated no tokens."""

    object: Literal["call"] = "call"
    id: str
    position: int
    key: str
    strategy: str
    model: str
    mode: Literal["live", "batch"]
    attempt: int
    status: str
    http_status: int | None
    prompt_tokens: int | None
    cached_tokens: int | None
    completion_tokens: int | None
    cost_usd: str | None
    latency_s: float
    created_at: Time


_COLUMNS = tuple(name for name in CallOut.model_fields if name != "object")


def _out(call: LLMCall) -> CallOut:
    fields = {name: getattr(call, name) for name in _COLUMNS if name != "cost_usd"}
    return CallOut(**fields, cost_usd=_text(call.cost_pusd))


@router.get(
    "/{id}/calls",
    response_model=Page[CallOut],
    responses={200: {"content": {"text/csv": {}}, "description": "A page, or all as CSV by `Accept` or `format`"}},
)
def calls(
    use: Use,
    request: Request,
    id: str,
    limit: LongLimit = 100,
    after: Annotated[str | None, Query(max_length=64, description="`last_id` of the page before.")] = None,
    format: Literal["json", "csv"] | None = None,
) -> object:
    """The ledger of an enrich job: every attempt, in the order in which they were recorded; none for other jobs."""
    with use.db.read() as tx:
        lifecycle.get(tx, id)
        if (format or _accepted(request)) == "csv":
            headers = {"Content-Disposition": f'attachment; filename="{id}.calls.csv"'}
            return StreamingResponse(_csv(use.db, id), headers=headers, media_type="text/csv; charset=utf-8")
        rows, more = usage.calls(tx, id, after=after, limit=limit)
    return page([_out(row) for row in rows], more, lambda one: one.id)


def _accepted(request: Request) -> str:
    return "csv" if "text/csv" in request.headers.get("accept", "") else "json"


def _csv(db: Database, job_id: str) -> Iterator[str]:
    """The ledger in pieces, so that a large one streams."""
    yield _rows([_COLUMNS])
    after, more = None, True
    while more:
        with db.read() as tx:
            found, more = usage.calls(tx, job_id, after=after, limit=_ROWS_AT_ONCE)
        yield _rows([_cells(call) for call in found])
        after = found[-1].id if found else None


def _cells(call: LLMCall) -> list[object]:
    values = {name: getattr(call, name) for name in _COLUMNS if name != "cost_usd"}
    values |= {"cost_usd": _text(call.cost_pusd), "created_at": iso(call.created_at)}
    return ["" if values[name] is None else values[name] for name in _COLUMNS]


def _rows(rows: Sequence[Sequence[object]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows(rows)
    return out.getvalue()
