"""A whole job, from labels and images to a student, checked before anything of it is stored.

Its rows are written in a transaction that is rolled back, so that the checks are those of the real requests.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, NamedTuple, TypeVar

from pydantic import Field
from sqlalchemy.orm import Session

from api.http.dependencies import Services
from api.http.problems import ProblemError, StorableRequestModel, not_found_at, unprocessable
from api.http.schemas import ONE_FAULT
from api.jobs import job_requests
from api.jobs.job_plan import JobPlan
from api.jobs.job_requests import JobIn, JobRequest
from api.jobs.machine_checks import check_machine
from api.jobs.plan_enrich import EnrichIn
from api.readers.dataset_folders import (
    DatasetFields,
    DatasetFolders,
    VocabularyLabel,
    check_folders,
    dataset_digest,
    resolve_folders,
)
from api.readers.label_files import VocabularyIn, new_labels
from distill.data.dataset_check.check import CheckedDataset
from store import resources, vocabularies
from store.errors import InvalidField, InvalidRequest
from store.ids import new_id
from store.jobs import jobs
from store.models import AttributeSet, Dataset, Vocabulary
from store.settings import Settings

ResultT = TypeVar("ResultT")
PLANNED = "planned"
_ID = f'`"{PLANNED}"` stands for the one of this plan.'


class PlannedDatasetIn(DatasetFields):
    """A dataset that does not exist yet."""

    vocabulary_id: str = Field(PLANNED, description=_ID)


class PlanIn(StorableRequestModel):
    """A whole job: what would be posted, in order.

    The id `"planned"` stands for a vocabulary, a dataset or an attribute set that does not exist yet: the one of this
    plan, or the one that its enrichment or an import would make.
    """

    vocabulary: VocabularyIn | None = None
    dataset: PlannedDatasetIn | None = None
    jobs: Annotated[list[Annotated[JobIn, Field(description=_ID)]], ONE_FAULT] = Field([], max_length=5)


@dataclass(frozen=True)
class WholeJob:
    """What a plan would store. `same_vocabulary`, `same_dataset`: the id of an equal one that exists."""

    vocabulary: Vocabulary | None
    same_vocabulary: str | None
    dataset: Dataset | None
    same_dataset: str | None
    checked: CheckedDataset | None
    jobs: Sequence[JobPlan]


def plan_whole_job(body: PlanIn, services: Services, read: Callable[[Session, WholeJob], ResultT]) -> ResultT:
    """What `read` returns for the plan, in a transaction that is then rolled back. Raises ProblemError."""
    folder = None if body.dataset is None else _check_dataset(body, body.dataset, services)
    with _rolled_back(services) as tx:
        planned = _write(tx, body, folder, services.settings)
        result = read(tx, planned)
    for at, job in enumerate(planned.jobs):
        with _errors_below(f"/jobs/{at}"):
            check_machine(job, services.settings)
    return result


@contextmanager
def _rolled_back(services: Services) -> Iterator[Session]:
    """A transaction whose writes are undone."""
    with services.db.write() as tx:
        nested = tx.begin_nested()
        yield tx
        nested.rollback()


@dataclass(frozen=True)
class _ImageFolder:
    """The checked folder of a planned dataset."""

    body: PlannedDatasetIn
    folders: DatasetFolders
    checked: CheckedDataset


def _check_dataset(body: PlanIn, dataset: PlannedDatasetIn, services: Services) -> _ImageFolder:
    """Check the images; it can take minutes, so no transaction is open."""
    labels = _planned_labels(body) if _is_planned(dataset) else _stored_labels(dataset.vocabulary_id, services)
    with _errors_below("/dataset"):
        folders = resolve_folders(dataset, services)
        return _ImageFolder(dataset, folders, check_folders(dataset, folders, labels, services.settings))


def _planned_labels(body: PlanIn) -> list[VocabularyLabel]:
    if body.vocabulary is None:
        raise unprocessable("vocabulary_missing", "give the labels as vocabulary, or an id", "/dataset/vocabulary_id")
    with _errors_below("/vocabulary"):
        labels = vocabularies.validate_labels(new_labels(body.vocabulary))
    return [VocabularyLabel(label.name, label.sense, label.ids) for label in labels]


def _stored_labels(vocabulary_id: str, services: Services) -> list[VocabularyLabel]:
    with services.db.read() as tx, not_found_at("/dataset/vocabulary_id"):
        vocabularies.get(tx, vocabulary_id)
        return [VocabularyLabel(*row) for row in vocabularies.label_rows(tx, vocabulary_id)]


def _write(tx: Session, body: PlanIn, folder: _ImageFolder | None, settings: Settings) -> WholeJob:
    vocabulary, dataset, is_new_vocabulary, is_new_dataset = None, None, False, False
    if body.vocabulary is not None:
        with _errors_below("/vocabulary"):
            vocabulary, is_new_vocabulary = vocabularies.put(
                tx, name=body.vocabulary.name, domain=body.vocabulary.domain, labels=new_labels(body.vocabulary)
            )
    if folder is not None:
        dataset, is_new_dataset = _put_dataset(tx, folder, vocabulary)
    return WholeJob(
        vocabulary=vocabulary,
        same_vocabulary=None if vocabulary is None or is_new_vocabulary else vocabulary.id,
        dataset=dataset,
        same_dataset=None if dataset is None or is_new_dataset else dataset.id,
        checked=folder.checked if folder else None,
        jobs=_plan_jobs(tx, body.jobs, _Planned(vocabulary, dataset, folder), settings),
    )


def _put_dataset(tx: Session, folder: _ImageFolder, vocabulary: Vocabulary | None) -> tuple[Dataset, bool]:
    vocabulary_id = vocabulary.id if vocabulary is not None and _is_planned(folder.body) else folder.body.vocabulary_id
    index, id = folder.checked.image_index, new_id("dst")
    row = resources.add_dataset(
        tx,
        id=id,
        vocabulary_id=vocabulary_id,
        name=folder.folders.name,
        path=folder.folders.path,
        upload_id=folder.folders.upload_id,
        split=folder.body.split.model_dump(mode="json"),
        counts=index.counts,
        digest=index.digest,
        labels_per_image=index.labels_per_image,
        inputs_digest=dataset_digest(vocabulary_id, folder.folders, folder.body, folder.checked),
        manifest_key="",
        warnings=folder.checked.report.warnings,
    )
    return row, row.id == id


def _is_planned(body: PlannedDatasetIn) -> bool:
    return body.vocabulary_id == PLANNED


class _Planned(NamedTuple):
    vocabulary: Vocabulary | None
    dataset: Dataset | None
    folder: _ImageFolder | None


def _plan_jobs(tx: Session, requests: Sequence[JobRequest], planned: _Planned, settings: Settings) -> list[JobPlan]:
    """The plans of the jobs, with ids in place of `planned`."""
    vocabulary, dataset, folder = planned
    attribute_set_id: str | None = None
    plans: list[JobPlan] = []
    for at, request in enumerate(requests):
        with _errors_below(f"/jobs/{at}"):
            if getattr(request, "attribute_set_id", None) == PLANNED and attribute_set_id is None:
                attribute_set_id = _planned_set(tx, vocabulary, dataset or _stored_dataset(tx, request))
            ids = {
                "vocabulary_id": vocabulary.id if vocabulary else None,
                "dataset_id": dataset.id if dataset else None,
                "attribute_set_id": attribute_set_id,
            }
            is_planned = folder is not None and getattr(request, "dataset_id", None) == PLANNED
            images = folder.checked.image_index if folder is not None and is_planned else None
            plans.append(job_requests.plan(tx, _with_ids(request, ids), settings, images))
            if isinstance(request, EnrichIn):
                attribute_set_id = _set_of_same_job(tx, plans[-1], settings)
    return plans


def _with_ids(request: JobRequest, ids: Mapping[str, str | None]) -> JobRequest:
    """The request with ids in place of `planned`. Raises ProblemError for one that the plan lacks."""
    changes: dict[str, str] = {}
    for field, id in ids.items():
        if getattr(request, field, None) == PLANNED:
            if id is None:
                name = field.removesuffix("_id")
                raise unprocessable(f"{name}_missing", f"the plan has no {name}: give it, or an id", f"/{field}")
            changes[field] = id
    return request.model_copy(update=changes)


def _set_of_same_job(tx: Session, plan: JobPlan, settings: Settings) -> str | None:
    """The attribute set that a job with the inputs of this enrichment has made."""
    same = jobs.newest_usable(tx, plan.inputs_digest(settings.data))
    found = (same.result or {}).get("attribute_set_id") if same else None
    return str(found) if found else None


def _stored_dataset(tx: Session, request: JobRequest) -> Dataset | None:
    """The dataset that a request names."""
    return tx.get(Dataset, getattr(request, "dataset_id", None) or "")


def _planned_set(tx: Session, vocabulary: Vocabulary | None, dataset: Dataset | None) -> str | None:
    """A set that stands for the one that does not exist yet."""
    if vocabulary is None and dataset is not None:
        vocabulary = vocabularies.get(tx, dataset.vocabulary_id)
    if vocabulary is None:
        return None
    row = AttributeSet(
        id=new_id("ats"),
        vocabulary_id=vocabulary.id,
        parent_id=None,
        digest="",
        num_labels=vocabulary.num_labels,
        num_described=vocabulary.num_labels,
        num_flagged=0,
        source={},
        created_at=time.time(),
    )
    tx.add(row)
    tx.flush()
    return row.id


@contextmanager
def _errors_below(prefix: str) -> Iterator[None]:
    """Put `prefix` before the pointers of a problem."""
    try:
        yield
    except InvalidRequest as error:
        fields = [InvalidField(prefix + field.pointer, field.detail) for field in error.invalid_fields]
        raise InvalidRequest(error.code, str(error), fields) from None
    except ProblemError as error:
        fields = [InvalidField(prefix + item.pointer, item.detail) for item in error.errors]
        raise ProblemError(error.status_code, error.code, error.detail, fields) from None
