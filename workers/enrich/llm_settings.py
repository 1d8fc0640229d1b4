"""The LLM of a job: server, model, price, strategies, and what is known about the model."""

from functools import cache
from pathlib import Path

from attributes.llm.model_profile import LearnedProfiles, OnProfileLearned
from attributes.llm.prices import Price, PriceError, Prices, load_prices
from attributes.llm.settings import LLMSettings
from attributes.prompts.selection import select_strategies
from attributes.prompts.strategy import Strategy, StrategyError
from store.enrich import llm_profiles
from store.jobs.specs import EnrichSpec
from workers.runtime.context import Context
from workers.runtime.errors import FatalJobError


def llm_settings(context: Context, model: str) -> LLMSettings:
    """The settings of the operator's server for this model. Raises FatalJobError."""
    settings = context.settings
    try:
        return LLMSettings(
            base_url=settings.llm_base_url,
            model=model,
            api_key=settings.llm_api_key,
            api_version=settings.llm_api_version,
            headers=settings.llm_headers,
            temperature=settings.llm_temperature,
            max_tokens=settings.llm_max_tokens,
            timeout_s=settings.llm_timeout_s,
            max_attempts=settings.llm_max_attempts,
            concurrency=settings.llm_concurrency,
        )
    except ValueError as error:
        raise FatalJobError("enrich_misconfigured", str(error)) from error


def learned_profiles(context: Context, llm: LLMSettings, on_learned: OnProfileLearned) -> LearnedProfiles:
    """What all workers have learned about the model; `on_learned` gets every change."""
    profiles = LearnedProfiles(on_learned)
    with context.db.read() as tx:
        stored = llm_profiles.get(tx, base_url=llm.base_url, model=llm.model)
    if stored is not None:
        profiles.restore(llm.base_url, llm.model, stored.profile, stored.expires_at)
    return profiles


def model_price(context: Context, llm: LLMSettings, spec: EnrichSpec) -> Price | None:
    """The price of the model; None if it is unknown. Raises FatalJobError for a job with a budget in dollars."""
    try:
        price = _prices(context.settings.prices).find(llm.model, llm.base_url)
    except PriceError as error:
        raise FatalJobError("enrich_misconfigured", str(error)) from error
    if price is None and spec.budget_usd is not None:
        detail = (
            f"this worker has no price of {llm.model} at {llm.base_url}: "
            "set its LIMBECK_PRICES to the price file of the API"
        )
        raise FatalJobError("enrich_misconfigured", detail)
    return price


@cache
def _prices(path: Path | None) -> Prices:
    return load_prices(path)


def strategies(context: Context, spec: EnrichSpec) -> list[Strategy]:
    """The job's strategies, one per step. Raises FatalJobError if this worker has no file of one of them."""
    try:
        return select_strategies(spec.strategies, folder=context.settings.strategies_dir, samples=spec.samples)
    except StrategyError as error:
        raise FatalJobError("enrich_misconfigured", str(error)) from error
