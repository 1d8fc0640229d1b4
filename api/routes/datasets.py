"""Datasets: folders of images below the data root or in uploads, matched to labels, checked and split."""

import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

from fastapi import APIRouter, Body, Query, Request
from pydantic import Field
from sqlalchemy.orm import Session
from starlette.responses import Response

from api.http import deletions
from api.http.dependencies import Idempotency, IdempotencyDep, OwnerFilter, Reused, Services, ServicesDep
from api.http.json_bodies import LargeJSONRoute
from api.http.problems import ProblemError, not_found_at
from api.http.schemas import OWNER, After, Limit, Page, ResponseModel, Timestamp, page
from api.readers.dataset_folders import (
    DatasetFields,
    DatasetFolders,
    VocabularyLabel,
    check_folders,
    dataset_digest,
    resolve_folders,
)
from api.readers.folder_locks import FolderLocks, TooManyHolders
from api.readers.index_rows import IndexRows
from api.readers.label_coverage import label_coverage
from distill.data.dataset_check.check import CheckedDataset
from limbeck.shared.images.dataset_report import DatasetReport
from store import resources, unique_rows, vocabularies
from store.ids import new_id
from store.models import Dataset

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], route_class=LargeJSONRoute)
_MAX_LABELS = 1_000
_MAX_CHECKS = 24
"""Registrations that run or wait at a time: each takes one of the 40 threads of the API."""
_being_checked = FolderLocks(_MAX_CHECKS)


class DatasetIn(DatasetFields):
    """A folder below the data root or an upload, with class folders, WebDataset shards (.tar), a table or data set, or
    a published layout."""

    vocabulary_id: str


class DatasetOut(ResponseModel):
    """A dataset: images with labels, split for training and evaluation."""

    object: Literal["dataset"] = "dataset"
    id: str
    name: str
    path: str = Field(description="Relative to the data root, or to the upload.")
    upload_id: str | None = Field(None, description="The upload that holds the images; null for the data root.")
    vocabulary_id: str
    split: dict[str, Any] = Field(description="The split, as it was requested.")
    counts: dict[str, int] = Field(
        description="Images in `train`, `held_out`, `ood` and, if there are some, `unlabelled`; labels in `id_labels` "
        "and `ood_labels`."
    )
    labels_per_image: float | None = Field(
        None, description="Mean number of labels of an image of a multi-label dataset; null for one label an image."
    )
    digest: str = Field(description="Digest of the image index: paths, labels and split.")
    warnings: list[str] = Field(description="What to look at; the details are in the report.")
    owner: str | None = Field(None, description=OWNER)
    created_at: Timestamp


class CreatedDatasetOut(DatasetOut):
    """A dataset that was posted."""

    reused: bool = Field(description="Whether an equal dataset existed: this is that one, with its name.")


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
    {"upload_id": "upl_01k9yzc3sw8r1mv5n3f4b7qd2x", "vocabulary_id": "voc_01k9yzc3sw8r1mv5n3f4b7qd2x"},
    {
        "path": "coco",
        "vocabulary_id": "voc_01k9yzc3sw8r1mv5n3f4b7qd2x",
        "split": {"by": "parts"},
        "images": {"layout": "coco", "several_labels": "all"},
    },
]


@router.post(
    "",
    status_code=201,
    response_model=CreatedDatasetOut,
    responses={200: {"model": CreatedDatasetOut, "description": "An equal dataset existed"}},
)
def create(
    services: ServicesDep, idempotency: IdempotencyDep, body: Annotated[DatasetIn, Body(examples=_EXAMPLES)]
) -> Response:
    """Index the images of a folder: match folders to labels, check the images, and split them.

    A split `{"by": "all"}` trains on everything without measurement; with `"part": "test"` the dataset is for
    evaluation only. Every image is opened, unless `check` is `names`. The response comes when all are checked: repeat a
    request that was interrupted with its `Idempotency-Key`, and it continues. GET `/v1/datasets/{id}/report` has the
    details.

    If a dataset has the same vocabulary, path, split, images with their contents, and report, it is the response, with
    status 200.
    """
    stored_response = idempotency.stored_response()
    if stored_response is not None:
        return stored_response
    # The check can take minutes, so no transaction is open during it.
    with services.db.read() as tx, not_found_at("/vocabulary_id"):
        vocabularies.get(tx, body.vocabulary_id)
        labels = [VocabularyLabel(*row) for row in vocabularies.label_rows(tx, body.vocabulary_id)]
    folders = resolve_folders(body, services)
    try:
        with _being_checked.hold(folders.folder):
            stored_response = idempotency.stored_response()  # of the same request, which has just been answered
            if stored_response is not None:
                return stored_response
            checked = check_folders(body, folders, labels, services.settings)
            return _register(services, idempotency, folders, body, checked)
    except TooManyHolders:
        detail = f"{_MAX_CHECKS} other registrations run or wait: try again when one of them has ended"
        raise ProblemError(503, "too_many_checks", detail, headers={"Retry-After": "10"}) from None


