"""Reads the endpoints file (LIMBECK_LLM_ENDPOINTS), a TOML file with one table per endpoint.

    [[endpoint]]
    name = "openrouter"
    base_url = "https://openrouter.ai/api/v1"
    model = "qwen/qwen3-32b"                   # default; `models` is an optional list of allowed ones
    api_key_env = "OPENROUTER_API_KEY"         # the variable with the key, never the key
    requests_per_min = 200
    [endpoint.extra_body.provider]
    order = ["deepinfra"]
    [endpoint.prices]
    "qwen/qwen3-32b" = { input = "0.10", output = "0.30" }

`docs/llm.md` lists the fields. Paths are relative to the folder of the file.
"""

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

from pydantic import ValidationError

from attributes.endpoints.endpoint import DEFAULT_ENDPOINT, Endpoint, EndpointError, refuse_secrets
from attributes.llm.costs.prices import PriceError, parse_model_prices

_PATHS = ("ca_file", "api_key_file")


def read_endpoints(path: Path) -> list[Endpoint]:
    """The endpoints of a file, in order. Raises EndpointError that names the file, the table and the field."""
    place = f"endpoints file {path}"
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise EndpointError(f"{place} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise EndpointError(f"{place} is not UTF-8 (byte {error.start})") from None
    except tomllib.TOMLDecodeError as error:
        raise EndpointError(f"{place} is not TOML: {error}") from None
    tables = data.get("endpoint")
    if set(data) != {"endpoint"} or not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
        raise EndpointError(f"{place}: must hold [[endpoint]] tables and nothing else")
    endpoints: list[Endpoint] = []
    for number, table in enumerate(tables, start=1):
        name = table.get("name")
        of_table = f"{place}: endpoint {number}" + (f" ({name})" if isinstance(name, str) and name else "")
        try:
            endpoints.append(_parse_endpoint(table, path.parent, endpoints))
        except EndpointError as error:
            raise EndpointError(f"{of_table}: {error}") from None
    return endpoints


def _parse_endpoint(table: Mapping[str, object], folder: Path, before: list[Endpoint]) -> Endpoint:
    """Raises EndpointError that begins with the field."""
    refuse_secrets(table)
    paths = {name: folder / value for name in _PATHS if isinstance(value := table.get(name), str)}
    try:
        endpoint = Endpoint.model_validate({**table, **paths})
    except ValidationError as error:
        raise EndpointError(_first_fault(error)) from None
    if endpoint.name.casefold() == DEFAULT_ENDPOINT:
        raise EndpointError(f"name: {endpoint.name!r} is the endpoint of the LIMBECK_LLM_* variables; choose another")
    for number, other in enumerate(before, start=1):
        if other.name.casefold() == endpoint.name.casefold():
            raise EndpointError(f"name: is also the name of endpoint {number}; give each its own")
    try:
        parse_model_prices(endpoint.prices, endpoint.batch, "prices")
    except PriceError as error:
        raise EndpointError(str(error)) from None
    return endpoint


def _first_fault(error: ValidationError) -> str:
    first = error.errors()[0]
    field = ".".join(str(step) for step in first["loc"])
    if first["type"] == "extra_forbidden":
        near = get_close_matches(field, [*Endpoint.model_fields], n=1)
        return f"{field}: is not a field" + (f"; did you mean {near[0]}?" if near else "")
    if first["type"] == "missing":
        return f"{field}: is missing"
    message = first["msg"].removeprefix("Value error, ")
    return f"{field}: {message}" if field else message
