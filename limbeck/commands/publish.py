"""`limbeck publish`: upload a student to the Hugging Face Hub, where timm, and with its pairing open_clip, load it."""

import json
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from limbeck.commands.common import DEFAULT_URL, BadInput, CommandFailed, Url, service
from limbeck.shared.text import counted

if TYPE_CHECKING:
    from limbeck.hub_upload import Commit, HubFile

_CHECKPOINT_ID = re.compile(r"ckp_[0-9a-z]+")


def publish(
    source: Annotated[
        str, typer.Argument(metavar="CHECKPOINT|BUNDLE", help="A checkpoint's id, or a bundle's folder.")
    ],
    repository: Annotated[str, typer.Argument(metavar="REPOSITORY", help="OWNER/NAME on the Hub.")],
    pairing: Annotated[
        bool, typer.Option("--pairing", help="With the teacher's text encoder, so that open_clip loads the student.")
    ] = False,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    revision: Annotated[str, typer.Option(help="The branch; it is created if it does not exist.")] = "main",
    message: Annotated[str, typer.Option(help="The message of the commit.")] = "Upload a student of Limbeck",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be uploaded; needs no Hub.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Upload a student to the Hugging Face Hub, in one commit.

        limbeck publish student me/birds --pairing
        limbeck publish ckp_01k... me/birds --private --dry-run

    The repository is the bundle with timm's files at the root, and open_clip's with --pairing. The bundle is verified
    against its manifest first. The token is that of `hf auth login` or HF_TOKEN.
    """
    from limbeck import hub_upload
    from limbeck.hub_upload import HubError, NotUploadable

    try:
        hub_upload.check_repository(repository)
        if not dry_run:
            hub_upload.check_token()
        with _bundle(source, url, pairing=pairing, only_list=dry_run, quiet=as_json) as (folder, sizes):
            files = hub_upload.repository_files(sizes, pairing=pairing)
            if dry_run or folder is None:
                _print_files(repository, files, as_json=as_json)
                return
            if not as_json:
                typer.echo(f"{counted(len(files), 'file')}, {_megabytes(files)} to {repository}", err=True)
            _show_progress(not as_json)
            commit = hub_upload.upload(folder, files, repository, private=private, revision=revision, message=message)
    except NotUploadable as error:
        raise BadInput(str(error)) from None
    except HubError as error:
        raise CommandFailed(str(error)) from None
    _print_commit(commit, files, pairing=pairing, as_json=as_json)


@contextmanager
def _bundle(
    source: str, url: str, *, pairing: bool, only_list: bool, quiet: bool
) -> Iterator[tuple[Path | None, dict[str, int]]]:
    """The folder of the bundle, None if its files are only to be listed, and their sizes by path."""
    from limbeck.hub_upload import bundle_sizes, repository_files

    folder = Path(source)
    if folder.is_dir():
        yield folder, bundle_sizes(folder)
        return
    if not _CHECKPOINT_ID.fullmatch(source):
        raise BadInput(f"{source} is neither a folder nor the id of a checkpoint")
    with service(url) as client:
        sizes = {file.path: file.size for file in client.checkpoints.get(source).files}
    repository_files(sizes, pairing=pairing)  # a missing part is an error before the download
    if only_list:
        yield None, sizes
        return
    with tempfile.TemporaryDirectory(prefix="limbeck-publish-") as temporary:
        _download(source, url, Path(temporary), list(sizes), pairing=pairing, quiet=quiet)
        yield Path(temporary), bundle_sizes(Path(temporary))


def _download(id: str, url: str, folder: Path, paths: Sequence[str], *, pairing: bool, quiet: bool) -> None:

    from limbeck.client.downloads import BUNDLE_PARTS
    from limbeck.commands.download import fetch_bundle

    present = {path.partition("/")[0] for path in paths if "/" in path}
    parts = [part for part in BUNDLE_PARTS if part in present and (pairing or part != "pairing")]
    with service(url) as client:
        fetch_bundle(client, id, folder, parts, quiet=quiet)


def _show_progress(wanted: bool) -> None:
    """huggingface_hub draws bars on stderr; a log would fill with them."""
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if not wanted or not sys.stderr.isatty():
        disable_progress_bars()


def _print_files(repository: str, files: "Sequence[HubFile]", *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"repository": repository, "files": _listed(files)}, ensure_ascii=False))
        return
    for file in files:
        typer.echo(f"{file.size:>14,}  {file.path}")
    typer.echo(f"{counted(len(files), 'file')}, {_megabytes(files)} would be uploaded to {repository}")


def _print_commit(commit: "Commit", files: "Sequence[HubFile]", *, pairing: bool, as_json: bool) -> None:
    if as_json:
        shown = {"repository": commit.repository, "url": commit.url, "revision": commit.revision}
        typer.echo(json.dumps({**shown, "files": _listed(files)}, ensure_ascii=False))
        return
    typer.echo(f"{commit.url}, commit {commit.revision}")
    typer.echo(f'  timm.create_model("hf-hub:{commit.repository}", pretrained=True)')
    if pairing:
        typer.echo(f'  open_clip.create_model_and_transforms("hf-hub:{commit.repository}")')


def _listed(files: "Sequence[HubFile]") -> list[dict[str, object]]:
    return [{"path": file.path, "size": file.size} for file in files]


def _megabytes(files: "Sequence[HubFile]") -> str:
    return f"{sum(file.size for file in files) / 1e6:,.1f} MB"
