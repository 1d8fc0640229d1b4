"""Pages of datasets: register a folder or an upload, look at its images, and start a training."""

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
from api.readers.label_coverage import images_of_labels, label_coverage
from distill.config.recipes import RECIPES
from distill.data.image_index import Item
from limbeck.shared.images.dataset_report import DatasetReport
from limbeck.shared.templates import TEXT_KINDS
from store import resources, vocabularies
from store.models import AttributeSet, Checkpoint, Dataset, Job, Label, Teacher, Upload, Vocabulary
from store.uploads import uploads

router = APIRouter(include_in_schema=False)

_IMAGES = 60
_CHOICES = 100
_LABELS = 50
_PARTS = {"train": "training", "held_out": "held out", "ood": "unseen labels", "unlabelled": "without labels"}
Position = Annotated[int, Query(ge=0, le=MAX_INT32, description="Position of the first image shown.")]


@router.get("/images/new")
def new_images(request: Request, services: ServicesDep, vocabulary: str = "", upload: str = "") -> HTMLResponse:
    """The form that registers a folder below the data root, or an upload."""
    settings = services.settings
    with services.db.read() as tx:
        complete, _ = resources.page(tx, Upload, limit=_CHOICES, after=None, status=uploads.COMPLETE)
        quota_left = max(0, settings.upload_quota_bytes - uploads.reserved_bytes(tx))
        rows, _ = resources.page(tx, Vocabulary, limit=_CHOICES, after=None)
        choices = [(row.id, row.name, row.num_labels) for row in rows]
        if vocabulary and vocabulary not in [id for id, _, _ in choices]:
            chosen = vocabularies.get(tx, vocabulary)
            choices.append((chosen.id, chosen.name, chosen.num_labels))
    folders, is_on = _folders(settings.data), settings.upload_root is not None
    uploaded = [(row.id, row.name, row.num_files, row.reserved) for row in complete] if is_on else []
    return page(
        request,
        "images_new.html.jinja",
        vocabularies=choices,
        chosen=vocabulary,
        folders=folders,
        data_root=str(settings.data),
        uploads_on=is_on,
        uploaded=uploaded,
        chosen_upload=upload,
        place="uploaded" if upload and uploaded else "folder" if folders or not is_on else "upload",
        quota=settings.upload_quota_bytes,
        quota_left=quota_left,
    )


def _folders(root: Path) -> Sequence[str]:
    """The first folders of the data root, as suggestions."""
    try:
        names = [entry.name for entry in root.iterdir() if entry.is_dir() and not entry.is_symlink()]
    except OSError:
        return ()
    return sorted(name for name in names if not name.startswith(".") and name.isprintable())[:_CHOICES]


@router.get("/images/{id}")
def images_page(
    request: Request,
    services: ServicesDep,
    id: str,
    start: Position = 0,
    label: Annotated[int | None, Query(ge=0, le=MAX_INT32, description="Only the images of this label.")] = None,
    labels: Annotated[int, Query(ge=0, le=MAX_INT32, description="The first label of the list.")] = 0,
    against: Annotated[str, Query(max_length=64, description="Compare with this vocabulary.")] = "",
) -> HTMLResponse:
    """A dataset: its report, its labels and images, and the form of a training."""
    rows: IndexRows = request.app.state.index_rows
    with services.db.read() as tx:
        dataset = resources.dataset(tx, id)
        numbered = _shown_images(rows, dataset, start, label)
        shown = [item for _, item in numbered]
        listed = images_of_labels(tx, rows, dataset, start=labels, stop=labels + _LABELS + 1)
        others, _ = resources.page(tx, Vocabulary, limit=_CHOICES, after=None)
        names = _label_names(tx, dataset.vocabulary_id, [label for item in shown for label in item.all_labels])
        sets, _ = resources.page(tx, AttributeSet, limit=_CHOICES, after=None, vocabulary_id=dataset.vocabulary_id)
        students, _ = resources.page(
            tx, Checkpoint, limit=_IMAGES, after=None, without=(Checkpoint.evaluation,), dataset_id=id
        )
        values: dict[str, Any] = {
            "dataset": dataset,
            "vocabulary": link(dataset.vocabulary_id),
            "counts": [(_PARTS[name], formats.number(dataset.counts.get(name, 0))) for name in _PARTS],
            "images": [
                (number, item.path, ", ".join(names[label] for label in item.all_labels), _PARTS[item.part])
                for number, item in numbered[:_IMAGES]
            ],
            "next_url": _address(id, start=start + _IMAGES, label=label) if len(shown) > _IMAGES else "",
            "first_url": _address(id, label=label) if start else "",
            "label_name": None if label is None else _label_names(tx, dataset.vocabulary_id, [label]).get(label, ""),
            "labels": [(_address(id, label=one.position), one.label, one.num_images) for one in listed[:_LABELS]],
            "next_labels": f"{with_query(f'/images/{id}', labels=labels + _LABELS)}#labels"
            if len(listed) > _LABELS
            else "",
            "first_labels": f"/images/{id}#labels" if labels else "",
            "vocabularies": [(row.id, row.name, row.num_labels) for row in others],
            "against": against or dataset.vocabulary_id,
            "coverage": label_coverage(tx, rows, dataset, against or dataset.vocabulary_id, most=_CHOICES),
            "sets": [(row.id, row.num_described, row.num_labels) for row in sets],
            "students": [(link(row.id), row.student, formats.time_tag(row.created_at)) for row in students],
            "teachers": sorted(set(tx.scalars(select(Teacher.ref).order_by(Teacher.id.desc()).limit(_CHOICES)))),
            "running": _running_jobs(tx, id),
        }
    report = _report(services, dataset)
    return page(request, "images.html.jinja", report=report, texts=TEXT_KINDS, recipes=list(RECIPES), **values)


def _shown_images(rows: IndexRows, dataset: Dataset, start: int, label: int | None) -> list[tuple[int, Item]]:
    """Position and image of the images of a page and of one more."""
    stop = start + _IMAGES + 1
    if label is not None:
        return rows.rows_of_label(dataset.manifest_key, label, start, stop)
    return list(enumerate(rows.rows(dataset.manifest_key, start, stop), start))


def _address(id: str, **query: int | None) -> str:
    """The images of a page."""
    given = {name: value for name, value in query.items() if value is not None}
    return (with_query(f"/images/{id}", **given) if given else f"/images/{id}") + "#images"


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
