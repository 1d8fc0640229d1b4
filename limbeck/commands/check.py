"""The gates: `limbeck attributes check` over a file, without a service; `report` over a set of the service's."""

from pathlib import Path
from typing import Annotated

import typer

from limbeck.commands.common import DEFAULT_URL, BadInput, Url, service


def check(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Our own JSON, DCLIP's, CuPL's, or CSV.")
    ] = None,
    format: Annotated[str, typer.Option(help="What FILE is: auto, json, dclip, cupl or csv.")] = "auto",
    label2text: Annotated[Path | None, typer.Option(help="In place of FILE: `folder number label` a line.")] = None,
    sentences: Annotated[Path | None, typer.Option(help="With --label2text: a sentence a line, same order.")] = None,
    words: Annotated[list[Path] | None, typer.Option(help="More words that no picture shows; may be repeated.")] = None,
    tokenizer: Annotated[Path | None, typer.Option(help="A teacher's tokenizer.json; CLIP's if left out.")] = None,
    context: Annotated[int, typer.Option(help="How many tokens that teacher reads.")] = 77,
    second_opinion: Annotated[str, typer.Option(metavar="MODEL", help="Let an LLM look at what the words found.")] = "",
    json: Annotated[bool, typer.Option("--json", help="The report as JSON.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write the report as a page, too.")] = None,
    worst: Annotated[int, typer.Option(min=0, help="Offenders to print for each gate that fails.")] = 5,
) -> None:
    """Hold a file against the quality gates. Exit code 0: all hold; 1: some gate fails; 2: bad input."""
    from attributes.cli.check_gates import CheckOptions, check_file
    from attributes.cli.output_file import InvalidInput

    asked = CheckOptions(
        file=file,
        format=format,
        label2text=label2text,
        sentences=sentences,
        words=words or (),
        tokenizer=tokenizer,
        context=context,
        second_opinion=second_opinion,
        json=json,
        html=html,
        worst=worst,
    )
    try:
        code = check_file(asked)
    except InvalidInput as error:
        raise BadInput(str(error)) from None
    if code:
        raise typer.Exit(code)


def report(
    id: Annotated[str, typer.Argument(metavar="SET", help="The attribute set's id.")],
    teacher: Annotated[str, typer.Option(help="Compare how far apart this teacher hears the labels' texts, too.")] = "",
    json: Annotated[bool, typer.Option("--json", help="The report as JSON.")] = False,
    worst: Annotated[int, typer.Option(min=0, help="Offenders to print for each gate that fails.")] = 5,
    url: Url = DEFAULT_URL,
) -> None:
    """Show what the gates found in a set, which is checked first where nobody has. Exit code as for check."""
    from rich.console import Console

    from attributes.gates.text_report import print_report
    from attributes.gates.types import report_from_json
    from limbeck.errors import Problem
    from limbeck.progress import follow

    with service(url) as client:
        try:
            found = client.report(id, teacher=teacher or None)
        except Problem as error:
            if error.code != "report_not_found":
                raise
            follow(client, client.check(id, teacher=teacher or None), Console(stderr=True), title="check the set")
            found = client.report(id, teacher=teacher or None)
    if json:
        typer.echo(found.model_dump_json(indent=1))
    else:
        print_report(id, report_from_json(found.model_dump()), worst=worst)
    if not found.holds:
        raise typer.Exit(1)
