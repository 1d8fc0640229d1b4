"""Attribute sets: import and export, labels and lines, comparison, quality reports, and stored LLM responses."""

from base64 import b64encode
from collections.abc import Iterator, Mapping

from limbeck.http import Http, Param
from limbeck.models import AttributeSet, ImportedSet, Job, LabelDifference, LLMAnswer, Report, SetLabel, TextKind
from limbeck.resources.requests import get, items, post, resource_path, without_none
from limbeck.shared.attribute_files.decoding import binary_format, decode
from limbeck.shared.attribute_files.matching import LabelMap
from limbeck.shared.format_names import BINARY_FORMATS, FileFormat, ImportFormat


class AttributeSetMethods:
    """Client methods for attribute sets."""

    _http: Http

    def import_sentences(
        self,
        label2text: str,
        sentences: str,
        *,
        vocabulary_id: str | None = None,
        name: str = "imported",
        domain: str = "",
        partial: bool = False,
        map: LabelMap | None = None,
    ) -> ImportedSet:
        """Import published attributes: `folder number label` lines, and one sentence per line in the same order.

        The labels are matched to the vocabulary, or become a new vocabulary called `name`. `partial`, `map`: as in
        `import_attributes`.
        """
        document = {"format": "label2text", "label2text": label2text, "sentences": sentences}
        return self._import({**document, "partial": partial, "map": dict(map or {})}, vocabulary_id, name, domain)

    def import_attributes(
        self,
        document: str | bytes,
        *,
        format: ImportFormat = "auto",
        vocabulary_id: str | None = None,
        name: str = "imported",
        domain: str = "",
        partial: bool = False,
        map: LabelMap | None = None,
    ) -> ImportedSet:
        """Import a file of attributes in any format. Labels as in `import_sentences`.

        Bytes are a Parquet file or a zip archive, or text in any encoding. `partial`: import what is valid and matched,
        and report what was left out. `map`: label of the file -> label of the vocabulary, or labels, or None to leave
        it out. Raises FormatError if bytes are no text.
        """
        content = document
        if isinstance(document, bytes):
            binary = binary_format(document) if format == "auto" else format
            is_binary = binary in BINARY_FORMATS
            format = binary or "auto"
            content = b64encode(document).decode() if is_binary else decode(document)[0]
        body = {"format": format, "document": content, "partial": partial, "map": dict(map or {})}
        return self._import(body, vocabulary_id, name, domain)

    def attribute_set(self, id: str) -> AttributeSet:
        """One attribute set."""
        return get(self._http, AttributeSet, "attribute-sets", id)

    def attribute_sets(
        self, *, vocabulary_id: str | None = None, parent_id: str | None = None
    ) -> Iterator[AttributeSet]:
        """All attribute sets, or those of a vocabulary or edited from another set, newest first."""
        return items(
            self._http, AttributeSet, "/v1/attribute-sets", {"vocabulary_id": vocabulary_id, "parent_id": parent_id}
        )

    def attributes(
        self,
        attribute_set_id: str,
        *,
        q: str = "",
        label: str = "",
        gate: str = "",
        flag: str = "",
        origin: str = "",
        locked: bool = False,
        undescribed: bool = False,
        draft: bool = False,
    ) -> Iterator[SetLabel]:
        """The labels of a set with their attributes, in order, fetched page by page.

        Filters, which are combined with "and": `q` (part of the label's name or sense, ignoring case), `label` (the
        whole name), `gate` (violated in the set's report), `flag`, `origin` of a line (llm, human, import), `locked`
        (has a locked line), `undescribed` (has no lines). `draft`: the lines of the set's draft.
        """
        filters: dict[str, Param] = {"q": q, "label": label, "gate": gate, "flag": flag, "origin": origin}
        filters |= {"locked": locked, "undescribed": undescribed, "draft": draft}
        path = resource_path("attribute-sets", attribute_set_id, "labels")
        return items(self._http, SetLabel, path, {name: value for name, value in filters.items() if value}, limit=1000)

    def compare_attributes(self, attribute_set_id: str, other_id: str) -> Iterator[LabelDifference]:
        """The differences between a set and another one (often its parent), label by label."""
        path = resource_path("attribute-sets", attribute_set_id, "compare")
        return items(self._http, LabelDifference, path, {"with": other_id})

    def answer(self, key: str) -> LLMAnswer:
        """The request to an LLM and its response, by the `call` of a line."""
        return get(self._http, LLMAnswer, "answers", key)

    def export_attributes(self, attribute_set_id: str, *, format: FileFormat = "json") -> bytes:
        """The set as a file. The formats `label2text` and `sentences` are two files that belong together."""
        path = resource_path("attribute-sets", attribute_set_id, "export")
        return self._http.request("GET", path, params={"format": format}).content

    def check(self, attribute_set_id: str, *, teacher: str | None = None, text: TextKind | None = None) -> Job:
        """Start a job that evaluates the quality gates on a set; with a teacher, its text margins too."""
        path = resource_path("attribute-sets", attribute_set_id, "report")
        return post(self._http, Job, path, without_none(teacher=teacher, text=text))

    def report(self, attribute_set_id: str, *, teacher: str | None = None) -> Report:
        """The newest quality report of a set, or the newest one with a teacher. Every enrichment makes a report."""
        path = resource_path("attribute-sets", attribute_set_id, "report")
        return Report.model_validate(self._http.json("GET", path, params={"teacher": teacher}))

    def _import(self, document: Mapping[str, object], vocabulary_id: str | None, name: str, domain: str) -> ImportedSet:
        vocabulary = {"vocabulary_id": vocabulary_id} if vocabulary_id else {"name": name, "domain": domain}
        return post(self._http, ImportedSet, "/v1/attribute-sets/import", {**document, **vocabulary})
