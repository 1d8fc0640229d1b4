"""Pages of datasets: register a folder, look at its images, and start a training."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse

from api.http.dependencies import Services, ServicesDep
from api.http.schemas import MAX_INT32
from api.pages import formats
from api.pages.links import link, with_query
from api.pages.rendering import page
from api.readers.index_rows import IndexRows
from distill.config.recipes import RECIPES
from limbeck.shared.images.dataset_report import DatasetReport
from limbeck.shared.templates import TEXT_KINDS
from store import resources, vocabularies
from store.models import AttributeSet, Checkpoint, Dataset, Job, Label, Teacher, Vocabulary

router = APIRouter(include_in_schema=False)

_IMAGES = 60
_CHOICES = 100
_PARTS = {"train": "training", "held_out": "held out", "ood": "unseen labels", "unlabelled": "without labels"}
Position = Annotated[int, Query(ge=0, le=MAX_INT32, description="Position of the first image shown.")]


@router.get("/images/new")
def new_images(request: Request, services: ServicesDep, vocabulary: str = "") -> HTMLResponse:
    """The form that registers a folder below the data root."""
    with services.db.read() as tx:
        rows, _ = resources.page(tx, Vocabulary, limit=_CHOICES, after=None)
        choices = [(row.id, row.name, row.num_labels) for row in rows]
        if vocabulary and vocabulary not in [id for id, _, _ in choices]:
            chosen = vocabularies.get(tx, vocabulary)
            choices.append((chosen.id, chosen.name, chosen.num_labels))
    return page(
        request,
        "images_new.html.jinja",
        vocabularies=choices,
        chosen=vocabulary,
        folders=_folders(services.settings.data),
        data_root=str(services.settings.data),
    )


def _folders(root: Path) -> Sequence[str]:
    """The first folders of the data root, as suggestions."""
    try:
        names = [entry.name for entry in root.iterdir() if entry.is_dir() and not entry.is_symlink()]
    except OSError:
        return ()
    return sorted(name for name in names if not name.startswith(".") and name.isprintable())[:_CHOICES]


@router.get("/images/{id}")
def images_page(request: Request, services: ServicesDep, id: str, start: Position = 0) -> HTMLResponse:
    """A dataset: its report, its images, and the form of a training."""
    rows: IndexRows = request.app.state.index_rows
    with services.db.read() as tx:
        dataset = resources.dataset(tx, id)
        shown = rows.rows(dataset.manifest_key, start, start + _IMAGES + 1)
        names = _label_names(tx, dataset.vocabulary_id, [item.label for item in shown])
        sets, _ = resources.page(tx, AttributeSet, limit=_CHOICES, after=None, vocabulary_id=dataset.vocabulary_id)
        students, _ = resources.page(
            tx, Checkpoint, limit=_IMAGES, after=None, without=(Checkpoint.evaluation,), dataset_id=id
        )
        values: dict[str, Any] = {
            "dataset": dataset,
            "vocabulary": link(dataset.vocabulary_id),
            "counts": [(_PARTS[name], formats.number(dataset.counts.get(name, 0))) for name in _PARTS],
            "images": [
                (number, item.path, names.get(item.label, ""), _PARTS[item.part])
                for number, item in enumerate(shown[:_IMAGES], start)
            ],
            "next_url": with_query(f"/images/{id}", start=start + _IMAGES) + "#images" if len(shown) > _IMAGES else "",
            "first_url": f"/images/{id}#images" if start else "",
            "sets": [(row.id, row.num_described, row.num_labels) for row in sets],
            "students": [(link(row.id), row.student, formats.time_tag(row.created_at)) for row in students],
            "teachers": sorted(set(tx.scalars(select(Teacher.ref).order_by(Teacher.id.desc()).limit(_CHOICES)))),
            "running": _running_jobs(tx, id),
        }
    report = _report(services, dataset)
    return page(request, "images.html.jinja", report=report, texts=TEXT_KINDS, recipes=list(RECIPES), **values)


def _label_names(tx: Session, vocabulary_id: str, labels: Sequence[int]) -> Mapping[int, str]:
    query = select(Label.position, Label.name).where(Label.vocabulary_id == vocabulary_id)
    return {position: name for position, name in tx.execute(query.where(Label.position.in_(set(labels))))}


def _running_jobs(tx: Session, dataset_id: str) -> list[object]:
    """Links to the running jobs that use these images; of the newest running jobs."""
    rows, _ = resources.page(tx, Job, limit=_CHOICES, after=None, without=(Job.result, Job.tally), status="running")
    return [link(row.id) for row in rows if row.spec.get("dataset_id") == dataset_id]


def _report(services: Services, dataset: Dataset) -> DatasetReport | None:
    if dataset.report_key is None:
        return None
    with services.artefacts.open(dataset.report_key) as file:
        return DatasetReport.model_validate_json(file.read())
