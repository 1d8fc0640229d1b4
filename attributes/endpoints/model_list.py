"""The models that a server lists (`GET /models`), in the forms of OpenAI, Together, Gemini, Ollama and llama.cpp."""

import asyncio
from collections.abc import Iterable
from difflib import get_close_matches

from pydantic import BaseModel, ConfigDict

from attributes.llm.settings import LLMSettings
from attributes.llm.transport import Transport

TIMEOUT_S = 15.0
MAX_SLOTS = 4096


class ModelList(BaseModel):
    """The models of a server. `is_listed` is None if the server lists none; `fault` then says why.

    `near` are similar names of a model that is not listed. `num_slots`: how many requests llama.cpp's server processes
    at a time, if it says so.
    """

    model_config = ConfigDict(frozen=True)

    is_listed: bool | None = None
    num_models: int = 0
    near: tuple[str, ...] = ()
    num_slots: int | None = None
    fault: str = ""


async def fetch_model_list(transport: Transport, settings: LLMSettings) -> ModelList:
    """Ask the server for its models. Faults are in the result."""
    if settings.api_version:
        return ModelList(fault="Azure OpenAI lists models, not deployments")
    try:
        body = await _get_json(transport, f"{settings.base_url}/models")
    except _NoList as error:
        return ModelList(fault=str(error))
    items = _items_in(body)
    names = [name for item in items if (name := _name_of(item))]
    if not names:
        return ModelList(fault="GET /models lists no model")
    is_listed = any(_bare(name) == _bare(settings.model) for name in names)
    near = () if is_listed else tuple(_near(settings.model, names))
    slots = await _num_slots(transport, settings) if _is_llama_cpp(items) else None
    return ModelList(is_listed=is_listed, num_models=len(names), near=near, num_slots=slots)


class _NoList(Exception):
    """The server gives no list; the message says why."""


async def _get_json(transport: Transport, url: str) -> object:
    import httpx2
    import openai

    try:
        async with asyncio.timeout(TIMEOUT_S):
            response = await transport.client().get(url, cast_to=httpx2.Response)
        content: object = response.json()
        return content
    except openai.APIStatusError as error:
        raise _NoList(f"GET /models: HTTP {error.status_code}") from None
    except (openai.APIError, TimeoutError) as error:
        raise _NoList(f"GET /models: {type(error).__name__}") from None
    except ValueError:
        raise _NoList("GET /models: the response is not JSON") from None


def _items_in(body: object) -> list[object]:
    if isinstance(body, dict):
        body = body.get("data") or body.get("models")
    return body if isinstance(body, list) else []


def _name_of(item: object) -> str:
    if isinstance(item, dict):
        item = next((item[key] for key in ("id", "name", "model") if item.get(key)), None)
    return item if isinstance(item, str) else ""


def _bare(name: str) -> str:
    """The name without what servers accept with and without: Gemini's `models/`, Ollama's `:latest`."""
    return name.removeprefix("models/").removesuffix(":latest").casefold()


def _near(model: str, names: Iterable[str]) -> list[str]:
    by_bare = {_bare(name): name for name in names}
    containing = [name for bare, name in by_bare.items() if _bare(model) in bare][:3]
    return containing or [by_bare[one] for one in get_close_matches(_bare(model), by_bare, n=3, cutoff=0.4)]


def _is_llama_cpp(items: Iterable[object]) -> bool:
    return any(isinstance(item, dict) and item.get("owned_by") == "llamacpp" for item in items)


async def _num_slots(transport: Transport, settings: LLMSettings) -> int | None:
    """`total_slots` of llama.cpp's server: the number that `-np` sets."""
    try:
        body = await _get_json(transport, f"{settings.base_url.removesuffix('/v1')}/props")
    except _NoList:
        return None
    slots = body.get("total_slots") if isinstance(body, dict) else None
    return slots if type(slots) is int and 1 <= slots <= MAX_SLOTS else None
