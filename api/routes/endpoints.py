"""LLM endpoints: the servers that an enrich job can name. Nothing here shows a key, a header or a proxy."""

from typing import Literal

from fastapi import APIRouter
from pydantic import Field

from api.http.dependencies import ServicesDep
from api.http.problems import ProblemError
from api.http.schemas import After, Limit, Page, ResponseModel, page
from api.jobs.llm_endpoints import load_endpoints
from attributes.endpoints.endpoint import Endpoint
from attributes.endpoints.endpoints import EndpointRequestError, Endpoints

router = APIRouter(prefix="/v1/endpoints", tags=["LLM"])


class LLMEndpointOut(ResponseModel):
    """An LLM server with its default model and limits. Jobs name it in `endpoint`."""

    object: Literal["endpoint"] = "endpoint"
    name: str
    base_url: str
    model: str | None = Field(description="Model of jobs that name none; null if they must name one.")
    models: list[str] = Field(description="The allowed models; empty if all are.")
    api_version: str | None = Field(description="API version of Azure OpenAI; null for other servers.")
    price_known: bool = Field(description="Whether the default model has a price, which a budget in dollars needs.")
    concurrency: int = Field(description="LLM calls in flight per worker process.")
    requests_per_min: int | None = Field(description="Limit over all workers; null for no limit.")
    tokens_per_min: int | None = Field(description="Limit over all workers; null for no limit.")
    in_flight: int | None = Field(description="Limit of calls in flight over all workers; null for no limit.")


@router.get("", response_model=Page[LLMEndpointOut])
def list_all(services: ServicesDep, limit: Limit = 100, after: After = None) -> object:
    """The endpoints: `default` (the operator's LIMBECK_LLM_* variables), then those of the endpoints file in order."""
    endpoints = load_endpoints(services.settings)
    found = list(endpoints)
    names = [endpoint.name for endpoint in found]
    start = names.index(after) + 1 if after in names else 0
    data = [_endpoint_out(endpoints, endpoint) for endpoint in found[start : start + limit]]
    return page(data, start + limit < len(found), lambda item: item.name)


@router.get("/{name}", response_model=LLMEndpointOut)
def get(services: ServicesDep, name: str) -> object:
    """An endpoint."""
    endpoints = load_endpoints(services.settings)
    try:
        return _endpoint_out(endpoints, endpoints.get(name))
    except EndpointRequestError as error:
        raise ProblemError(404, "endpoint_not_found", str(error)) from None


def _endpoint_out(endpoints: Endpoints, endpoint: Endpoint) -> LLMEndpointOut:
    model = endpoint.default_model
    return LLMEndpointOut(
        name=endpoint.name,
        base_url=endpoint.base_url,
        model=model or None,
        models=list(endpoint.models),
        api_version=endpoint.api_version or None,
        price_known=bool(model) and endpoints.price(endpoint, model) is not None,
        concurrency=endpoint.concurrency,
        requests_per_min=endpoint.requests_per_min,
        tokens_per_min=endpoint.tokens_per_min,
        in_flight=endpoint.in_flight,
    )
