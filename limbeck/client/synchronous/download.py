# Written by `python -m tests.limbeck.sync_client` from limbeck/client/asynchronous/download.py: edit that file.
"""Download the files of a checkpoint's bundle: resumable, and verified against the manifest.

A file is written as `NAME.part` and renamed when its sha256 has been verified: a file without `.part` is complete.
"""

import os
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import httpx2

from limbeck.client.downloads import OnBytes, sha256_of
from limbeck.client.responses import ATTEMPTS, pause_s, problem_of, wait_before_retry_s
from limbeck.client.synchronous.http import Http
from limbeck.client.synchronous.runtime import run_blocking
from limbeck.errors import BrokenDownload
from limbeck.models import ManifestEntry


def fetch_file(http: Http, url: str, file: ManifestEntry, folder: Path, on_bytes: OnBytes | None = None) -> Path:
    """Download one file to `folder`, unless a file with the right sha256 exists. Returns its path.

    `on_bytes(done, size)` is called for each chunk. Raises BrokenDownload, Problem or Unreachable.
    """
    target = folder / file.path
    if target.is_file() and target.stat().st_size == file.size and run_blocking(sha256_of, target) == file.sha256:
        if on_bytes:
            on_bytes(file.size, file.size)
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".part")
    address = f"{url}/files/{quote(file.path)}"
    failures = 0
    for _ in range(2):  # start over once if the partial file came from a different download
        while not _is_complete(partial, file):
            before = _size(partial)
            try:
                _append_missing(http, address, file, partial, on_bytes)
            except httpx2.TransportError as error:
                # Count only consecutive attempts without new bytes: a large file can need many attempts.
                failures = 0 if _size(partial) > before else failures + 1
                if failures >= http.attempts:
                    raise http.unreachable(error) from error
                http.sleep(pause_s(failures + 1))
        if run_blocking(sha256_of, partial) == file.sha256:
            os.replace(partial, target)
            return target
        partial.unlink()
    raise BrokenDownload(f"{file.path} has a wrong sha256 after two downloads")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _is_complete(partial: Path, file: ManifestEntry) -> bool:
    if _size(partial) > file.size:
        partial.unlink()
    return partial.exists() and _size(partial) == file.size


def _append_missing(http: Http, address: str, file: ManifestEntry, partial: Path, on_bytes: OnBytes | None) -> None:
    """Request the missing bytes and append them; start over if the service sends the complete file."""
    num_bytes = _size(partial)
    headers = {"Accept-Encoding": "identity"}
    if num_bytes:
        headers |= {"Range": f"bytes={num_bytes}-", "If-Range": f'"{file.sha256}"'}
    for attempt in range(1, ATTEMPTS + 1):
        with http.stream("GET", address, headers=headers) as response:
            if response.status_code in (200, 206):
                with partial.open("ab" if response.status_code == 206 else "wb") as out:
                    _copy(response, out, file, on_bytes)
                return
            response.read()
            wait_s = wait_before_retry_s(response, attempt)
            problem = problem_of(response)
        if problem.status not in (429, 502, 503, 504) or wait_s is None or attempt == ATTEMPTS:
            raise problem
        http.sleep(wait_s)


def _copy(response: httpx2.Response, out: BinaryIO, file: ManifestEntry, on_bytes: OnBytes | None) -> None:
    # Write chunks as they arrive: buffered chunks would be lost when the connection breaks.
    for chunk in response.iter_raw():
        if out.tell() + len(chunk) > file.size:
            raise BrokenDownload(f"{file.path} is longer than {file.size} bytes, its size in the manifest")
        out.write(chunk)
        if on_bytes:
            on_bytes(out.tell(), file.size)
    if out.tell() < file.size:
        raise BrokenDownload(f"{file.path} is shorter than {file.size} bytes, its size in the manifest")
