"""`limbeck download`: download a student's bundle, verified against its manifest."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from limbeck.commands.common import DEFAULT_URL, BadInput, CommandFailed, Url, service
from limbeck.commands.quantities import size_text
from limbeck.commands.tables import AsJson, print_json
from limbeck.errors import StoppedFollowing
from limbeck.shared.text import counted

if TYPE_CHECKING:
    from limbeck import Client
    from limbeck.client.downloads import OnProgress

_LINE_EVERY_S = 15.0


def download(
    checkpoint: Annotated[
        str, typer.Argument(metavar="CHECKPOINT", help="The checkpoint's id: ckp_…; with --epoch a job's.")
    ],
    out: Annotated[Path, typer.Option(help="The destination folder.")],
    parts: Annotated[
        str | None,
        typer.Option(help="Comma-separated: image, pairing, onnx, targets; or all. All but pairing by default."),
    ] = None,
    epoch: Annotated[
        int | None, typer.Option(min=1, help="The student that a job has kept after this epoch; all of its files.")
    ] = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Download a student: the chosen parts of its bundle, and its small files (evaluation, log, model card).

    Every file is verified against the manifest. A file that this command did not write is never overwritten. After an
    interruption the same command continues where it stopped.

        limbeck download ckp_… --out student
        limbeck download ckp_… --out student --parts onnx,targets
        limbeck download ckp_… --out student --parts all
        limbeck download job_… --epoch 10 --out student
    """
    from limbeck.client.downloads import BUNDLE_PARTS, DEFAULT_PARTS

    chosen: Sequence[str] | None = DEFAULT_PARTS
    if parts is not None:
        chosen = None if parts.strip() == "all" else [part.strip() for part in parts.split(",") if part.strip()]
    if unknown := set(chosen or ()) - set(BUNDLE_PARTS):
        raise BadInput(f"--parts: unknown part {', '.join(sorted(unknown))}; choose {', '.join(BUNDLE_PARTS)}, or all")
    if epoch is not None and parts is not None:
        raise BadInput("--parts: a student of an epoch is downloaded as a whole; leave it out")
    if checkpoint.startswith("job_") and epoch is None:
        raise BadInput(f"{checkpoint} is a job: name an epoch (limbeck jobs checkpoints {checkpoint}), or a ckp_… id")
    with service(url) as client:
        if epoch is None:
            paths = fetch_bundle(client, checkpoint, out, chosen, quiet=as_json)
        else:
            paths = _fetch(partial(client.jobs.download_checkpoint, checkpoint, epoch, out), out, quiet=as_json)
    if as_json:
        print_json({"folder": str(out), "files": [path.relative_to(out).as_posix() for path in paths]})


def fetch_bundle(
    client: "Client", checkpoint: str, out: Path, parts: Sequence[str] | None, *, quiet: bool = False
) -> Sequence[Path]:
    """Download a bundle. The progress goes to stderr: a bar on a terminal, else a line now and then. The result goes to
    stdout, unless `quiet`."""
    return _fetch(partial(client.checkpoints.download, checkpoint, out, parts), out, quiet=quiet)


def _fetch(download: Callable[["OnProgress"], Sequence[Path]], out: Path, *, quiet: bool) -> Sequence[Path]:
    began = time.monotonic()
    try:
        with _progress() as on_progress:
            paths = download(on_progress)
    except OSError as error:
        raise CommandFailed(f"{error.filename or out}: {error.strerror}") from None
    except KeyboardInterrupt:
        raise StoppedFollowing("the download is interrupted; the same command continues it") from None
    if not quiet:
        size = size_text(sum(path.stat().st_size for path in paths))
        took = time.monotonic() - began
        typer.echo(f"{counted(len(paths), 'file')}, {size} in {out}, verified against the manifest ({took:.1f} s)")
    return paths


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    if not sys.stderr.isatty():
        yield _Lines().show
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
    from rich.progress import TransferSpeedColumn as Speed

    name, bar = TextColumn("{task.description}"), BarColumn(bar_width=20)
    console = Console(stderr=True)
    with Progress(name, bar, DownloadColumn(), Speed(), TimeRemainingColumn(), console=console) as progress:
        tasks: dict[str, TaskID] = {}

        def show(path: str, done: int, size: int) -> None:
            if path not in tasks:
                tasks[path] = progress.add_task(path, total=size)
            progress.update(tasks[path], completed=done)

        yield show


class _Lines:
    """Plain lines on stderr, some seconds apart, for output that is no terminal."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._first: dict[str, tuple[float, int]] = {}

    def show(self, path: str, done: int, size: int) -> None:
        now = time.monotonic()
        started, first = self._first.setdefault(path, (now, done))
        if now - self._last < _LINE_EVERY_S or done >= size:
            return
        self._last = now
        rate = (done - first) / max(now - started, 1e-3)
        remaining = f", {(size - done) / rate:.0f} s left" if rate > 0 else ""
        text = f"{path}: {size_text(done)} of {size_text(size)}, {size_text(rate)}/s{remaining}"
        typer.echo(text, err=True)
