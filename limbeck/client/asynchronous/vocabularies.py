"""Vocabularies and their labels."""

from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import PurePath

import httpx2

from limbeck.client.asynchronous.http import AsyncHttp
from limbeck.client.asynchronous.requests import delete, get, items, post
from limbeck.client.paths import resource_path
from limbeck.client.responses import Param, parsed
from limbeck.models import CreatedVocabulary, Deletion, Label, LabelPreview, Vocabulary

# A JSON file is posted as octet-stream: `application/json` is the schema of the API.
_MEDIA_TYPES = {
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}


class AsyncVocabularies:
    """Vocabularies: `client.vocabularies`."""

    def __init__(self, http: AsyncHttp) -> None:
        self._http = http

    async def create(
        self, name: str, labels: Iterable[str | Mapping[str, object]], *, domain: str = ""
    ) -> CreatedVocabulary:
        """Create a vocabulary from labels in order. An equal vocabulary is reused.

        Args:
            name: name of the vocabulary.
            labels: names, or `{"name", "sense", "ids"}`: a sense for labels with the same name, and identifiers and
                aliases by which images may name a label.
            domain: the category of the labels: `birds`.

        Raises:
            Problem: labels are invalid; `errors` names them.
        """
        objects = [{"name": label} if isinstance(label, str) else dict(label) for label in labels]
        body = {"name": name, "domain": domain, "labels": objects}
        return await post(self._http, CreatedVocabulary, "/v1/vocabularies", body)

    async def create_from_file(
        self, name: str, content: bytes, *, filename: str = "", domain: str = ""
    ) -> CreatedVocabulary:
        """Create a vocabulary from the content of a label file.

        The file can be text with one label per line, CSV, JSON, YAML, or another form that data sets have. The result
        says how it was read.

        Args:
            name: name of the vocabulary.
            content: the bytes of the file.
            filename: its suffix is a hint of the form.
            domain: the category of the labels: `birds`.

        Raises:
            Problem: the file or its labels are invalid.
        """
        response = await self._post_file(content, filename, {"name": name, "domain": domain})
        return parsed(CreatedVocabulary, response)

    async def preview(self, content: bytes, *, filename: str = "") -> LabelPreview:
        """What the service would take as labels from the content of a label file; nothing is stored."""
        return parsed(LabelPreview, await self._post_file(content, filename, {"dry_run": True}))

    async def _post_file(self, content: bytes, filename: str, params: Mapping[str, Param]) -> httpx2.Response:
        media_type = _MEDIA_TYPES.get(PurePath(filename).suffix.lower(), "application/octet-stream")
        headers = {"Content-Type": media_type}
        return await self._http.request("POST", "/v1/vocabularies", params=params, content=content, headers=headers)

    async def get(self, id: str) -> Vocabulary:
        """One vocabulary."""
        return await get(self._http, Vocabulary, "vocabularies", id)

    async def delete(self, id: str, *, force: bool = False) -> Deletion:
        """Delete a vocabulary; with `force`, also everything that refers to it.

        Raises:
            Conflict: something refers to it (`in_use`), or a job that has not ended needs it (`job_running`); `errors`
                name them.
        """
        return await delete(self._http, "vocabularies", id, force=force)

    def list(self, *, owner: str | None = None) -> AsyncIterator[Vocabulary]:
        """All vocabularies, or those of an owner, newest first."""
        return items(self._http, Vocabulary, "/v1/vocabularies", {"owner": owner})

    def labels(self, id: str) -> AsyncIterator[Label]:
        """The labels of a vocabulary in order, fetched page by page."""
        return items(self._http, Label, resource_path("vocabularies", id, "labels"), limit=1000)
