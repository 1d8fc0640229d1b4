"""Datasets, caption sets, teachers and text targets."""

from collections.abc import Iterator, Mapping

from limbeck.http import Http
from limbeck.models import CaptionSet, Dataset, Teacher, TextTargets
from limbeck.resources.requests import get, items, post, resource_path


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
    ) -> Dataset:
        """Register a folder of images; `path` is relative to the service's data root.

        `split`: `{"by": "seed", "seed": 0, "id_fraction": 0.5, "held_out": 0.3}`, `{"by": "list", "id": […],
        "ood": […]}`, `{"by": "parts"}`, `{"by": "all"}` or
        `{"by": "image_lists", "train": …, "held_out": …, "ood": …}`.
        `images`: how the images are given, if the folder alone does not say: `{"layout": "table", "file": "train.csv",
        "columns": {"label": "species"}}`.
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
        return post(self._http, Dataset, "/v1/datasets", body)

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
