"""Vocabularies and their labels."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from limbeck.http import Http
from limbeck.models import Label, Vocabulary
from limbeck.resources.requests import get, items, post, resource_path


class VocabularyMethods:
    """Client methods for vocabularies."""

    _http: Http

    def create_vocabulary(
        self, name: str, labels: Iterable[str | Mapping[str, str | None]], *, domain: str = ""
    ) -> Vocabulary:
        """Create a vocabulary from labels in order: names, or `{"name", "sense"}` for labels with the same name."""
        objects = [{"name": label} if isinstance(label, str) else dict(label) for label in labels]
        return post(self._http, Vocabulary, "/v1/vocabularies", {"name": name, "domain": domain, "labels": objects})

    def create_vocabulary_from_text(
        self, name: str, text: str, *, format: Literal["lines", "csv"] = "lines", domain: str = ""
    ) -> Vocabulary:
        """Create a vocabulary from the text of a file: one label per line, or CSV with the header `name[,sense]`."""
        response = self._http.request(
            "POST",
            "/v1/vocabularies",
            params={"name": name, "domain": domain},
            content=text.encode(),
            headers={"Content-Type": "text/csv" if format == "csv" else "text/plain"},
        )
        return Vocabulary.model_validate_json(response.content)

    def vocabulary(self, id: str) -> Vocabulary:
        """One vocabulary."""
        return get(self._http, Vocabulary, "vocabularies", id)

    def vocabularies(self) -> Iterator[Vocabulary]:
        """All vocabularies, newest first."""
        return items(self._http, Vocabulary, "/v1/vocabularies")

    def labels(self, vocabulary_id: str) -> Iterator[Label]:
        """The labels of a vocabulary in order, fetched page by page."""
        return items(self._http, Label, resource_path("vocabularies", vocabulary_id, "labels"), limit=1000)
