"""`limbeck enrich`: describe a vocabulary's labels with an LLM, or estimate the cost (`--dry-run`)."""

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from limbeck.commands.common import (
    DEFAULT_URL,
    BadInput,
    LabelsMissing,
    Language,
    Priority,
    SystemPromptFile,
    Url,
    create_vocabulary,
    read_text,
    service,
)
from limbeck.commands.estimates import estimate_table, estimate_text
from limbeck.commands.refusals import OF_VOCABULARY, refusals_by_option
from limbeck.commands.run_inputs import PLANNED, read_labels
from limbeck.commands.started_jobs import start
from limbeck.commands.tables import AsJson, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from limbeck import Client
    from limbeck.client.job_requests import EnrichOptions
    from limbeck.models import Estimate


def enrich(
    of: Annotated[
        str,
        typer.Argument(metavar="VOCABULARY_OR_FILE", help="voc_…, or a label file: text, CSV, JSON, YAML …"),
    ],
    strategies: Annotated[
        str, typer.Option(help="Prompt strategies in order: sentence,phrases,contrast.")
    ] = "describe",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the estimated calls and cost; send nothing.")
    ] = False,
    budget_usd: Annotated[str, typer.Option(help="Maximum cost in US dollars: 2.50.")] = "",
    budget_tokens: Annotated[int | None, typer.Option(min=1, help="Maximum number of tokens.")] = None,
    batch: Annotated[
        bool, typer.Option("--batch", help="Use the server's Batch API: half the price, takes up to a day.")
    ] = False,
    domain: Annotated[str, typer.Option(help="The category of a file's labels: birds, dishes, tools.")] = "",
    base_set: Annotated[str, typer.Option(help="A set whose locked and human lines are kept.")] = "",
    teacher: Annotated[str, typer.Option(help="For contrast: the teacher that finds confusable labels.")] = "",
    neighbours: Annotated[int | None, typer.Option(help="For contrast: number of confusable labels per label.")] = None,
    samples: Annotated[int | None, typer.Option(help="Responses per question, for strategies that sample.")] = None,
    mend_rounds: Annotated[
        int | None,
        typer.Option(min=0, help="Maximum number of repair rounds for violations of the gates; 1 by default."),
    ] = None,
    endpoint: Annotated[str, typer.Option(help="The LLM endpoint, one of `limbeck llm endpoints`.")] = "",
    llm_model: Annotated[str, typer.Option(help="The LLM; the endpoint's by default.")] = "",
    language: Language = "",
    system_prompt: SystemPromptFile = None,
    priority: Priority = 0,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Describe each label with one or more strategies. Stored responses are reused. Exit code 3 if labels lack
    attributes.

    Examples:

      limbeck enrich birds.txt --domain birds --dry-run
      limbeck enrich voc_… --strategies describe,contrast --teacher ViT-B-32:openai --budget-usd 2.50
    """
    from rich.console import Console

    from limbeck.enrich_report import follow_enrichment, missing_text

    options: EnrichOptions = {
        "strategies": _strategies(strategies),
        "endpoint": endpoint or None,
        "model": llm_model or None,
        "base_set_id": base_set or None,
        "teacher": teacher or None,
        "neighbours": neighbours,
        "samples": samples,
        "budget_usd": _dollars(budget_usd),
        "budget_tokens": budget_tokens,
        "mode": "batch" if batch else None,
        "mend_rounds": mend_rounds,
        "language": language or None,
        "priority": priority or None,
        "system_prompt": read_text(system_prompt) if system_prompt else None,
    }
    console = Console(stderr=as_json)
    with service(url) as client, refusals_by_option(arguments=OF_VOCABULARY):
        if dry_run:
            estimate = _estimate(client, of, domain, options)
            console.print(estimate_table(estimate))
            console.print(estimate_text(estimate, _dollars(budget_usd), budget_tokens), highlight=False, markup=False)
            return print_json(estimate.model_dump(mode="json")) if as_json else None
        vocabulary_id = _vocabulary(client, of, domain, console)
        started = start(client, console, "enrich", vocabulary_id=vocabulary_id, **options)
        job = follow_enrichment(client, started, console)
    if as_json:
        print_json(job.model_dump(mode="json"))
    if missing := missing_text(job):
        raise LabelsMissing(missing)


def _vocabulary(client: "Client", of: str, domain: str, console: "Console") -> str:
    if of.startswith("voc_"):
        if domain:
            raise BadInput("--domain applies to a file of labels only; a vocabulary has its own domain")
        return of
    return create_vocabulary(client, Path(of), domain, console).id


def _estimate(client: "Client", of: str, domain: str, options: "EnrichOptions") -> "Estimate":
    """The estimate for a vocabulary, or for the labels of a file; nothing is stored."""
    if of.startswith("voc_"):
        return client.jobs.estimate("enrich", vocabulary_id=of, **options)
    planned = {"vocabulary_id": PLANNED, **options}
    plan = client.jobs.plan([("enrich", planned)], vocabulary=read_labels(Path(of), domain).body())
    estimate = plan.jobs[0].estimate
    assert estimate is not None
    return estimate


def _strategies(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise BadInput(f"--strategies {text!r}: give at least one strategy, for example sentence,phrases")
    return names


def _dollars(amount: str) -> str | None:
    if not amount:
        return None
    try:
        dollars = Decimal(amount.removeprefix("$"))
    except InvalidOperation:
        raise BadInput(f"--budget-usd {amount!r} is not an amount of dollars; write it as 2.50") from None
    if not dollars.is_finite() or dollars <= 0:
        raise BadInput(f"--budget-usd {amount!r} must be above 0")
    return f"{dollars:f}"
