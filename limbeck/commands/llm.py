"""`limbeck llm`: the endpoints of the service, what was learned about their models, and the probe of an endpoint."""

from typing import TYPE_CHECKING, Annotated

import typer

from limbeck.commands.common import DEFAULT_URL, BadInput, Url, service
from limbeck.commands.llm_probe import FORMATS, probe
from limbeck.commands.quantities import local_time
from limbeck.commands.tables import AsJson, print_json
from limbeck.shared.text import counted

if TYPE_CHECKING:
    from limbeck.models import LLMEndpoint, LLMProfile

cli = typer.Typer(help="LLM endpoints and models.", no_args_is_help=True)
cli.command("probe")(probe)


@cli.command("endpoints")
def endpoints(as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """List the LLM endpoints of the service, which `limbeck enrich --endpoint NAME` uses.

    limbeck llm endpoints
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("name", box=None)
    for column in ("server", "model"):  # a name that is cut off cannot be used
        table.add_column(column, overflow="fold")
    table.add_column("price")
    table.add_column("limits")
    with service(url) as client:
        found = list(client.llm.endpoints())
        if as_json:
            return print_json([one.model_dump(mode="json") for one in found])
        for one in found:
            server = f"{one.base_url} (Azure {one.api_version})" if one.api_version else one.base_url
            price = "known" if one.price_known else "unknown"
            table.add_row(one.name, escape(server), escape(_model_text(one)), price, _limits_text(one))
    Console().print(table)


@cli.command("learned")
def learned(as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """Show what was learned about the models of LLM servers. It expires by itself; `limbeck llm forget` resets it.

    limbeck llm learned
    """
    with service(url) as client:
        found = list(client.llm.profiles())
    if as_json:
        return print_json([one.model_dump(mode="json") for one in found])
    for one in found:
        typer.echo(profile_text(one))
    if not found:
        typer.echo("nothing was learned yet, or it has expired")


def profile_text(profile: "LLMProfile") -> str:
    """What was learned about a model, in lines: a table of it would not fit into 80 columns."""
    omitted = [*profile.omitted, *([] if profile.has_system_role else ["system role"])]
    lines = [
        f"{profile.model} at {profile.base_url}",
        f"response format: {_format_text(profile)}",
        f"token limit: {profile.limit_name or 'none'}",
        f"left out: {', '.join(omitted) or 'nothing'}",
    ]
    lines += [f"reasoning: up to {profile.reasoning_tokens:,} tokens"] if profile.reasoning_tokens else []
    learned, expires = (local_time(at) for at in (profile.learned_at, profile.expires_at))
    return "\n  ".join([*lines, f"learned {learned}, expires {expires}"])


@cli.command("forget")
def forget(
    model: Annotated[str, typer.Option(help="Only what was learned about this model.")] = "",
    endpoint: Annotated[str, typer.Option(help="Only about the models of this endpoint's server.")] = "",
    base_url: Annotated[str, typer.Option(help="Only about the models of the server at this base URL.")] = "",
    all: Annotated[bool, typer.Option("--all", help="Everything.")] = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Reset what was learned about models; the next calls learn it again. A running part keeps what it knows.

    limbeck llm forget --model qwen3
    limbeck llm forget --all
    """
    if all == bool(model or endpoint or base_url):
        raise BadInput("give --all, or at least one of --model, --endpoint and --base-url")
    if endpoint and base_url:
        raise BadInput("--endpoint stands for its --base-url: give one of them")
    with service(url) as client:
        number = client.llm.reset_profiles(
            base_url=base_url or None, endpoint=endpoint or None, model=model or None, all=all
        )
    typer.echo("nothing was learned about that" if not number else f"forgot what was learned about {_models(number)}")


def _models(number: int) -> str:
    return counted(number, "model")


def _model_text(endpoint: "LLMEndpoint") -> str:
    others = [name for name in endpoint.models if name != endpoint.model]
    text = endpoint.model or "none: name one"
    return f"{text} (also {', '.join(others)})" if others else text


def _limits_text(endpoint: "LLMEndpoint") -> str:
    limits = {
        "requests/min": endpoint.requests_per_min,
        "tokens/min": endpoint.tokens_per_min,
        "in flight": endpoint.in_flight,
        "per process": endpoint.concurrency,
    }
    return ", ".join(f"{number:,} {name}" for name, number in limits.items() if number is not None)


def _format_text(profile: "LLMProfile") -> str:
    return FORMATS.get(profile.response_format or "", profile.response_format or "stored by another release")
