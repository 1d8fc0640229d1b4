"""`limbeck llm probe`: what an LLM endpoint understands, how fast it is, and what it costs. Needs no service."""

import asyncio
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import typer

from limbeck.commands.common import BadInput, settings
from limbeck.shared.money import usd_text
from limbeck.shared.text import counted

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from attributes.endpoints.endpoints import ResolvedEndpoint
    from attributes.endpoints.probe import FormatResult, ProbePlan, ProbeResult
    from attributes.endpoints.recommendation import Recommendation
    from attributes.types import Label

FORMATS = {
    "json_schema": "JSON schema, enforced",
    "json_object_schema": "JSON object with a schema",
    "json_object": "JSON object",
    "prose": "schema in the prompt only",
}
"""The response formats in words."""


def probe(
    endpoint: Annotated[str, typer.Option(help="The endpoint; the LIMBECK_LLM_* variables by default.")] = "",
    model: Annotated[str, typer.Option(help="The model; the endpoint's by default.")] = "",
    base_url: Annotated[
        str, typer.Option(help="Another server in place of the endpoint's. It gets the endpoint's key.")
    ] = "",
    label: Annotated[str, typer.Option(help="The label that each call describes.")] = "robin",
    domain: Annotated[str, typer.Option(help="The category of the label.")] = "birds",
    json_: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Describe one label in each response format, with the settings of this environment.

    Exit code 0: at least one format works; 1: none does; 2: invalid input.

        limbeck llm probe
        limbeck llm probe --base-url http://127.0.0.1:11434/v1 --model qwen3
    """
    from rich.console import Console

    from attributes.endpoints.probe import Probe, as_json

    llm = _resolve(endpoint, model, base_url)
    test = Probe(llm, _label(label), _domain(domain))
    notes = Console(stderr=True)
    notes.print(_plan_text(llm, test.plan()), highlight=False, markup=False)
    result = asyncio.run(test.run())
    if json_:
        typer.echo(json.dumps(as_json(test.plan(), result), indent=1))
    else:
        _print_result(result, Console())
    if not result.works:
        raise typer.Exit(1)


def _resolve(endpoint: str, model: str, base_url: str) -> "ResolvedEndpoint":
    from attributes.endpoints.endpoint import EndpointError
    from attributes.endpoints.endpoints import Endpoints
    from attributes.llm.costs.prices import PriceError

    try:
        endpoints = Endpoints.load(settings())
        if base_url:
            endpoints = endpoints.with_base_url(endpoint or None, base_url)
        return endpoints.resolve(endpoint or None, model or None, with_secrets=True)
    except (EndpointError, PriceError) as error:
        raise BadInput(str(error)) from None


def _label(text: str) -> "Label":
    from attributes.types import Label
    from limbeck.shared.labels import name_fault, normalize

    name = normalize(text)
    if fault := name_fault(name):
        raise BadInput(f"--label {text!r} {fault}")
    return Label(name)


def _domain(text: str) -> str:
    from limbeck.shared.labels import domain_fault, normalize

    if fault := domain_fault(text):
        raise BadInput(f"--domain {fault}")
    return normalize(text)


def _plan_text(llm: "ResolvedEndpoint", plan: "ProbePlan") -> str:
    key = "with a key" if llm.settings.api_key.get_secret_value() else "without a key"
    where = f"{llm.settings.model} at {llm.settings.base_url} ({key})"
    calls = (
        f"{counted(plan.num_calls, 'call')}, at most {plan.max_calls} if the server refuses "
        "parameters or cuts answers off"
    )
    if plan.usd is None or plan.max_usd is None:
        return f"{where}: {calls}; {llm.missing_price or 'the price is not known'}"
    return f"{where}: {calls}; about {usd_text(plan.usd)}, at most {usd_text(plan.max_usd)}"


def _print_result(result: "ProbeResult", console: "Console") -> None:
    lines = [] if result.fault and result.models.is_listed is None else [_models_text(result)]
    if result.fault:
        lines.append(f"the probe ended early: {result.fault}")
    if result.formats:
        console.print(verdict_table(result.formats), "", measures_table(result.formats), "", sep="\n")
    lines = [*fault_lines(result.formats), *lines]
    if result.accepts_temperature is not None:
        lines.append(_parameters_text(result))
    cost = "of unknown cost" if result.usd is None else f"for {usd_text(result.usd)}"
    lines.append(f"{result.num_calls} {'call' if result.num_calls == 1 else 'calls'} {cost}")
    if result.recommendation is not None:
        lines.append(recommendation_text(result.recommendation))
    console.print("\n".join(lines), highlight=False, markup=False)


def verdict_table(formats: tuple["FormatResult", ...]) -> "Table":
    """One row per response format: whether it works. `fits the schema` is empty without a response."""
    from rich.table import Table

    columns = ("response format", "understood", "fits the schema", "about the label", "usable")
    table = Table(*columns, box=None, pad_edge=False)
    for one in formats:
        fits = one.fits if one.is_understood else None
        verdicts = (one.is_understood, fits, one.is_about_label, one.is_usable)
        table.add_row(FORMATS[one.response_format], *("" if so is None else "yes" if so else "no" for so in verdicts))
    return table


def measures_table(formats: tuple["FormatResult", ...]) -> "Table":
    """One row per response format: time, tokens and cost of its last call. It fits into 80 columns."""
    from rich.table import Table

    columns = ["prompt", "response", *(["reasoning"] if any(one.reasoning_tokens for one in formats) else [])]
    table = Table("tokens, time and cost", box=None, pad_edge=False, collapse_padding=True)
    for name in (*columns, "seconds", "tokens/s", "cost"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in formats:
        counts = (one.prompt_tokens, one.completion_tokens, one.reasoning_tokens)[: len(columns)]
        speed = "" if one.tokens_per_s is None else f"{one.tokens_per_s:.0f}"
        name = FORMATS[one.response_format]
        table.add_row(name, *map(_count, counts), f"{one.latency_s:.1f}", speed, _cost(one.usd))
    return table


def fault_lines(formats: tuple["FormatResult", ...]) -> list[str]:
    """Why formats are not usable, one line for each."""
    return [f"{FORMATS[one.response_format]}: {one.fault}" for one in formats if one.fault]


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _cost(usd: Decimal | None) -> str:
    return "unknown" if usd is None else usd_text(usd)


def _models_text(result: "ProbeResult") -> str:
    models, model = result.models, result.model
    if models.is_listed is None:
        return f"the server's list of models was not read: {models.fault}"
    listed = counted(models.num_models, "model")
    if models.is_listed:
        return f"{model} is in the server's list of {listed}"
    near = f"; near names: {', '.join(models.near)}" if models.near else ""
    accepted = ", but the server accepts the name" if any(one.is_understood for one in result.formats) else ""
    return f"{model} is not in the server's list of {listed}{near}{accepted}"


def _parameters_text(result: "ProbeResult") -> str:
    accepted = {
        "system role": result.accepts_system_role,
        "temperature": result.accepts_temperature,
        f"token limit ({result.limit_name or 'none'})": result.limit_name is not None,
    }
    parts = [f"{name}: {'accepted' if is_accepted else 'refused'}" for name, is_accepted in accepted.items()]
    others = [name for name in result.omitted if name != "temperature"]
    return "; ".join([*parts, *(f"{name}: refused" for name in others)])


def recommendation_text(found: "Recommendation") -> str:
    """The settings, and why they differ from the present ones."""
    text = (
        f"recommended: timeout_s {found.timeout_s:g}, max_tokens {found.max_tokens}, "
        f"max_reasoning_tokens {found.max_reasoning_tokens}, concurrency {found.concurrency}"
    )
    return f"{text} ({'; '.join(found.reasons)})" if found.reasons else f"{text} (as set)"
