"""Vocabularies and their labels."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePath

import httpx2

from limbeck.http import Http, Param
from limbeck.models import CreatedVocabulary, Label, LabelPreview, Vocabulary
from limbeck.resources.requests import get, items, post, resource_path

# A JSON file is posted as octet-stream: `application/json` is the schema of the API.
_MEDIA_TYPES = {
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}


class VocabularyMethods:
    """Client methods for vocabularies."""

    _http: Http

    def create_vocabulary(
        self, name: str, labels: Iterable[str | Mapping[str, str | None]], *, domain: str = ""
    ) -> CreatedVocabulary:
        """Create a vocabulary from labels in order: names, or `{"name", "sense"}` for labels with the same name."""
        objects = [{"name": label} if isinstance(label, str) else dict(label) for label in labels]
        body = {"name": name, "domain": domain, "labels": objects}
        return post(self._http, CreatedVocabulary, "/v1/vocabularies", body)

    def create_vocabulary_from_file(
        self, name: str, content: bytes, *, filename: str = "", domain: str = ""
    ) -> CreatedVocabulary:
        """Create a vocabulary from the content of a label file; the suffix of `filename` is a hint.

        The file can be text with one label per line, CSV, JSON, YAML, or another form that data sets have. The result
        says how it was read.
        """
        response = self._post_file(content, filename, {"name": name, "domain": domain})
        return CreatedVocabulary.model_validate_json(response.content)

    def preview_labels(self, content: bytes, *, filename: str = "") -> LabelPreview:
        """What the service would take as labels from a label file; nothing is stored."""
        response = self._post_file(content, filename, {"dry_run": True})
        return LabelPreview.model_validate_json(response.content)

    def _post_file(self, content: bytes, filename: str, params: Mapping[str, Param]) -> httpx2.Response:
        media_type = _MEDIA_TYPES.get(PurePath(filename).suffix.lower(), "application/octet-stream")
        headers = {"Content-Type": media_type}
        return self._http.request("POST", "/v1/vocabularies", params=params, content=content, headers=headers)

    def vocabulary(self, id: str) -> Vocabulary:
        """One vocabulary."""
        return get(self._http, Vocabulary, "vocabularies", id)

    def vocabularies(self) -> Iterator[Vocabulary]:
        """All vocabularies, newest first."""
        return items(self._http, Vocabulary, "/v1/vocabularies")

    def labels(self, vocabulary_id: str) -> Iterator[Label]:
        """The labels of a vocabulary in order, fetched page by page."""
        return items(self._http, Label, resource_path("vocabularies", vocabulary_id, "labels"), limit=1000)
