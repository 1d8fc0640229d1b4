"""`limbeck storage`: the disk that a service uses, by kind."""

import typer

from limbeck.commands.common import DEFAULT_URL, Url, service
from limbeck.commands.quantities import local_time, size_text
from limbeck.commands.tables import AsJson, print_json, simple_table


def storage(as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """Show the files and bytes of a service by kind, largest first.

    The files are counted at most every five minutes. `cache` is that of the API's machine; `other` is what no kind
    claims, such as outputs of trainings that the next clean-up removes.

    limbeck storage
    """
    with service(url) as client:
        used = client.storage()
    if as_json:
        print_json(used.model_dump(mode="json"))
        return
    kinds = sorted(used.kinds, key=lambda one: -one.bytes)
    rows = [(one.kind, f"{one.files:,}", size_text(one.bytes)) for one in kinds]
    total = ("all", f"{sum(one.files for one in kinds):,}", size_text(used.bytes))
    typer.echo(simple_table(("kind", ">files", ">size"), [*rows, total]))
    typer.echo(f"counted at {local_time(used.scanned_at)}")
