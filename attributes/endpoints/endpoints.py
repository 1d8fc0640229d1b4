"""Resolves the endpoint and the model of a job to the settings of the client, the limits and the price.

    endpoints = Endpoints.load(settings)
    endpoints.resolve("openrouter", None).settings.model

The LIMBECK_LLM_* variables are the endpoint `default`; LIMBECK_LLM_ENDPOINTS names a file with others
(`attributes.endpoints.endpoint_file`). API, workers and commands all resolve here.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, Protocol

from pydantic import SecretStr, ValidationError

from attributes.endpoints.endpoint import DEFAULT_ENDPOINT, Endpoint, EndpointError, llm_settings_of
from attributes.endpoints.endpoint_file import read_endpoints
from attributes.endpoints.missing_price import missing_price
from attributes.llm.costs.prices import Price, PriceError, Prices, load_prices, parse_model_prices
from attributes.llm.http.connections import ConnectionFault, check_connection
from attributes.llm.settings import OPENAI_BASE_URL, LLMSettings

NO_SECRET = SecretStr("")
MAX_LISTED = 10


class OperatorSettings(Protocol):
    """The part of `store.settings.Settings` that endpoints need. `llm`: the fields of the endpoint `default`."""

    @property
    def llm(self) -> Mapping[str, object]: ...
    @property
    def llm_endpoints(self) -> Path | None: ...
    @property
    def prices(self) -> Path | None: ...


class EndpointRequestError(EndpointError):
    """A request names an endpoint or a model that there is not. `field` is the field of the request."""

    def __init__(
        self,
        code: Literal["endpoint_unknown", "model_missing", "model_not_allowed"],
        field: Literal["endpoint", "model"],
        message: str,
    ) -> None:
        super().__init__(message)
        self.code, self.field = code, field


@dataclass(frozen=True, kw_only=True)
class RateLimits:
    """Limits of one endpoint and model over all workers; None means no limit."""

    requests_per_min: int | None = None
    tokens_per_min: int | None = None
    in_flight: int | None = None


@dataclass(frozen=True, kw_only=True)
class ResolvedEndpoint:
    """A model at an endpoint: all that its calls need. `price` is None if it is unknown; `missing_price` says why."""

    endpoint: str
    settings: LLMSettings
    limits: RateLimits
    price: Price | None
    missing_price: str = ""


class Endpoints:
    """The endpoints that an operator has set, by name; `default` is the first."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        prices: Mapping[tuple[str, str], Price],
        environment: Mapping[str, str],
        *,
        price_file: Path | None = None,
    ) -> None:
        """`prices`: those of `price_file`."""
        self._endpoints = {endpoint.name: endpoint for endpoint in endpoints}
        self._prices, self._price_file, self._environment = prices, price_file, environment

    @classmethod
    def load(cls, operator: OperatorSettings, environment: Mapping[str, str] = os.environ) -> "Endpoints":
        """The endpoints of these settings. Raises EndpointError and PriceError.

        Keys and other secrets of a file are read from `environment` only when an endpoint is resolved with them.
        """
        try:
            default = Endpoint.model_validate({"name": DEFAULT_ENDPOINT, **operator.llm})
        except ValidationError as error:
            first = error.errors()[0]
            variable = "_".join(["LIMBECK_LLM", *(str(step).upper() for step in first["loc"])])
            raise EndpointError(f"{variable}: {first['msg'].removeprefix('Value error, ')}") from None
        others = [] if operator.llm_endpoints is None else read_endpoints(operator.llm_endpoints)
        prices = load_prices(operator.prices).of_user
        return cls([default, *others], prices, environment, price_file=operator.prices)

    def __iter__(self) -> Iterator[Endpoint]:
        return iter(self._endpoints.values())

    def get(self, name: str | None) -> Endpoint:
        """An endpoint by its name; None is `default`. Raises EndpointRequestError."""
        endpoint = self._endpoints.get(name or DEFAULT_ENDPOINT)
        if endpoint is None:
            known = self._endpoints
            message = f"there is no endpoint {name!r}{_near(name or '', known, 'the endpoints are')}"
            raise EndpointRequestError("endpoint_unknown", "endpoint", message)
        return endpoint

    def with_base_url(self, name: str | None, base_url: str) -> "Endpoints":
        """The same endpoints, one of them at another server. Raises EndpointError, EndpointRequestError."""
        endpoint = self.get(name)
        fields = {field: getattr(endpoint, field) for field in Endpoint.model_fields}
        try:
            changed = Endpoint.model_validate({**fields, "base_url": base_url})
        except ValidationError as error:
            message = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise EndpointError(f"base_url {message}") from None
        endpoints = [changed if one is endpoint else one for one in self]
        return Endpoints(endpoints, self._prices, self._environment, price_file=self._price_file)

    def resolve(self, name: str | None, model: str | None = None, *, with_secrets: bool) -> ResolvedEndpoint:
        """A model (by default the endpoint's) at an endpoint. Raises EndpointError, EndpointRequestError.

        Without secrets, which only calls need, the settings have no key, header, proxy and file of certificates.
        """
        endpoint = self.get(name)
        chosen = model or endpoint.default_model
        if not chosen:
            raise EndpointRequestError("model_missing", "model", self._no_model(endpoint))
        if endpoint.models and chosen not in endpoint.models:
            message = f"the endpoint {endpoint.name!r} does not allow the model {chosen!r}"
            message += _near(chosen, endpoint.models, "its models are")
            raise EndpointRequestError("model_not_allowed", "model", message)
        price = self.price(endpoint, chosen)
        return ResolvedEndpoint(
            endpoint=endpoint.name,
            settings=self._with_secrets(endpoint, chosen) if with_secrets else _without_secrets(endpoint, chosen),
            limits=RateLimits(
                requests_per_min=endpoint.requests_per_min,
                tokens_per_min=endpoint.tokens_per_min,
                in_flight=endpoint.in_flight,
            ),
            price=price,
            missing_price=""
            if price
            else missing_price(endpoint, chosen, price_file=self._price_file, priced=self._prices),
        )

    def faults(self) -> dict[str, str]:
        """The endpoints that no call can use on this machine, by name, with the reason: a missing key, a wrong path.

        `default` counts only if the operator has set its server or model.
        """
        found = {}
        for endpoint in self:
            if endpoint.name == DEFAULT_ENDPOINT and not endpoint.model and endpoint.base_url == OPENAI_BASE_URL:
                continue
            model = endpoint.default_model or next(iter(endpoint.models), "any")
            try:
                self.resolve(endpoint.name, model, with_secrets=True)
            except EndpointError as error:
                found[endpoint.name] = str(error)
        return found

    def price(self, endpoint: Endpoint, model: str) -> Price | None:
        """The price of a model: the endpoint's own, else that of the price file or of the provider's list."""
        own = parse_model_prices(endpoint.prices, endpoint.batch, f"endpoint {endpoint.name}: prices")
        at_server = {(endpoint.base_url, name): price for name, price in own.items()}
        return Prices({**self._prices, **at_server}).find(model, endpoint.base_url)

    def _no_model(self, endpoint: Endpoint) -> str:
        if endpoint.models:
            return f"name a model of the endpoint {endpoint.name!r}: {', '.join(endpoint.models[:MAX_LISTED])}"
        if endpoint.name != DEFAULT_ENDPOINT:
            return f"name a model; the endpoint {endpoint.name!r} has no default (`model` in the endpoints file)"
        others = ", ".join(list(self._endpoints)[1 : MAX_LISTED + 1])
        hint = f", or an endpoint: {others}" if others else ""
        return f"name a model{hint}; the operator has set none (LIMBECK_LLM_MODEL)"

    def _with_secrets(self, endpoint: Endpoint, model: str) -> LLMSettings:
        secrets = {
            "api_key": endpoint.api_key,
            "headers": endpoint.headers,
            "proxy": endpoint.proxy,
            **{
                field: SecretStr(self._variable(endpoint, f"{field}_env", variable))
                for field, variable in (
                    ("api_key", endpoint.api_key_env),
                    ("headers", endpoint.headers_env),
                    ("proxy", endpoint.proxy_env),
                )
                if variable
            },
        }
        if endpoint.api_key_file is not None:
            secrets["api_key"] = SecretStr(_key_in(endpoint.api_key_file, endpoint.name))
        try:
            settings = llm_settings_of(endpoint, model, **secrets)
            check_connection(settings.connection())
        except ValidationError as error:
            first = error.errors()[0]
            message = first["msg"].removeprefix("Value error, ")
            raise EndpointError(f"endpoint {endpoint.name!r}: {first['loc'][0]} {message}") from None
        except ConnectionFault as error:
            if endpoint.name == DEFAULT_ENDPOINT:
                raise EndpointError(str(error)) from None
            message = str(error).replace("LIMBECK_LLM_CA_FILE", "ca_file").replace("LIMBECK_LLM_PROXY", "proxy")
            raise EndpointError(f"endpoint {endpoint.name!r}: {message}") from None
        return settings

    def _variable(self, endpoint: Endpoint, field: str, variable: str) -> str:
        value = self._environment.get(variable, "")
        if not value.strip():
            message = f"the environment variable {variable} ({field}) is not set here"
            raise EndpointError(f"endpoint {endpoint.name!r}: {message}")
        return value


