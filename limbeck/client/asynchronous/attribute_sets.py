"""Attribute sets: import and export, labels and lines, comparison, and quality reports."""

from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Literal

from limbeck.client.asynchronous.http import AsyncHttp
from limbeck.client.asynchronous.requests import delete, get, items, post
from limbeck.client.paths import resource_path, without_none
from limbeck.client.responses import Param, parsed
from limbeck.models import AttributeSet, Deletion, ImportedSet, Job, LabelDifference, Report, SetLabel, TextKind
from limbeck.shared.attribute_files.decoding import binary_format, decode
from limbeck.shared.format_names import BINARY_FORMATS, FileFormat, ImportFormat

if TYPE_CHECKING:
    from limbeck.shared.attribute_files.matching import LabelMap  # slow to load


class AsyncAttributeSets:
    """Attribute sets: `client.attribute_sets`."""

    def __init__(self, http: AsyncHttp) -> None:
        self._http = http

    async def import_file(
        self,
        document: str | bytes,
        *,
        format: ImportFormat = "auto",
        vocabulary_id: str | None = None,
        name: str = "imported",
        domain: str = "",
        partial: bool = False,
        map: "LabelMap | None" = None,
    ) -> ImportedSet:
        """Import the content of a file of attributes in any format.

        Args:
            document: text, or bytes: a Parquet file, a zip archive, or text in any encoding.
            format: the format; `auto` recognises it.
            vocabulary_id: the vocabulary to which the labels are matched; without one, they become a new vocabulary.
            name: name of the new vocabulary.
            domain: domain of the new vocabulary.
            partial: import what is valid and matched, and report what was left out.
            map: label of the file -> label of the vocabulary, or labels, or None to leave it out.

        Raises:
            FormatError: the bytes are no text.
            Problem: the file is invalid; `errors` names its faults.
        """
        content = document
        if isinstance(document, bytes):
            binary = binary_format(document) if format == "auto" else format
            is_binary = binary in BINARY_FORMATS
            format = binary or "auto"
            content = b64encode(document).decode() if is_binary else decode(document)[0]
        body = {"format": format, "document": content, "partial": partial, "map": dict(map or {})}
        return await self._import(body, vocabulary_id, name, domain)

    async def import_sentences(
        self,
        label2text: str,
        sentences: str,
        *,
        vocabulary_id: str | None = None,
        name: str = "imported",
        domain: str = "",
        partial: bool = False,
        map: "LabelMap | None" = None,
    ) -> ImportedSet:
        """Import published attributes: `folder number label` lines, and one sentence per line in the same order.

        The other arguments are those of `import_file`.
        """
        document = {"format": "label2text", "label2text": label2text, "sentences": sentences}
        return await self._import({**document, "partial": partial, "map": dict(map or {})}, vocabulary_id, name, domain)

    async def get(self, id: str) -> AttributeSet:
        """One attribute set."""
        return await get(self._http, AttributeSet, "attribute-sets", id)

    async def delete(self, id: str, *, force: bool = False) -> Deletion:
        """Delete a set, with its draft and its reports; with `force`, also everything that refers to it.

        Raises:
            Conflict: something refers to it (`in_use`), or a job that has not ended needs it (`job_running`); `errors`
                name them.
        """
        return await delete(self._http, "attribute-sets", id, force=force)

    def list(
        self, *, vocabulary_id: str | None = None, parent_id: str | None = None, owner: str | None = None
    ) -> AsyncIterator[AttributeSet]:
        """All attribute sets, or those of a vocabulary, an owner or edited from another set, newest first."""
        filters = {"vocabulary_id": vocabulary_id, "parent_id": parent_id, "owner": owner}
        return items(self._http, AttributeSet, "/v1/attribute-sets", filters)

    def labels(
        self,
        id: str,
        *,
        q: str = "",
        within: Literal["labels", "lines", "all"] = "labels",
        label: str = "",
        gate: str = "",
        flag: str = "",
        origin: str = "",
        locked: bool = False,
        undescribed: bool = False,
        unreviewed: bool = False,
        changed: bool = False,
        draft: bool = False,
    ) -> AsyncIterator[SetLabel]:
        """The labels of a set with their attributes, in order, fetched page by page. Filters are combined with "and".

        Args:
            id: the set.
            q: part of the label's name or sense, or of a line, ignoring case.
            within: where `q` is searched: in labels, in lines, or in both (`all`).
            label: the whole name.
            gate: a gate that the label violates in the set's report.
            flag: a flag of the label.
            origin: the origin of one of its lines: `llm`, `human` or `import`.
            locked: one of its lines is locked.
            undescribed: it has no lines.
            unreviewed: no person locked or wrote one of its lines; with `draft`, not in the draft either.
            changed: the draft changes it.
            draft: the lines of the set's draft.
        """
        filters: dict[str, Param] = {"q": q, "label": label, "gate": gate, "flag": flag, "origin": origin}
        filters |= {"locked": locked, "undescribed": undescribed, "unreviewed": unreviewed, "changed": changed}
        filters |= {"draft": draft, "within": "" if within == "labels" else within}
        path = resource_path("attribute-sets", id, "labels")
        return items(self._http, SetLabel, path, {name: value for name, value in filters.items() if value}, limit=1000)

    def compare(self, id: str, other_id: str) -> AsyncIterator[LabelDifference]:
        """The differences between a set and another one (often its parent), label by label."""
        path = resource_path("attribute-sets", id, "compare")
        return items(self._http, LabelDifference, path, {"with": other_id})

    async def export(self, id: str, *, format: FileFormat = "json") -> bytes:
        """The set as a file. The formats `label2text` and `sentences` are two files that belong together."""
        path = resource_path("attribute-sets", id, "export")
        return (await self._http.request("GET", path, params={"format": format})).content

    async def check(self, id: str, *, teacher: str | None = None, text: TextKind | None = None) -> Job:
        """Start a job that evaluates the quality gates on a set; with a teacher, its text margins too."""
        path = resource_path("attribute-sets", id, "report")
        return await post(self._http, Job, path, without_none(teacher=teacher, text=text))

    async def report(self, id: str, *, teacher: str | None = None) -> Report:
        """The newest quality report of a set, or the newest one with a teacher. Every enrichment makes a report.

        Raises:
            Problem: the set has no such report (`report_not_found`); `check` makes one.
        """
        path = resource_path("attribute-sets", id, "report")
        return parsed(Report, await self._http.request("GET", path, params={"teacher": teacher}))

    async def _import(
        self, document: Mapping[str, object], vocabulary_id: str | None, name: str, domain: str
    ) -> ImportedSet:
        vocabulary = {"vocabulary_id": vocabulary_id} if vocabulary_id else {"name": name, "domain": domain}
        return await post(self._http, ImportedSet, "/v1/attribute-sets/import", {**document, **vocabulary})
