"""Pages of vocabularies: enter or drop labels with a preview, and a vocabulary with its labels and its enrichment."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse

from api.http.dependencies import ServicesDep
from api.http.schemas import MAX_INT32
from api.jobs.llm_endpoints import load_endpoints
from api.pages import formats
from api.pages.links import link, with_query
from api.pages.rendering import page
from attributes.prompts.strategy import available_strategies
from store import resources, vocabularies
from store.models import AttributeSet, Dataset, Label

router = APIRouter(include_in_schema=False)
_LABELS = 100
_RELATED = 10
Position = Annotated[int, Query(ge=0, le=MAX_INT32, description="Position of the first label shown.")]
Words = Annotated[str, Query(max_length=200, description="Show labels that contain this text.")]


@router.get("/vocabularies/new")
def new_vocabulary(request: Request) -> HTMLResponse:
    """The form for labels; `static/new_vocabulary.js` shows what the service would read."""
    return page(request, "vocabulary_new.html.jinja")


@router.get("/vocabularies/{id}")
def vocabulary_page(
    request: Request, services: ServicesDep, id: str, start: Position = 0, q: Words = ""
) -> HTMLResponse:
    """A vocabulary: labels, the form of an enrichment, and what was made of it."""
    with services.db.read() as tx:
        vocabulary = vocabularies.get(tx, id)
        labels = _labels(tx, id, start, q)
        sets, _ = resources.page(tx, AttributeSet, limit=_RELATED, after=None, vocabulary_id=id)
        datasets, _ = resources.page(tx, Dataset, limit=_RELATED, after=None, vocabulary_id=id)
        shown = labels[:_LABELS]
        values: dict[str, Any] = {
            "labels": [(row.position, row.name, row.sense, row.ids) for row in shown],
            "next_url": _next_url(id, q, labels),
            "first_url": with_query(f"/vocabularies/{id}", q=q or None) if start else "",
            "sets": [
                (link(row.id), f"{row.num_described:,} of {row.num_labels:,}", formats.time_tag(row.created_at))
                for row in sets
            ],
            "datasets": [
                (link(row.id, row.name), formats.number(sum(row.counts.values())), formats.time_tag(row.created_at))
                for row in datasets
            ],
        }
    # The newest version of each strategy about labels; those about pairs need a teacher, and are for the API.
    strategies = {
        one.name: one for one in available_strategies(services.settings.strategies_dir) if one.about == "label"
    }
    endpoints = [(one.name, one.default_model or "") for one in load_endpoints(services.settings)]
    return page(
        request,
        "vocabulary.html.jinja",
        vocabulary=vocabulary,
        q=q,
        strategies=list(strategies.values()),
        endpoints=endpoints,
        **values,
    )


def _labels(tx: Session, vocabulary_id: str, start: int, words: str) -> list[Label]:
    """Up to a page of labels and one more, from a position on; with `words`, those that contain them."""
    query = select(Label).where(Label.vocabulary_id == vocabulary_id, Label.position >= start)
    if words:
        query = query.where(Label.folded.contains(vocabularies.fold_label(words, None), autoescape=True))
    return list(tx.scalars(query.order_by(Label.position).limit(_LABELS + 1)))


def _next_url(id: str, words: str, labels: list[Label]) -> str:
    if len(labels) <= _LABELS:
        return ""
    return with_query(f"/vocabularies/{id}", start=labels[_LABELS].position, q=words or None)
