"""Datasets, captions of their images, teachers, and text targets."""

from collections.abc import AsyncIterator, Mapping, Sequence

from limbeck.client.asynchronous.http import AsyncHttp
from limbeck.client.asynchronous.requests import delete, get, items, post
from limbeck.client.paths import resource_path, without_none
from limbeck.client.responses import CHECK_TIMEOUT_S, parsed
from limbeck.models import (
    CaptionSet,
    CreatedDataset,
    Dataset,
    Deletion,
    ImagesOfLabels,
    TargetLabels,
    Teacher,
    TextTargets,
    TokenCounts,
)
from limbeck.shared.images.dataset_report import Check, DatasetReport, DuplicateAction, NearDuplicateAction


class AsyncDatasets:
    """Datasets: `client.datasets`."""

    def __init__(self, http: AsyncHttp) -> None:
        self._http = http

    async def create(
        self,
        vocabulary_id: str,
        path: str,
        *,
        split: Mapping[str, object],
        name: str | None = None,
        folder_map: Mapping[str, str] | None = None,
        images: Mapping[str, object] | None = None,
        unlabelled: Sequence[str] = (),
        check: Check = "full",
        duplicates: DuplicateAction | None = None,
        near_duplicates: NearDuplicateAction | None = None,
    ) -> CreatedDataset:
        """Register a folder of images as a dataset. An equal dataset, of images with the same content, is reused.

        Args:
            vocabulary_id: the vocabulary of its labels.
            path: the folder, relative to the service's data root.
            split: `{"by": "seed", "seed": 0, "id_fraction": 0.5, "held_out": 0.3}`, `{"by": "list", "id": […], "ood":
                […]}`, `{"by": "parts"}`, `{"by": "all"}` or `{"by": "image_lists", "train": …, "held_out": …, "ood":
                …}`.
            name: name of the dataset; the path by default.
            folder_map: name of a folder -> label.
            images: how the images are given, if the folder alone does not say: `{"layout": "table", "file":
                "train.csv", "columns": {"label": "species"}}`.
            unlabelled: folders of images without labels to train on too, relative to the data root.
            check: `full` opens each image, `names` none.
            duplicates: what to do with copies of an image in several parts; `refuse` by default.
            near_duplicates: the same for pictures that look the same; `report` by default.

        Raises:
            Problem: the folder, its images or the split are refused; `errors` names the reasons.
        """
        body = without_none(
            name=name or path,
            vocabulary_id=vocabulary_id,
            path=path,
            split=dict(split),
            folder_map=dict(folder_map) if folder_map else None,
            images=dict(images) if images else None,
            unlabelled=[*unlabelled] or None,
            check=None if check == "full" else check,
            duplicates=duplicates,
            near_duplicates=near_duplicates,
        )
        return await post(self._http, CreatedDataset, "/v1/datasets", body, read_timeout_s=CHECK_TIMEOUT_S)

    async def get(self, id: str) -> Dataset:
        """One dataset."""
        return await get(self._http, Dataset, "datasets", id)

    async def delete(self, id: str, *, force: bool = False) -> Deletion:
        """Delete a dataset. The images stay where they are; with `force`, also everything that refers to it.

        Raises:
            Conflict: something refers to it (`in_use`), or a job that has not ended needs it (`job_running`); `errors`
                name them.
        """
        return await delete(self._http, "datasets", id, force=force)

    async def label_images(self, id: str, labels: Sequence[int]) -> ImagesOfLabels:
        """The first images of up to 100 labels, by their positions in the vocabulary."""
        path = resource_path("datasets", id, "label-images")
        return parsed(
            ImagesOfLabels, await self._http.request("GET", path, params={"label": [str(label) for label in labels]})
        )

    def list(self, *, vocabulary_id: str | None = None, owner: str | None = None) -> AsyncIterator[Dataset]:
        """All datasets, or those of a vocabulary or an owner, newest first."""
        return items(self._http, Dataset, "/v1/datasets", {"vocabulary_id": vocabulary_id, "owner": owner})

    async def report(self, id: str) -> DatasetReport:
        """What lies in the folder of a dataset.

        Raises:
            Problem: an earlier version of the service registered the dataset without a report.
        """
        return parsed(DatasetReport, await self._http.request("GET", resource_path("datasets", id, "report")))

    async def thumbnail(self, id: str, row: int, *, size_px: int = 160) -> bytes:
        """The image at position `row` of the dataset's index, from 0, as a JPEG whose longer side is `size_px`.

        Args:
            id: the dataset.
            row: position in the index.
            size_px: a multiple of 32, from 32 to 512; images are never enlarged.

        Raises:
            NotFound: there is no such image, or its file is gone (`image_missing`).
            Problem: the file cannot be decoded (`image_unreadable`, `image_too_costly`).
        """
        path = resource_path("datasets", id, "images", str(row), "thumbnail")
        return (await self._http.request("GET", path, params={"size": size_px})).content


