# Written by `python -m tests.limbeck.sync_client` from limbeck/client/asynchronous/teachers.py: edit that file.
"""Teachers that workers have loaded, and the text targets that they made."""

from collections.abc import Iterator

from limbeck.client.paths import resource_path
from limbeck.client.responses import parsed
from limbeck.client.synchronous.http import Http
from limbeck.client.synchronous.requests import delete, get, items
from limbeck.models import Deletion, TargetLabels, Teacher, TextTargets


class Teachers:
    """Teachers that a worker has loaded: `client.teachers`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def get(self, id: str) -> Teacher:
        """One teacher."""
        return get(self._http, Teacher, "teachers", id)

    def list(self, *, ref: str | None = None) -> Iterator[Teacher]:
        """All teachers, or those of one reference, newest first."""
        return items(self._http, Teacher, "/v1/teachers", {"ref": ref})


class TextTargetSets:
    """Sets of text targets: `client.text_targets`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def get(self, id: str) -> TextTargets:
        """One set of text targets."""
        return get(self._http, TextTargets, "text-targets", id)

    def delete(self, id: str, *, force: bool = False) -> Deletion:
        """Delete text targets; with `force`, also everything that refers to it.

        Raises:
            Conflict: something refers to it (`in_use`), or a job that has not ended needs it (`job_running`); `errors`
                name them.
        """
        return delete(self._http, "text-targets", id, force=force)

    def list(
        self, *, vocabulary_id: str | None = None, attribute_set_id: str | None = None, owner: str | None = None
    ) -> Iterator[TextTargets]:
        """All text targets, or those of a vocabulary, an attribute set or an owner, newest first."""
        filters = {"vocabulary_id": vocabulary_id, "attribute_set_id": attribute_set_id, "owner": owner}
        return items(self._http, TextTargets, "/v1/text-targets", filters)

    def labels(self, id: str) -> TargetLabels:
        """The labels of the features, in their order, and the teacher whose students can use them."""
        return parsed(TargetLabels, self._http.request("GET", resource_path("text-targets", id, "labels.json")))

    def export(self, id: str) -> bytes:
        """The features as a safetensors file: `features` (K, D), L2-normalised, in the order of the labels."""
        return (self._http.request("GET", resource_path("text-targets", id, "file"))).content
