"""Datasets: folders of images below the operator's data root, matched to a vocabulary and split."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body
from pydantic import Field
from sqlalchemy.orm import Session
from starlette.responses import Response

from api.http.dependencies import Made, OnlyOnce, Services, Use
from api.http.problems import StorableInput, at, refused
from api.http.schemas import After, Limit, Name, Output, Page, Time, page
from api.readers.data_root import below_data_root
from distill.data import image_index
from distill.data.image_index import BySeed, FolderError, ImageIndex, SplitSpec
from store import resources, vocabularies
from store.ids import new_id
from store.models import Dataset, Label

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])


class DatasetIn(StorableInput):
    """A folder of class folders, of WebDataset shards (.tar), or with image lists, below the data root."""

    name: Name | None = Field(None, description="The path, where absent.")
    path: str = Field(min_length=1, max_length=1000, description="Relative to the data root.", examples=["cub/images"])
    vocabulary_id: str
    split: SplitSpec = BySeed()
    folder_map: dict[str, str] | None = Field(
        None, description="Folder name → label, for folders whose name is not their label's."
    )


class DatasetOut(Output):
    """Images matched and split; `counts` of images in each part, and of ID and OOD labels."""

    object: Literal["dataset"] = "dataset"
    id: str
    name: str
    path: str
    vocabulary_id: str
    split: dict[str, Any]
    counts: dict[str, int]
    digest: str
    created_at: Time


_EXAMPLES: list[Any] = [
    {
        "name": "CUB",
        "path": "cub/images",
        "vocabulary_id": "voc_01k9yzc3sw8r1mv5n3f4b7qd2x",
        "split": {"by": "seed", "seed": 0, "id_fraction": 0.5, "held_out": 0.3},
    }
]


@router.post("", status_code=201, response_model=DatasetOut)
def create(use: Use, once: OnlyOnce, given: Annotated[DatasetIn, Body(examples=_EXAMPLES)]) -> Response:
    """Find the images, match their folders to labels, split them, and keep the list. No image is opened."""
    # Scanning may take minutes: no transaction is open meanwhile.
    earlier = once.earlier()
    if earlier is not None:
        return earlier
    with use.db.read() as tx, at("/vocabulary_id"):
        vocabularies.get(tx, given.vocabulary_id)
        labels = vocabularies.labels(tx, given.vocabulary_id)
    folder, path = below_data_root(use.settings.data, given.path)
    image_index = _scan(folder, told_apart(labels), given.split, given.folder_map)
    id = new_id("dst")
    key = _save(use, image_index, id)

    def make(tx: Session) -> Made:
        row = resources.add_dataset(
            tx,
            id=id,
            vocabulary_id=given.vocabulary_id,
            name=given.name or path,
            path=path,
            split=given.split.model_dump(mode="json"),
            counts=image_index.counts,
            digest=image_index.digest,
            manifest_key=key,
        )
        return DatasetOut.model_validate(row), f"/v1/datasets/{id}"

    made = False
    try:
        answer = once.answer(make)
        made = answer.headers["location"].endswith(id)
    finally:
        if not made:  # another request with this key was first, or nothing was kept
            use.artefacts.delete_below(f"datasets/{id}")
    return answer


def told_apart(labels: Sequence[Label]) -> list[str]:
    """The labels' names, with their sense where another has the same name: `crane (the bird)`."""
    seen: dict[str, int] = {}
    for label in labels:
        seen[label.name.casefold()] = seen.get(label.name.casefold(), 0) + 1
    return [
        f"{label.name} ({label.sense})" if seen[label.name.casefold()] > 1 and label.sense else label.name
        for label in labels
    ]


def _scan(folder: Path, labels: Sequence[str], split: Any, folder_map: Mapping[str, str] | None) -> ImageIndex:
    try:
        return image_index.scan(folder, labels, split, folder_map)
    except FolderError as error:
        raise refused(error.code, error.detail, error.pointer) from None
    except OSError as error:
        detail = f'"{os.path.basename(error.filename or "")}" cannot be read: {error.strerror}'
        raise refused("folder_unreadable", detail, "/path") from None


def _save(use: Services, image_index: ImageIndex, id: str) -> str:
    key = f"datasets/{id}/manifest.jsonl"
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "manifest.jsonl")
        image_index.save(file)
        use.artefacts.put_file(file, key)
    return key


@router.get("", response_model=Page[DatasetOut])
def list_all(use: Use, limit: Limit = 20, after: After = None, vocabulary_id: str | None = None) -> object:
    """Datasets, newest first."""
    with use.db.read() as tx:
        rows, more = resources.page(tx, Dataset, limit=limit, after=after, vocabulary_id=vocabulary_id)
        return page([DatasetOut.model_validate(row) for row in rows], more, lambda one: one.id)


@router.get("/{id}", response_model=DatasetOut)
def get(use: Use, id: str) -> object:
    """A dataset."""
    with use.db.read() as tx:
        return DatasetOut.model_validate(resources.dataset(tx, id))
