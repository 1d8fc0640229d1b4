"""The operator's LLM endpoints in requests: their faults as problems. The API reads no key of an endpoint."""

from api.http.problems import ProblemError, unprocessable
from attributes.endpoints.endpoint import EndpointError
from attributes.endpoints.endpoints import EndpointRequestError, Endpoints, ResolvedEndpoint
from attributes.llm.costs.prices import PriceError
from store.settings import Settings


def load_endpoints(settings: Settings) -> Endpoints:
    """The endpoints. Raises ProblemError if a file or a variable of the operator is invalid."""
    try:
        return Endpoints.load(settings)
    except PriceError as error:
        raise ProblemError(500, "prices_unreadable", str(error)) from None
    except EndpointError as error:
        raise ProblemError(500, "endpoints_unreadable", str(error)) from None


def resolve_endpoint(settings: Settings, endpoint: str | None, model: str | None) -> ResolvedEndpoint:
    """The model at the endpoint of a request, without secrets. Raises ProblemError with a pointer."""
    try:
        return load_endpoints(settings).resolve(endpoint, model, with_secrets=False)
    except EndpointRequestError as error:
        raise unprocessable(error.code, str(error), f"/{error.field}") from None


def require_price(llm: ResolvedEndpoint) -> None:
    """Raises ProblemError if the price of the model is unknown: a cap that counts it as 0 has no effect."""
    if llm.price is None:
        raise unprocessable("price_unknown", f"{llm.missing_price}; or give budget_tokens", "/budget_usd")
