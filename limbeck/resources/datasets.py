"""Datasets, caption sets, teachers and text targets."""

from collections.abc import Iterator, Mapping, Sequence

from limbeck.http import Http
from limbeck.models import CaptionSet, Dataset, Teacher, TextTargets
from limbeck.resources.requests import get, items, post, resource_path, without_none
from limbeck.shared.images.dataset_report import Check, DatasetReport, DuplicateAction, NearDuplicateAction

CHECK_TIMEOUT_S = 3600.0
"""How long to wait until the service has checked all images; a request that is repeated continues the check."""


class DatasetMethods:
    """Client methods for datasets and the inputs of a distillation."""

    _http: Http

    def register_dataset(
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
    ) -> Dataset:
        """Register a folder of images; `path` is relative to the service's data root.

        `split`: `{"by": "seed", "seed": 0, "id_fraction": 0.5, "held_out": 0.3}`, `{"by": "list", "id": […],
        "ood": […]}`, `{"by": "parts"}`, `{"by": "all"}` or
        `{"by": "image_lists", "train": …, "held_out": …, "ood": …}`.
        `images`: how the images are given, if the folder alone does not say: `{"layout": "table", "file": "train.csv",
        "columns": {"label": "species"}}`. `unlabelled`: folders of images without labels to train on too, relative to
        the data root. `check`: `names` opens no image. `duplicates`: what to do with copies of an image in several
        parts, `refuse` by default; `near_duplicates`: the same for pictures that look the same, `report` by default.
        """
        body: dict[str, object] = {
            "name": name or path,
            "vocabulary_id": vocabulary_id,
            "path": path,
            "split": dict(split),
        }
        if folder_map:
            body["folder_map"] = dict(folder_map)
        if images:
            body["images"] = dict(images)
        if unlabelled:
            body["unlabelled"] = list(unlabelled)
        body |= without_none(
            check=None if check == "full" else check, duplicates=duplicates, near_duplicates=near_duplicates
        )
        return post(self._http, Dataset, "/v1/datasets", body, read_timeout_s=CHECK_TIMEOUT_S)

    def dataset_report(self, id: str) -> DatasetReport:
        """What lies in the folder of a dataset. Raises Problem for a dataset of an earlier version of the service."""
        return DatasetReport.model_validate(self._http.json("GET", resource_path("datasets", id, "report")))

    def dataset(self, id: str) -> Dataset:
        """One dataset."""
        return get(self._http, Dataset, "datasets", id)

    def datasets(self, *, vocabulary_id: str | None = None) -> Iterator[Dataset]:
        """All datasets, or those of a vocabulary, newest first."""
        return items(self._http, Dataset, "/v1/datasets", {"vocabulary_id": vocabulary_id})

    def caption_set(self, id: str) -> CaptionSet:
        """One caption set."""
        return get(self._http, CaptionSet, "caption-sets", id)

    def caption_sets(self, *, dataset_id: str | None = None) -> Iterator[CaptionSet]:
        """All caption sets, or those of a dataset, newest first."""
        return items(self._http, CaptionSet, "/v1/caption-sets", {"dataset_id": dataset_id})

    def captions(self, caption_set_id: str) -> bytes:
        """The file of a caption set: JSON Lines, `{"path", "sha256", "caption"}` per image."""
        return self._http.request("GET", resource_path("caption-sets", caption_set_id, "file")).content

    def teacher(self, id: str) -> Teacher:
        """One teacher that a worker has loaded."""
        return get(self._http, Teacher, "teachers", id)

    def teachers(self, *, ref: str | None = None) -> Iterator[Teacher]:
        """All teachers that a worker has loaded, or those of one reference, newest first."""
        return items(self._http, Teacher, "/v1/teachers", {"ref": ref})

    def text_targets(self, id: str) -> TextTargets:
        """One set of text targets."""
        return get(self._http, TextTargets, "text-targets", id)

    def every_text_targets(
        self, *, vocabulary_id: str | None = None, attribute_set_id: str | None = None
    ) -> Iterator[TextTargets]:
        """All text targets, or those of a vocabulary or an attribute set, newest first."""
        return items(
            self._http,
            TextTargets,
            "/v1/text-targets",
            {"vocabulary_id": vocabulary_id, "attribute_set_id": attribute_set_id},
        )
