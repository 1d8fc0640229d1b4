"""Files of a checkpoint's bundle: resumed where they broke off, and checked against the manifest byte for byte.

A file grows as `NAME.part` and takes its name once its sha256 is right, so that whatever has its name is whole.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO
from urllib.parse import quote

import httpx2

from limbeck.errors import BrokenDownload
from limbeck.http import ATTEMPTS, Http, pause_s, problem_of, retry_after_s
from limbeck.models import BundleFile

MANIFEST = "manifest.json"

OnBytes = Callable[[int, int], None]


def files_of(manifest: bytes) -> list[BundleFile]:
    """What a manifest lists. Raises BrokenDownload where it is none, or names a place outside the bundle."""
    try:
        listed: Any = json.loads(manifest)["files"]
        files = [BundleFile.model_validate(one) for one in listed]
    except (ValueError, KeyError, TypeError) as error:
        raise BrokenDownload(f"{MANIFEST} cannot be read: {error}") from None
    for file in files:
        path = PurePosixPath(file.path)
        if path.is_absolute() or not path.parts or ".." in path.parts or "\\" in file.path or ":" in file.path:
            raise BrokenDownload(f"{MANIFEST} names {file.path!r}, which is no place inside the bundle")
    return files


def wanted(files: Iterable[BundleFile], parts: Iterable[str] | None, *, optional: Iterable[str]) -> list[BundleFile]:
    """The files of the `parts` (folders of the bundle; None: of all), and all that is in no `optional` part."""
    left_out = set() if parts is None else set(optional) - set(parts)
    return [file for file in files if PurePosixPath(file.path).parts[0] not in left_out]


def sha256_of(path: Path) -> str:
    """sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(http: Http, url: str, file: BundleFile, folder: Path, on_bytes: OnBytes | None = None) -> Path:
    """Bring one file below `folder`; nothing is sent for one that is there and right.

    `on_bytes(done, size)` is called as bytes arrive. Raises BrokenDownload, Problem or Unreachable.
    """
    target = folder / file.path
    if target.is_file() and target.stat().st_size == file.size and sha256_of(target) == file.sha256:
        if on_bytes:
            on_bytes(file.size, file.size)
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".part")
    address = f"{url}/files/{quote(file.path)}"
    failures = 0
    for _ in range(2):  # a partial file left by some other download is worth one fresh start
        while not _whole(partial, file):
            before = _size(partial)
            try:
                _more(http, address, file, partial, on_bytes)
            except httpx2.TransportError as error:
                # Only tries in a row that brought nothing count: a long file may break off often.
                failures = 0 if _size(partial) > before else failures + 1
                if failures >= http.attempts:
                    raise http.unreachable(error) from error
                http.sleep(pause_s(failures + 1))
        if sha256_of(partial) == file.sha256:
            os.replace(partial, target)
            return target
        partial.unlink()
    raise BrokenDownload(f"{file.path} arrived with a wrong sha256, twice")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _whole(partial: Path, file: BundleFile) -> bool:
    if _size(partial) > file.size:
        partial.unlink()
    return partial.exists() and _size(partial) == file.size


def _more(http: Http, address: str, file: BundleFile, partial: Path, on_bytes: OnBytes | None) -> None:
    """Ask for what is missing and append it, or start over where the service sends the whole file."""
    have = _size(partial)
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": f'"{file.sha256}"'}
    for attempt in range(1, ATTEMPTS + 1):
        with http.stream("GET", address, headers=headers) as response:
            if response.status_code in (200, 206):
                with partial.open("ab" if response.status_code == 206 else "wb") as out:
                    _copy(response, out, file, on_bytes)
                return
            response.read()
            wait_s = retry_after_s(response, attempt)
            problem = problem_of(response)
        if problem.status not in (429, 502, 503, 504) or wait_s is None or attempt == ATTEMPTS:
            raise problem
        http.sleep(wait_s)


def _copy(response: httpx2.Response, out: BinaryIO, file: BundleFile, on_bytes: OnBytes | None) -> None:
    # As they come: gathered into larger pieces, the last ones before a break would be lost.
    for chunk in response.iter_raw():
        if out.tell() + len(chunk) > file.size:
            raise BrokenDownload(f"{file.path} is longer than the {file.size} bytes that the manifest gives")
        out.write(chunk)
        if on_bytes:
            on_bytes(out.tell(), file.size)
    if out.tell() < file.size:
        raise BrokenDownload(f"{file.path} ends before the {file.size} bytes that the manifest gives")