def _without_secrets(endpoint: Endpoint, model: str) -> LLMSettings:
    bare = endpoint.model_copy(update={"ca_file": None})
    return llm_settings_of(bare, model, api_key=NO_SECRET, headers=NO_SECRET, proxy=NO_SECRET)


def _key_in(path: Path, endpoint: str) -> str:
    place = f"endpoint {endpoint!r}: the key file {path} (api_key_file)"
    try:
        key = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise EndpointError(f"{place} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise EndpointError(f"{place} is not a text file") from None
    if not key:
        raise EndpointError(f"{place} is empty")
    return key


def _near(name: str, known: Mapping[str, object] | Sequence[str], introduction: str) -> str:
    """`; did you mean …?`, or else all known names."""
    by_folded = {one.casefold(): one for one in known}
    near = [by_folded[one] for one in get_close_matches(name.casefold(), by_folded, n=3, cutoff=0.5)]
    if near:
        return f"; did you mean {' or '.join(near)}?"
    more = ", …" if len(by_folded) > MAX_LISTED else ""
    return f"; {introduction} {', '.join(list(by_folded.values())[:MAX_LISTED])}{more}"


__all__ = [
    "DEFAULT_ENDPOINT",
    "Endpoint",
    "EndpointError",
    "EndpointRequestError",
    "Endpoints",
    "OperatorSettings",
    "PriceError",
    "RateLimits",
    "ResolvedEndpoint",
]
