"""Why a model at an endpoint has no price, and which setting gives it one. API, workers and commands say the same."""

from collections.abc import Iterable
from pathlib import Path

from attributes.endpoints.endpoint import DEFAULT_ENDPOINT, Endpoint
from attributes.llm.settings import OPENAI_BASE_URL


def missing_price(endpoint: Endpoint, model: str, *, price_file: Path | None, priced: Iterable[tuple[str, str]]) -> str:
    """The message for a model without a price. `priced`: (base URL, model) of each price in `price_file`."""
    is_default = endpoint.name == DEFAULT_ENDPOINT
    server = "LIMBECK_LLM_BASE_URL" if is_default else f"base_url of the endpoint {endpoint.name!r}"
    reason = f"the price of {model} at {endpoint.base_url} ({server}) is not known"
    elsewhere = sorted({base_url for base_url, name in priced if name == model})
    if elsewhere:
        return f"{reason}: {_file(price_file)} has it at {', '.join(elsewhere)}; give both the same base_url"
    own = "" if is_default else f"prices of the endpoint {endpoint.name!r}, or "
    entry = f'a [[price]] with base_url = "{endpoint.base_url}" and this model'
    if price_file is None:
        remedy = f"set {own}LIMBECK_PRICES to a file that has {entry}"
    else:
        remedy = f"add {own}to {_file(price_file)} {entry}"
    if is_default and endpoint.base_url == OPENAI_BASE_URL:
        remedy = f"set LIMBECK_LLM_BASE_URL if the model is at another server, else {remedy}"
    return f"{reason}: {remedy}"


def _file(path: Path | None) -> str:
    return f"the price file {path} (LIMBECK_PRICES)"
