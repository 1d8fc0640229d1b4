"""The LLM of a job: server, model, price, strategies, and the response format that the server is known to support."""

from functools import cache

from attributes.endpoints.endpoint import EndpointError
from attributes.endpoints.endpoints import EndpointRequestError, Endpoints, ResolvedEndpoint
from attributes.llm.prices import PriceError
from attributes.llm.response_format import FormatFallback, OnFormatLearned
from attributes.llm.settings import LLMSettings
from attributes.prompts.selection import select_strategies
from attributes.prompts.strategy import Strategy, StrategyError
from store.enrich import results
from store.jobs.specs import EnrichSpec
from store.settings import Settings
from workers.runtime.context import Context
from workers.runtime.errors import FatalJobError


def resolve(context: Context, spec: EnrichSpec) -> ResolvedEndpoint:
    """The job's model at its endpoint, with price and limits. Raises FatalJobError.

    The price must be known for a job with a budget in dollars.
    """
    try:
        llm = _endpoints(context.settings).resolve(spec.endpoint, spec.model, with_secrets=True)
    except EndpointRequestError as error:
        file = context.settings.llm_endpoints or "not set"
        detail = f"{error}; this worker's LIMBECK_LLM_ENDPOINTS is {file}: give it the file of the API"
        raise FatalJobError("enrich_misconfigured", detail) from error
    except (EndpointError, PriceError) as error:
        raise FatalJobError("enrich_misconfigured", str(error)) from error
    if llm.price is None and spec.budget_usd is not None:
        detail = (
            f"this worker has no price of {llm.settings.model} at {llm.settings.base_url}: "
            "set its LIMBECK_PRICES and LIMBECK_LLM_ENDPOINTS to the files of the API"
        )
        raise FatalJobError("enrich_misconfigured", detail)
    return llm


@cache
def _endpoints(settings: Settings) -> Endpoints:
    return Endpoints.load(settings)


def format_fallback(context: Context, llm: LLMSettings, on_learned: OnFormatLearned) -> FormatFallback:
    """A fallback that starts at the response format stored by all workers; `on_learned` gets every change."""
    fallback = FormatFallback(on_learned)
    with context.db.read() as tx:
        response_format = results.response_format(tx, base_url=llm.base_url, model=llm.model)
    if response_format is not None:
        fallback.restore(llm.base_url, llm.model, response_format)
    return fallback


def strategies(context: Context, spec: EnrichSpec) -> list[Strategy]:
    """The job's strategies, one per step. Raises FatalJobError if this worker has no file of one of them."""
    try:
        return select_strategies(spec.strategies, folder=context.settings.strategies_dir, samples=spec.samples)
    except StrategyError as error:
        raise FatalJobError("enrich_misconfigured", str(error)) from error
