"""LLM endpoints that the operator has set, and what was learned about their models."""

from collections.abc import Iterator

from limbeck.http import Http
from limbeck.models import LLMEndpoint, LLMProfile, LLMProfilesReset
from limbeck.resources.requests import get, items


class LLMMethods:
    """Client methods for LLM endpoints and learned profiles."""

    _http: Http

    def endpoints(self) -> Iterator[LLMEndpoint]:
        """The LLM endpoints that an enrichment can name; the first is `default`."""
        return items(self._http, LLMEndpoint, "/v1/endpoints")

    def endpoint(self, name: str) -> LLMEndpoint:
        """One LLM endpoint."""
        return get(self._http, LLMEndpoint, "endpoints", name)

    def llm_profiles(self) -> Iterator[LLMProfile]:
        """What was learned about the models of LLM servers."""
        return items(self._http, LLMProfile, "/v1/llm-profiles")

    def reset_llm_profiles(
        self, *, base_url: str | None = None, endpoint: str | None = None, model: str | None = None, all: bool = False
    ) -> int:
        """Delete learned profiles of a server (by its base URL or endpoint), of a model, or all. Returns their number.

        The next calls learn them again.
        """
        params = {"base_url": base_url, "endpoint": endpoint, "model": model, "all": "true" if all else None}
        answer = self._http.json("DELETE", "/v1/llm-profiles", params=params)
        return LLMProfilesReset.model_validate(answer).num_deleted