class AsyncCaptionSets:
    """Captions of the images of datasets: `client.caption_sets`."""

    def __init__(self, http: AsyncHttp) -> None:
        self._http = http

    async def get(self, id: str) -> CaptionSet:
        """One caption set."""
        return await get(self._http, CaptionSet, "caption-sets", id)

    async def delete(self, id: str, *, force: bool = False) -> Deletion:
        """Delete a caption set; with `force`, also everything that refers to it.

        Raises:
            Conflict: something refers to it (`in_use`), or a job that has not ended needs it (`job_running`); `errors`
                name them.
        """
        return await delete(self._http, "caption-sets", id, force=force)

    def list(self, *, dataset_id: str | None = None, owner: str | None = None) -> AsyncIterator[CaptionSet]:
        """All caption sets, or those of a dataset or an owner, newest first."""
        return items(self._http, CaptionSet, "/v1/caption-sets", {"dataset_id": dataset_id, "owner": owner})

    async def export(self, id: str) -> bytes:
        """The captions as a file: JSON Lines, `{"path", "sha256", "caption"}` per image."""
        return (await self._http.request("GET", resource_path("caption-sets", id, "file"))).content


class AsyncTeachers:
    """Teachers that a worker has loaded: `client.teachers`."""

    def __init__(self, http: AsyncHttp) -> None:
        self._http = http

    async def get(self, id: str) -> Teacher:
        """One teacher."""
        return await get(self._http, Teacher, "teachers", id)

    def list(self, *, ref: str | None = None) -> AsyncIterator[Teacher]:
        """All teachers, or those of one reference, newest first."""
        return items(self._http, Teacher, "/v1/teachers", {"ref": ref})

    async def count_tokens(self, lines: Sequence[Mapping[str, str]], *, teacher: str | None = None) -> TokenCounts:
        """The tokens of up to 100 lines as a teacher reads them.

        Args:
            lines: `{"label": "crane", "kind": "phrase", "text": "a red crown"}`.
            teacher: the reference of a teacher that a worker has loaded; without one, CLIP's vocabulary is used.
        """
        body = without_none(teacher=teacher, lines=[dict(line) for line in lines])
        return await post(self._http, TokenCounts, "/v1/token-counts", body)


class AsyncTextTargetSets:
    """Sets of text targets: `client.text_targets`."""

    def __init__(self, http: AsyncHttp) -> None:
        self._http = http

    async def get(self, id: str) -> TextTargets:
        """One set of text targets."""
        return await get(self._http, TextTargets, "text-targets", id)

    async def delete(self, id: str, *, force: bool = False) -> Deletion:
        """Delete text targets; with `force`, also everything that refers to it.

        Raises:
            Conflict: something refers to it (`in_use`), or a job that has not ended needs it (`job_running`); `errors`
                name them.
        """
        return await delete(self._http, "text-targets", id, force=force)

    def list(
        self, *, vocabulary_id: str | None = None, attribute_set_id: str | None = None, owner: str | None = None
    ) -> AsyncIterator[TextTargets]:
        """All text targets, or those of a vocabulary, an attribute set or an owner, newest first."""
        filters = {"vocabulary_id": vocabulary_id, "attribute_set_id": attribute_set_id, "owner": owner}
        return items(self._http, TextTargets, "/v1/text-targets", filters)

    async def labels(self, id: str) -> TargetLabels:
        """The labels of the features, in their order, and the teacher whose students can use them."""
        return parsed(TargetLabels, await self._http.request("GET", resource_path("text-targets", id, "labels.json")))

    async def export(self, id: str) -> bytes:
        """The features as a safetensors file: `features` (K, D), L2-normalised, in the order of the labels."""
        return (await self._http.request("GET", resource_path("text-targets", id, "file"))).content
