"""Quality gates: `limbeck attributes check` evaluates a file without a service, `report` a set of the service."""

from pathlib import Path
from typing import Annotated

import typer

from limbeck.commands.common import DEFAULT_URL, BadInput, Label2TextFile, SentencesFile, Url, service
from limbeck.shared.format_names import DOCUMENT_FORMATS


def check(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="A file of attributes.")] = None,
    format: Annotated[str, typer.Option(help=f"Format of FILE: auto, {', '.join(DOCUMENT_FORMATS)}.")] = "auto",
    label2text: Label2TextFile = None,
    sentences: SentencesFile = None,
    partial: Annotated[bool, typer.Option("--partial", help="Check what is valid of a file with faults.")] = False,
    words: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A file with more non-visual words; repeatable.")
    ] = None,
    tokenizer: Annotated[Path | None, typer.Option(help="A teacher's tokenizer.json; CLIP's by default.")] = None,
    context: Annotated[int, typer.Option(help="Token limit of the teacher.")] = 77,
    second_opinion: Annotated[
        str, typer.Option(metavar="MODEL", help="Let an LLM review the lines with non-visual words.")
    ] = "",
    language: Annotated[
        str, typer.Option(help="Language of the lines, such as de or German; detected by default.")
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    html: Annotated[Path | None, typer.Option(help="Also write the report as an HTML page to this file.")] = None,
    worst: Annotated[int, typer.Option(min=0, help="Violations to print per failing gate.")] = 5,
) -> None:
    """Evaluate the quality gates on a file. Exit code 0: no gate fails; 1: a gate fails; 2: invalid input.

    limbeck attributes check birds.json
    """
    from attributes.cli.check_gates import CheckOptions, check_file
    from attributes.cli.input_files import InvalidInput

    options = CheckOptions(
        file=file,
        format=format,
        label2text=label2text,
        sentences=sentences,
        partial=partial,
        words=words or (),
        tokenizer=tokenizer,
        context=context,
        second_opinion=second_opinion,
        language=language,
        json=json,
        html=html,
        worst=worst,
    )
    try:
        code = check_file(options)
    except InvalidInput as error:
        raise BadInput(str(error)) from None
    if code:
        raise typer.Exit(code)


def report(
    id: Annotated[str, typer.Argument(metavar="SET", help="The attribute set's id.")],
    teacher: Annotated[str, typer.Option(help="Also measure text margins with this teacher.")] = "",
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    worst: Annotated[int, typer.Option(min=0, help="Violations to print per failing gate.")] = 5,
    url: Url = DEFAULT_URL,
) -> None:
    """Show the quality report of a set; make one first if there is none. Exit codes as for `check`.

    limbeck attributes report ats_…
    """
    from rich.console import Console

    from limbeck.errors import Problem
    from limbeck.progress import follow
    from limbeck.shared.gate_report import print_report

    with service(url) as client:
        try:
            shown = client.attribute_sets.report(id, teacher=teacher or None)
        except Problem as error:
            if error.code != "report_not_found":
                raise
            follow(
                client,
                client.attribute_sets.check(id, teacher=teacher or None),
                Console(stderr=True),
                title="check the set",
            )
            shown = client.attribute_sets.report(id, teacher=teacher or None)
    if json:
        typer.echo(shown.model_dump_json(indent=1))
    else:
        print_report(id, shown, shown.gates, worst=worst)
    if not shown.holds:
        raise typer.Exit(1)