def _register(
    services: Services, idempotency: Idempotency, folders: DatasetFolders, body: DatasetIn, checked: CheckedDataset
) -> Response:
    index = checked.image_index
    inputs_digest = dataset_digest(body.vocabulary_id, folders, body, checked)
    id = new_id("dst")
    with services.db.read() as tx:
        same = unique_rows.find(tx, Dataset, inputs_digest)
    # A dataset that another request registers meanwhile is found by `add_dataset`.
    keys = _Keys(manifest_key="", report_key="", contents_key=None) if same else _save(services, checked, id)

    def write(tx: Session) -> Reused:
        row = same or resources.add_dataset(
            tx,
            id=id,
            owner=idempotency.principal.owner,
            vocabulary_id=body.vocabulary_id,
            name=folders.name,
            path=folders.path,
            upload_id=folders.upload_id,
            split=body.split.model_dump(mode="json"),
            counts=index.counts,
            digest=index.digest,
            labels_per_image=index.labels_per_image,
            inputs_digest=inputs_digest,
            **keys,
            warnings=checked.report.warnings,
        )
        is_reused = row.id != id
        created = DatasetOut.model_validate(row).model_dump() | {"reused": is_reused}
        return CreatedDatasetOut.model_validate(created), f"/v1/datasets/{row.id}", is_reused

    created = False
    try:
        response = idempotency.respond_reusing(write)
        created = response.headers["location"].endswith(id)
    finally:
        if not created:  # the transaction failed, or another request was first
            services.artefacts.delete_below(f"datasets/{id}")
    return response


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
def list_all(
    services: ServicesDep,
    limit: Limit = 20,
    after: After = None,
    owner: OwnerFilter = None,
    vocabulary_id: str | None = None,
) -> object:
    """Datasets, newest first."""
    with services.db.read() as tx:
        rows, more = resources.page(tx, Dataset, limit=limit, after=after, owner=owner, vocabulary_id=vocabulary_id)
        return page([DatasetOut.model_validate(row) for row in rows], more, lambda item: item.id)


@router.get("/{id}", response_model=DatasetOut)
def get(services: ServicesDep, id: str) -> object:
    """A dataset."""
    with services.db.read() as tx:
        return DatasetOut.model_validate(resources.dataset(tx, id))


@router.delete("/{id}", status_code=204, response_class=Response, responses={**deletions.RESPONSES})
def delete(services: ServicesDep, idempotency: IdempotencyDep, id: str, force: deletions.Force = False) -> Response:
    """Delete a dataset. The images stay where they are, also those of an upload."""
    return deletions.delete(services, idempotency, "dataset", id, force=force)


class CountedLabelOut(ResponseModel):
    """Images of a label of the dataset's vocabulary."""

    position: int = Field(description="Position of the label in the dataset's vocabulary.")
    label: str
    num_images: int


class LabelCoverageOut(ResponseModel):
    """The labels of the images beside those of a vocabulary."""

    object: Literal["label_coverage"] = "label_coverage"
    vocabulary_id: str
    num_labels: int = Field(description="Labels of the vocabulary.")
    num_without_images: int = Field(description="Labels of the vocabulary without an image in the dataset.")
    labels_without_images: list[str] = Field(description=f"At most {_MAX_LABELS:,} of them, in order.")
    num_without_label: int = Field(description="Images whose label is not, or not uniquely, in the vocabulary.")
    images_without_label: list[CountedLabelOut] = Field(
        description=f"Their labels in the dataset's own vocabulary, fewest images first, at most {_MAX_LABELS:,}."
    )
    num_unlabelled: int = Field(description="Images that have no label in the dataset itself.")


@router.get("/{id}/coverage", response_model=LabelCoverageOut)
def coverage(
    request: Request,
    services: ServicesDep,
    id: str,
    vocabulary_id: Annotated[
        str | None, Query(max_length=64, description="Compare with this vocabulary; by default the dataset's own.")
    ] = None,
) -> object:
    """Labels without images and images without labels, against a vocabulary, by the rules that match folders.

    Folders that matched no label when the dataset was registered are not in it; its report names them in `skipped`.
    """
    rows: IndexRows = request.app.state.index_rows
    with services.db.read() as tx:
        dataset = resources.dataset(tx, id)
        compared = vocabulary_id or dataset.vocabulary_id
        found = label_coverage(tx, rows, dataset, compared, most=_MAX_LABELS)
    return LabelCoverageOut(
        vocabulary_id=compared,
        num_labels=found.num_labels,
        num_without_images=found.num_without_images,
        labels_without_images=list(found.without_images),
        num_without_label=found.num_without_label,
        images_without_label=[CountedLabelOut.model_validate(one) for one in found.without_label[:_MAX_LABELS]],
        num_unlabelled=found.num_unlabelled,
    )


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
