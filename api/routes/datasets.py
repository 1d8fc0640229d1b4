"""Datasets: folders of images below the operator's data root, whose images are matched to labels, checked and split."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

from fastapi import APIRouter, Body
from pydantic import BeforeValidator, Field
from sqlalchemy.orm import Session
from starlette.responses import Response

from api.http.dependencies import Created, Idempotency, IdempotencyDep, Services, ServicesDep
from api.http.problems import ProblemError, StorableRequestModel, not_found_at, unprocessable
from api.http.schemas import ONE_FAULT, After, Limit, Name, Page, ResponseModel, Timestamp, page
from api.readers.data_root import resolve_folder
from api.readers.folder_locks import FolderLocks, TooManyHolders
from distill.data.dataset.scan import match_dataset
from distill.data.dataset_check.check import CheckedDataset, DatasetCheck, check_dataset
from distill.data.image_folders import FolderError
from distill.data.image_source import ImageSource
from distill.data.splits import BySeed, SplitSpec
from limbeck.shared.images.dataset_report import DatasetReport
from limbeck.shared.images.file_names import shown_path
from limbeck.shared.labels import unique_names
from store import resources, vocabularies
from store.ids import new_id
from store.models import Dataset, Label

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])
_MAX_THREADS = 8
_MAX_CHECKS = 24
"""Registrations that run or wait at a time: each takes one of the 40 threads of the API."""
_being_checked = FolderLocks(_MAX_CHECKS)


def _texts(given: object) -> object:
    """Refuse a mapping at its first value that is no text, where pydantic would make an error for each."""
    if isinstance(given, dict):
        for folder, label in given.items():
            if not isinstance(label, str):
                raise ValueError(f"{folder[:80]!r} has a value that is no label")
    return given


class DatasetIn(StorableRequestModel, DatasetCheck):
    """A folder below the data root with class folders, WebDataset shards (.tar), a table or data set, or a published
    layout."""

    name: Name | None = Field(None, description="Name of the dataset. If absent, the path.")
    path: str = Field(min_length=1, max_length=1000, description="Relative to the data root.", examples=["cub/images"])
    vocabulary_id: str
    split: SplitSpec = BySeed()
    images: ImageSource = Field(ImageSource(), description="How the images are given, and which of them count.")
    unlabelled: Annotated[list[str], ONE_FAULT] = Field(
        [],
        max_length=100,
        description="Folders of images without labels, relative to the data root: training uses them in the losses "
        "that need no label.",
    )
    folder_map: Annotated[dict[str, str] | None, BeforeValidator(_texts)] = Field(
        None, description="Folder name → label, for folders that are not named like their label."
    )


class DatasetOut(ResponseModel):
    """A dataset: images with labels, split for training and evaluation."""

    object: Literal["dataset"] = "dataset"
    id: str
    name: str
    path: str = Field(description="Relative to the data root.")
    vocabulary_id: str
    split: dict[str, Any] = Field(description="The split, as it was requested.")
    counts: dict[str, int] = Field(
        description="Images in `train`, `held_out`, `ood` and, if there are some, `unlabelled`; labels in `id_labels` "
        "and `ood_labels`."
    )
    digest: str = Field(description="Digest of the image index: paths, labels and split.")
    warnings: list[str] = Field(description="What to look at; the details are in the report.")
    created_at: Timestamp


_EXAMPLES: list[dict[str, Any]] = [
    {
        "name": "CUB",
        "path": "cub/images",
        "vocabulary_id": "voc_01k9yzc3sw8r1mv5n3f4b7qd2x",
        "split": {"by": "seed", "seed": 0, "id_fraction": 0.5, "held_out": 0.3},
    },
    {
        "path": "birds",
        "vocabulary_id": "voc_01k9yzc3sw8r1mv5n3f4b7qd2x",
        "split": {"by": "parts"},
        "images": {"layout": "table", "file": "birds.csv", "columns": {"label": "species", "part": "fold"}},
        "unlabelled": ["street"],
        "duplicates": "move",
    },
    {
        "path": "imagenet-v2",
        "vocabulary_id": "voc_01k9yzc3sw8r1mv5n3f4b7qd2x",
        "split": {"by": "all", "part": "test"},
        "images": {"layout": "class_folders", "unmatched": "skip"},
    },
]


@router.post("", status_code=201, response_model=DatasetOut)
def create(
    services: ServicesDep, idempotency: IdempotencyDep, body: Annotated[DatasetIn, Body(examples=_EXAMPLES)]
) -> Response:
    """Index the images of a folder: match folders to labels, check the images, and split them.

    A split `{"by": "all"}` trains on everything without measurement; with `"part": "test"` the dataset is for
    evaluation only. Every image is opened, unless `check` is `names`. The response comes when all are checked: repeat a
    request that was interrupted with its `Idempotency-Key`, and it continues. GET `/v1/datasets/{id}/report` has the
    details.
    """
    stored_response = idempotency.stored_response()
    if stored_response is not None:
        return stored_response
    # The check can take minutes, so no transaction is open during it.
    with services.db.read() as tx, not_found_at("/vocabulary_id"):
        vocabularies.get(tx, body.vocabulary_id)
        labels = vocabularies.labels(tx, body.vocabulary_id)
    folder, path = resolve_folder(services.settings.data, body.path)
    unlabelled = [
        resolve_folder(services.settings.data, name, f"/unlabelled/{at}")[0] for at, name in enumerate(body.unlabelled)
    ]
    try:
        with _being_checked.hold(folder):
            stored_response = idempotency.stored_response()  # of the same request, which has just been answered
            if stored_response is not None:
                return stored_response
            checked = _check(services, folder, labels, body, unlabelled)
            return _register(services, idempotency, path, body, checked)
    except TooManyHolders:
        detail = f"{_MAX_CHECKS} other registrations run or wait: try again when one of them has ended"
        raise ProblemError(503, "too_many_checks", detail, headers={"Retry-After": "10"}) from None


def _register(
    services: Services, idempotency: Idempotency, path: str, body: DatasetIn, checked: CheckedDataset
) -> Response:
    index = checked.image_index
    id = new_id("dst")
    keys = _save(services, checked, id)

    def write(tx: Session) -> Created:
        row = resources.add_dataset(
            tx,
            id=id,
            vocabulary_id=body.vocabulary_id,
            name=body.name or path,
            path=path,
            split=body.split.model_dump(mode="json"),
            counts=index.counts,
            digest=index.digest,
            **keys,
            warnings=checked.report.warnings,
        )
        return DatasetOut.model_validate(row), f"/v1/datasets/{id}"

    created = False
    try:
        response = idempotency.respond(write)
        created = response.headers["location"].endswith(id)
    finally:
        if not created:  # the transaction failed, or another request with this key was first
            services.artefacts.delete_below(f"datasets/{id}")
    return response


def _check(
    services: Services, folder: Path, labels: Sequence[Label], body: DatasetIn, unlabelled: Sequence[Path]
) -> CheckedDataset:
    names = unique_names([(label.name, label.sense) for label in labels])
    ids = [label.ids for label in labels]
    try:
        matched = match_dataset(folder, names, body.split, body.folder_map, body.images, ids, unlabelled)
        num_threads = min(_MAX_THREADS, os.cpu_count() or 1)
        return check_dataset(matched, body.split, body, cache=services.settings.cache, num_workers=num_threads)
    except FolderError as error:
        raise unprocessable(error.code, error.detail, error.pointer) from None
    except OSError as error:
        detail = f'"{shown_path(os.path.basename(error.filename or ""))}" cannot be read: {error.strerror}'
        raise unprocessable("folder_unreadable", detail, "/path") from None


class _Keys(TypedDict):
    manifest_key: str
    report_key: str
    contents_key: str | None


def _save(services: Services, checked: CheckedDataset, id: str) -> _Keys:
    """Save the index, the report and the contents of the images as artefacts, and return their keys."""
    keys = _Keys(
        manifest_key=f"datasets/{id}/manifest.jsonl", report_key=f"datasets/{id}/report.json", contents_key=None
    )
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "manifest.jsonl")
        checked.image_index.save(file)
        services.artefacts.put_file(file, keys["manifest_key"])
        if checked.contents is not None:
            from distill.data.dataset.trained_on import save_contents

            keys["contents_key"] = contents_key = f"datasets/{id}/contents.safetensors"
            save_contents(Path(scratch, "contents.safetensors"), checked.contents)
            services.artefacts.put_file(Path(scratch, "contents.safetensors"), contents_key)
    services.artefacts.put_bytes(checked.report.model_dump_json().encode(), keys["report_key"])
    return keys


@router.get("", response_model=Page[DatasetOut])
def list_all(services: ServicesDep, limit: Limit = 20, after: After = None, vocabulary_id: str | None = None) -> object:
    """Datasets, newest first."""
    with services.db.read() as tx:
        rows, more = resources.page(tx, Dataset, limit=limit, after=after, vocabulary_id=vocabulary_id)
        return page([DatasetOut.model_validate(row) for row in rows], more, lambda item: item.id)


@router.get("/{id}", response_model=DatasetOut)
def get(services: ServicesDep, id: str) -> object:
    """A dataset."""
    with services.db.read() as tx:
        return DatasetOut.model_validate(resources.dataset(tx, id))


@router.get("/{id}/report", response_model=DatasetReport)
def report(services: ServicesDep, id: str) -> Response:
    """What lies in the folder: images per label, unusable and skipped files, sizes, and images of the same picture."""
    with services.db.read() as tx:
        key = resources.dataset(tx, id).report_key
    if key is None:
        detail = f"dataset {id} was registered before reports existed: register its folder again"
        raise ProblemError(404, "dataset_report_not_found", detail)
    with services.artefacts.open(key) as file:
        return Response(file.read(), media_type="application/json")
