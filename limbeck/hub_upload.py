"""Upload a bundle to the Hugging Face Hub in one commit, in the layout of `limbeck.shared.bundle.hub_layout`.

Needs huggingface_hub (the extra `publish`). The endpoint is that of `HF_ENDPOINT`, the token that of `hf auth login` or
`HF_TOKEN`.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import httpx2
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from limbeck.shared.bundle import hub_layout
from limbeck.shared.bundle.files import MANIFEST_FILE, BundleError, listed_files, verify_files
from limbeck.shared.text import first_line

MAIN = "main"
_KEY_PREFIX = "lbk_"  # of a key of the service


class HubError(Exception):
    """The Hub refused an upload or did not respond; the message is one line."""


class NotUploadable(ValueError):
    """The repository's name, the token or the bundle does not allow an upload; the message is one line."""


class HubFile(NamedTuple):
    """A file of a repository: its path there, its path in the bundle, and its size in bytes."""

    path: str
    source: str
    size: int


@dataclass(frozen=True)
class Commit:
    """A finished upload. `url` is the repository's; `revision` the commit, in 40 hex digits."""

    repository: str
    url: str
    revision: str


def check_repository(repository: str) -> None:
    """Raise NotUploadable for a name that is not `NAME` or `OWNER/NAME`."""
    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise NotUploadable(f"{repository!r} is not the name of a repository: {first_line(error)}") from None


def check_token() -> str:
    """The token of the Hub. Raises NotUploadable, which says how to log in."""
    token = get_token()
    if token is None:
        raise NotUploadable("no token of the Hub: run `hf auth login`, or set HF_TOKEN to a token with write access")
    if token.startswith(_KEY_PREFIX):
        raise NotUploadable("HF_TOKEN is a key of Limbeck: set it to a token of the Hub with write access")
    return token


def repository_files(sizes: Mapping[str, int], *, pairing: bool) -> list[HubFile]:
    """The files of the repository of a bundle that has these files (path -> bytes), sorted by path.

    With `pairing`, open_clip loads the same repository. Raises NotUploadable for a missing part.
    """
    layout = hub_layout.student_files(sizes)
    if "model.safetensors" not in layout or "config.json" not in layout:
        raise NotUploadable("the bundle has no image/: download it again")
    if pairing:
        added = hub_layout.pairing_files(sizes)
        if not added:
            raise NotUploadable("the bundle has no pairing/: leave out --pairing, or download it with this part")
        layout = added | layout
    return [HubFile(path, source, sizes[source]) for path, source in sorted(layout.items())]


def bundle_sizes(folder: Path) -> dict[str, int]:
    """The size in bytes of each file of a bundle, by path, after verification. Raises NotUploadable for a fault."""
    try:
        listed = listed_files(verify_files(folder, partial=True))
    except BundleError as error:
        raise NotUploadable(str(error)) from None
    return {path: size for path in (*listed, MANIFEST_FILE) if (size := _size(folder / path)) is not None}


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def upload(
    folder: Path, files: Iterable[HubFile], repository: str, *, private: bool, revision: str, message: str
) -> Commit:
    """Upload files of a bundle in one commit to a repository, which is created if it does not exist.

    Files of an earlier bundle that this one lacks are deleted in the same commit. `revision` is a branch, which is
    created too. Raises HubError and NotUploadable.
    """
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None, token=check_token())
    with _one_line_errors(repository, api.endpoint):
        created = api.create_repo(repository, private=private or None, exist_ok=True)
        repository = created.repo_id
        if revision != MAIN:
            api.create_branch(repository, branch=revision, exist_ok=True)
        added = {file.path: folder / file.source for file in files}
        operations: list[CommitOperationAdd | CommitOperationDelete] = []
        operations += [CommitOperationAdd(path, source) for path, source in added.items()]
        operations += [CommitOperationDelete(path) for path in _stale(api, repository, revision, added)]
        commit = api.create_commit(repository, operations, commit_message=message, revision=revision)
    return Commit(repository, str(created), commit.oid)


def _stale(api: HfApi, repository: str, revision: str, added: Mapping[str, Path]) -> list[str]:
    """The files in the repository that an earlier bundle has put there, by its manifest, and that are not added now."""
    present = set(api.list_repo_files(repository, revision=revision))
    if MANIFEST_FILE not in present:
        return []
    try:
        manifest = json.loads(Path(api.hf_hub_download(repository, MANIFEST_FILE, revision=revision)).read_bytes())
        paths = list(listed_files(manifest))
        earlier = {**hub_layout.student_files(paths), **hub_layout.pairing_files(paths)}
    except (EntryNotFoundError, ValueError, KeyError, TypeError):
        return []
    return sorted((present & earlier.keys()) - added.keys())


@contextmanager
def _one_line_errors(repository: str, endpoint: str) -> Iterator[None]:
    try:
        yield
    except (HfHubHTTPError, httpx2.HTTPError, OSError, RuntimeError, ValueError) as error:
        reason: BaseException = error
        # huggingface_hub wraps the error of one file in a RuntimeError.
        while isinstance(reason, RuntimeError) and reason.__cause__ is not None:
            reason = reason.__cause__
        if isinstance(reason, HfHubHTTPError):
            raise HubError(_refusal(reason, repository, endpoint)) from None
        if isinstance(reason, httpx2.HTTPError):
            raise HubError(f"{endpoint} cannot be reached: {first_line(reason)}") from None
        raise HubError(f"the upload to {repository} failed: {' '.join(str(reason).split())}") from None


def _refusal(error: HfHubHTTPError, repository: str, endpoint: str) -> str:
    status = error.response.status_code
    message = " ".join((error.server_message or "").split())
    said = f" ({message})" if message else ""
    if status == 401:
        return f"{endpoint} does not accept the token: run `hf auth login` again, or correct HF_TOKEN{said}"
    if status == 403:
        return f"the token may not write to {repository}: use a token with write access to its owner's models{said}"
    if status in (404, 405) and error.response.url.path.endswith("/api/repos/create"):
        return f"{endpoint} takes no uploads: unset HF_ENDPOINT, or set it to a Hub{said}"
    if status in (409, 412):
        return f"{repository} was changed during the upload: run the command again{said}"
    return f"the upload to {repository} failed with status {status}{said}"
