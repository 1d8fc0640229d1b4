"""The LLM that a job asks: its server, model and strategies, and what all workers know of them."""

from functools import cache
from pathlib import Path

from attributes.llm.prices import Price, PriceError, Prices, load_prices
from attributes.llm.response_format import FormatFallback, OnFormatLearned
from attributes.llm.settings import LLMSettings
from attributes.prompts.selection import select_strategies
from attributes.prompts.strategy import Strategy, StrategyError
from store.enrich import results
from store.jobs.specs import EnrichSpec
from workers.runtime.context import Context
from workers.runtime.errors import JobFailed


def llm_settings(context: Context, model: str) -> LLMSettings:
    """The operator's server and this model. Raises JobFailed."""
    given = context.settings
    try:
        return LLMSettings(
            base_url=given.llm_base_url,
            model=model,
            api_key=given.llm_api_key,
            temperature=given.llm_temperature,
            max_tokens=given.llm_max_tokens,
            timeout_s=given.llm_timeout_s,
            max_attempts=given.llm_max_attempts,
            concurrency=given.llm_concurrency,
        )
    except ValueError as error:
        raise JobFailed("enrich_misconfigured", str(error)) from error


def ladder(context: Context, llm: LLMSettings, on_learnt: OnFormatLearned) -> FormatFallback:
    """What all workers know of the server's ways; `on_learnt` is told what is found out of them."""
    known = FormatFallback(on_learnt)
    with context.db.read() as tx:
        form = results.form(tx, base_url=llm.base_url, model=llm.model)
    if form is not None:
        known.restore(llm.base_url, llm.model, form)
    return known


def price(context: Context, llm: LLMSettings, spec: EnrichSpec) -> Price | None:
    """What the model costs; None where nobody knows. Raises JobFailed for a job that must know."""
    try:
        found = _prices(context.settings.prices).find(llm.model, llm.base_url)
    except PriceError as error:
        raise JobFailed("enrich_misconfigured", str(error)) from error
    if found is None and spec.budget_usd is not None:
        detail = f"this worker knows no price of {llm.model} at {llm.base_url}: LIMBECK_PRICES is not the API's"
        raise JobFailed("enrich_misconfigured", detail)
    return found


@cache
def _prices(own: Path | None) -> Prices:
    return load_prices(own)


def strategies(context: Context, spec: EnrichSpec) -> list[Strategy]:
    """The job's strategies, one a step. Raises JobFailed where this worker has not the file of one."""
    try:
        return select_strategies(spec.strategies, folder=context.settings.strategies_dir, samples=spec.samples)
    except StrategyError as error:
        raise JobFailed("enrich_misconfigured", str(error)) from error
