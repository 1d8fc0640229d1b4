# Written by `python -m tests.limbeck.sync_client` from limbeck/client/asynchronous/drafts.py: edit that file.
"""Drafts of attribute sets: `client.drafts`.

    draft = client.drafts.get(set_id)
    client.drafts.change(
        set_id,
        [{"op": "add", "label": "crane", "sense": "bird", "kind": "phrase", "text": "a red crown"}],
        version=draft.version,
    )
    better = client.drafts.seal(set_id)

An operation names its label by `position`, or by `label` (and `sense`, if it has one):

    add            `kind`, `text`; optional `part`, `value`, `about`, `other_value`, `locked`, `before` (a line id)
    edit           `line` (its id), and the fields to change
    delete         `line`
    lock, unlock   `line`, or all lines of the label if left out
    replace        `lines`, which replace all lines
    revert         restores the lines of the set
"""

from collections.abc import Iterator, Mapping, Sequence

from limbeck.client.paths import resource_path
from limbeck.client.responses import parsed
from limbeck.client.synchronous.http import Http
from limbeck.client.synchronous.requests import items
from limbeck.models import Attributes, AttributeSet, Draft, DraftChanged


class Drafts:
    """Drafts of attribute sets, one per set: `client.drafts`. A stale version is a Problem of status 412."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def get(self, set_id: str) -> Draft:
        """The state of the draft; version 0 means no edits."""
        return parsed(Draft, self._http.request("GET", _path(set_id)))

    def labels(self, set_id: str) -> Iterator[Attributes]:
        """The labels that the draft changes, with their lines in the draft."""
        return items(self._http, Attributes, _path(set_id, "labels"), limit=1000)

    def change(self, set_id: str, operations: Sequence[Mapping[str, object]], *, version: int | None) -> DraftChanged:
        """Apply the operations, all or none, if the draft is at `version` (None: at any version)."""
        body = {"operations": [dict(operation) for operation in operations]}
        return parsed(DraftChanged, self._http.request("PATCH", _path(set_id), json=body, headers=_if_match(version)))

    def discard(self, set_id: str, *, version: int | None = None) -> Draft:
        """Discard all edits of the draft."""
        return parsed(Draft, self._http.request("DELETE", _path(set_id), headers=_if_match(version)))

    def seal(self, set_id: str, *, version: int | None = None) -> AttributeSet:
        """Seal the draft: create a new set, whose parent is this set."""
        response = self._http.request("POST", _path(set_id, "seal"), headers=_if_match(version))
        return parsed(AttributeSet, response)


def _path(set_id: str, *more: str) -> str:
    return resource_path("attribute-sets", set_id, "draft", *more)


def _if_match(version: int | None) -> dict[str, str]:
    return {"If-Match": "*" if version is None else f'"{version}"'}
