# Written by `python -m tests.limbeck.sync_client` from limbeck/client/asynchronous/llm.py: edit that file.
"""LLM endpoints that the operator has set, what was learned about their models, and stored responses."""

from collections.abc import Iterator

from limbeck.client.responses import parsed
from limbeck.client.synchronous.http import Http
from limbeck.client.synchronous.requests import get, items
from limbeck.models import LLMAnswer, LLMEndpoint, LLMProfile, LLMProfilesReset


class LLM:
    """LLM endpoints, learned profiles and stored responses: `client.llm`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def endpoints(self) -> Iterator[LLMEndpoint]:
        """The LLM endpoints that an enrichment can name; the first is `default`."""
        return items(self._http, LLMEndpoint, "/v1/endpoints")

    def endpoint(self, name: str) -> LLMEndpoint:
        """One LLM endpoint."""
        return get(self._http, LLMEndpoint, "endpoints", name)

    def profiles(self) -> Iterator[LLMProfile]:
        """What was learned about the models of LLM servers."""
        return items(self._http, LLMProfile, "/v1/llm-profiles")

    def reset_profiles(
        self, *, base_url: str | None = None, endpoint: str | None = None, model: str | None = None, all: bool = False
    ) -> int:
        """Delete learned profiles of a server (by its base URL or endpoint), of a model, or all. Returns their number.

        The next calls learn them again.
        """
        params = {"base_url": base_url, "endpoint": endpoint, "model": model, "all": "true" if all else None}
        response = self._http.request("DELETE", "/v1/llm-profiles", params=params)
        return parsed(LLMProfilesReset, response).num_deleted

    def answer(self, call: str) -> LLMAnswer:
        """The request to an LLM and its response, by the `call` of a line of an attribute set."""
        return get(self._http, LLMAnswer, "answers", call)
