"""The lists of vocabularies, images, attribute sets, jobs and students, newest first, with the page in the address."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request
from markupsafe import Markup
from sqlalchemy.orm import InstrumentedAttribute
from starlette.responses import HTMLResponse

from api.http.dependencies import ServicesDep
from api.http.schemas import After
from api.pages import formats
from api.pages.evaluations import accuracy_of
from api.pages.links import link, with_query
from api.pages.rendering import page
from distill.data.splits import PARTS
from store import resources
from store.models import AttributeSet, Base, Checkpoint, Dataset, Job, Vocabulary

router = APIRouter(include_in_schema=False)
_ROWS = 50
LARGE_IN_JOBS = (Job.spec, Job.result, Job.tally)
"""Columns of jobs that lists do not show: the result of an evaluation has the figures of all labels."""


@dataclass(frozen=True, kw_only=True)
class ListPage:
    """One list page: `row` makes the cells of a database row; `numeric` are the numbers of columns aligned right."""

    path: str
    title: str
    model: type[Base]
    head: Sequence[str]
    row: Callable[[Any], Sequence[object]]
    empty: str
    numeric: Sequence[int] = ()
    actions: Sequence[tuple[str, str]] = ()
    filters: Sequence[str] = field(default=())
    without: Sequence[InstrumentedAttribute[Any]] = ()
    """Large columns of the model that no cell shows."""
    compare: str = ""
    """The page that compares rows, whose first cells are check boxes."""


def _badge(status: str) -> Markup:
    return Markup('<span class="badge {0}">{0}</span>').format(status)


def _check_box(id: str) -> Markup:
    box = Markup('<input type="checkbox" form="compare" name="id" value="{0}" aria-label="Compare {0}">')
    return box.format(id)


LISTINGS = (
    ListPage(
        path="/vocabularies",
        title="Vocabularies",
        model=Vocabulary,
        head=("Vocabulary", "Domain", "Labels", "Created"),
        row=lambda row: (
            link(row.id, row.name),
            formats.isolated(row.domain),
            formats.number(row.num_labels),
            formats.time_tag(row.created_at),
        ),
        numeric=(2,),
        actions=(("New vocabulary", "/vocabularies/new"),),
        empty="There is no vocabulary yet. Enter or drop a list of labels to begin.",
    ),
    ListPage(
        path="/images",
        title="Images",
        model=Dataset,
        head=("Images", "Folder", "Number", "Created"),
        row=lambda row: (
            link(row.id, row.name),
            formats.isolated(row.path),
            formats.number(sum(row.counts.get(part, 0) for part in PARTS)),
            formats.time_tag(row.created_at),
        ),
        numeric=(2,),
        actions=(("Add images", "/images/new"),),
        empty="There are no images yet. Add a folder or an archive with a folder for each label.",
    ),
    ListPage(
        path="/attributes",
        title="Attribute sets",
        model=AttributeSet,
        head=("Set", "Vocabulary", "Described", "Flagged", "Created"),
        row=lambda row: (
            link(row.id),
            link(row.vocabulary_id),
            f"{row.num_described:,} of {row.num_labels:,}",
            formats.number(row.num_flagged),
            formats.time_tag(row.created_at),
        ),
        numeric=(2, 3),
        empty="There is no attribute set yet. Enrich a vocabulary: an LLM then writes what each label looks like.",
    ),
    ListPage(
        path="/jobs",
        title="Jobs",
        model=Job,
        head=("Job", "Kind", "Status", "Created", "Took"),
        row=lambda row: (
            link(row.id),
            row.kind,
            _badge(row.status),
            formats.time_tag(row.created_at),
            formats.duration(row.finished_at - row.started_at if row.finished_at and row.started_at else None),
        ),
        filters=("kind", "status"),
        without=LARGE_IN_JOBS,
        empty="There are no such jobs.",
    ),
    ListPage(
        path="/students",
        title="Students",
        model=Checkpoint,
        head=("", "Student", "Architecture", "Seen labels", "Unseen labels", "Created"),
        row=lambda row: (
            _check_box(row.id),
            link(row.id),
            formats.isolated(row.student),
            accuracy_of(row.headline, "id"),
            accuracy_of(row.headline, "ood"),
            formats.time_tag(row.created_at),
        ),
        numeric=(3, 4),
        without=(Checkpoint.evaluation,),
        compare="/compare",
        empty="There is no student yet. Start a training from the page of a set of images.",
    ),
)


def _add(listing: ListPage) -> None:
    def show(request: Request, services: ServicesDep, after: After = None) -> HTMLResponse:
        chosen = {name: request.query_params.get(name) or None for name in listing.filters}
        with services.db.read() as tx:
            rows, has_more = resources.page(
                tx, listing.model, limit=_ROWS, after=after, without=listing.without, **chosen
            )
            cells = [listing.row(row) for row in rows]
            last = getattr(rows[-1], "id", "") if rows else ""
        return page(
            request,
            "list.html.jinja",
            title=listing.title,
            head=listing.head,
            numeric=listing.numeric,
            actions=listing.actions,
            empty=listing.empty,
            compare=listing.compare,
            rows=cells,
            next_url=with_query(listing.path, **chosen, after=last) if has_more else "",
            first_url=with_query(listing.path, **chosen) if after else "",
        )

    show.__doc__ = f"The list of {listing.title.lower()}."
    router.add_api_route(listing.path, show, methods=["GET"])


for _listing in LISTINGS:
    _add(_listing)
