"""`limbeck upload`: send a folder or an archive of images to the service."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from limbeck.commands.common import DEFAULT_URL, BadInput, Url, service
from limbeck.commands.quantities import size_text
from limbeck.commands.tables import AsJson, print_json
from limbeck.shared.text import counted

if TYPE_CHECKING:
    from rich.console import Console

_LINE_EVERY_S = 10.0


def upload(
    path: Annotated[Path, typer.Argument(metavar="FOLDER_OR_ARCHIVE", help="A folder, .zip, .tar or .tar.gz.")],
    name: Annotated[str, typer.Option(help="Name of the upload; by default that of the folder or archive.")] = "",
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Send images to the service (LIMBECK_UPLOAD_ROOT). The same command goes on after an interruption.

    Hidden files and links in a folder are skipped. The upload is then the place of a dataset.

    Examples:

      limbeck upload birds
      limbeck upload birds.zip --name "birds of 2026"
      limbeck dataset create voc_… upl_…
    """
    from rich.console import Console

    from limbeck.client.upload_files import local_files

    console = Console(stderr=as_json)
    try:
        files = local_files(path, name or None)
        skipped = f"; {files.num_skipped:,} hidden files and links are skipped" if files.num_skipped else ""
        _print(console, f"{counted(len(files.files), 'file')}, {size_text(files.size)}{skipped}")
        with service(url) as client, _Progress(console) as progress:
            sent = client.uploads.send(files, on_sent=progress.show)
    except ValueError as error:
        raise BadInput(str(error)) from None
    except OSError as error:
        raise BadInput(f"{error.filename or path}: {error.strerror}") from None
    if as_json:
        return print_json(sent.model_dump(mode="json"))
    _print(console, f"upload {sent.id}: {counted(sent.num_files, 'file')}")
    _print(console, f"next: limbeck dataset create VOCABULARY {sent.id}")


def _print(console: "Console", text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


class _Progress:
    """A bar with rate and remaining time on a terminal; elsewhere a line every ten seconds."""

    def __init__(self, console: "Console") -> None:
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        self._console = console
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task("sending", total=None)
        self._first: tuple[float, int] | None = None
        self._shown_at = time.monotonic()

    def show(self, done: int, total: int) -> None:
        """Show how many bytes the service has."""
        now = time.monotonic()
        if self._first is None:
            self._first = now, done
            self._bar.reset(self._task, total=total, completed=done)
            if done:
                _print(self._console, f"going on after {size_text(done)}")
        description = "sending" if done < total else "completing"
        self._bar.update(self._task, completed=done, total=total, description=description)
        if not self._console.is_terminal and now - self._shown_at > _LINE_EVERY_S:
            self._shown_at = now
            began, start = self._first
            rate = max(done - start, 1) / (now - began)
            left_s = (total - done) / rate
            text = f"sending: {size_text(done)} of {size_text(total)}, {size_text(int(rate))}/s, {left_s:,.0f} s left"
            _print(self._console, text)

    def __enter__(self) -> "_Progress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
