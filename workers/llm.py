"""The LLM that a job asks: its server, model and strategies, and what all workers know of them."""

from collections.abc import Mapping
from typing import Any

from attributes.chain import pick_chain
from attributes.client import Enricher
from attributes.ladder import Ladder, Learnt
from attributes.settings import LLMSettings
from attributes.strategy import Strategy, StrategyError
from store import enrichment
from workers.context import Context
from workers.errors import JobFailed


def open_enricher(context: Context, model: str, on_learnt: Learnt) -> Enricher:
    """An Enricher for the operator's server; `on_learnt` is told what it finds out of the server's ways.

    Raises JobFailed.
    """
    given = context.settings
    try:
        settings = LLMSettings(
            base_url=given.llm_base_url, model=model, api_key=given.llm_api_key, temperature=given.llm_temperature,
            max_tokens=given.llm_max_tokens, timeout_s=given.llm_timeout_s, max_attempts=given.llm_max_attempts,
            concurrency=given.llm_concurrency,
        )  # fmt: skip
    except ValueError as error:
        raise JobFailed("enrich_misconfigured", str(error)) from error
    ladder = Ladder(on_learnt)
    with context.db.read() as tx:
        form = enrichment.form(tx, base_url=settings.base_url, model=model)
    if form is not None:
        ladder.recall(settings.base_url, model, form)
    return Enricher(settings, ladder=ladder)


def strategies(context: Context, spec: Mapping[str, Any]) -> list[Strategy]:
    """The job's strategies, one a step. Raises JobFailed where this worker has not the file of one."""
    try:
        return pick_chain(spec["strategies"], folder=context.settings.strategies_dir, samples=spec.get("samples"))
    except StrategyError as error:
        raise JobFailed("enrich_misconfigured", str(error)) from error
