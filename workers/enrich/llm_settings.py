"""The LLM of a job: server, model, price, strategies, and what is known about the model."""

import sys
from functools import cache

import structlog

from attributes.endpoints.endpoint import DEFAULT_ENDPOINT, EndpointError
from attributes.endpoints.endpoints import EndpointRequestError, Endpoints, ResolvedEndpoint
from attributes.llm.costs.prices import PriceError
from attributes.llm.model_profile import LearnedProfiles, OnProfileLearned
from attributes.llm.settings import LLMSettings
from attributes.prompts.selection import select_strategies
from attributes.prompts.strategy import Strategy, StrategyError
from store.enrich import llm_profiles
from store.jobs.specs import EnrichSpec
from store.settings import Settings
from workers.runtime.context import Context
from workers.runtime.errors import FatalJobError

log = structlog.get_logger()


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
        detail = f"{llm.missing_price}; the API knew a price: give this worker the same settings and files"
        raise FatalJobError("enrich_misconfigured", detail)
    return llm


def exit_if_unusable(settings: Settings, program: str) -> None:
    """Exit with one line on stderr if the LLM's settings are invalid or the endpoint `default` cannot be called.

    Other endpoints that cannot be called on this machine are logged.
    """
    try:
        faults = _endpoints(settings).faults()
    except (EndpointError, PriceError) as error:
        sys.exit(f"{program}: {error}")
    if DEFAULT_ENDPOINT in faults:
        sys.exit(f"{program}: {faults[DEFAULT_ENDPOINT]}")
    for name, fault in faults.items():
        log.warning("endpoint_unusable", endpoint=name, fault=fault)


@cache
def _endpoints(settings: Settings) -> Endpoints:
    return Endpoints.load(settings)


def learned_profiles(context: Context, llm: LLMSettings, on_learned: OnProfileLearned) -> LearnedProfiles:
    """What all workers have learned about the model; `on_learned` gets every change."""
    profiles = LearnedProfiles(on_learned)
    with context.db.read() as tx:
        stored = llm_profiles.get(tx, base_url=llm.base_url, model=llm.model)
    if stored is not None:
        profiles.restore(llm.base_url, llm.model, stored.profile, stored.expires_at)
    return profiles


def strategies(context: Context, spec: EnrichSpec) -> list[Strategy]:
    """The job's strategies, one per step. Raises FatalJobError if this worker has no file of one of them."""
    try:
        return select_strategies(
            spec.strategies,
            folder=context.settings.strategies_dir,
            samples=spec.samples,
            language=spec.language,
            system_prompt=spec.system_prompt,
        )
    except StrategyError as error:
        raise FatalJobError("enrich_misconfigured", str(error)) from error
