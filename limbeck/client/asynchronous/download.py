"""Download a checkpoint's bundle, by the rules of `limbeck.client.downloads`."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import httpx2

from limbeck.client.asynchronous.http import AsyncHttp
from limbeck.client.asynchronous.runtime import run_blocking
from limbeck.client.downloads import (
    LOCK_POLL_S,
    FolderLock,
    OnProgress,
    check_digest,
    check_parts,
    check_space,
    full_disk_named,
    make_folder,
    manifest_files,
    missing_files,
    partial_path,
    put_in_place,
    select_files,
    size_of,
    write_manifest,
)
from limbeck.client.responses import pause_s, problem_of, wait_before_retry_s
from limbeck.errors import BrokenDownload
from limbeck.models import ManifestEntry
from limbeck.shared.bundle.files import MANIFEST_FILE, file_sha256


async def download_bundle(
    http: AsyncHttp,
    url: str,
    name: str,
    bundle: Sequence[ManifestEntry],
    folder: Path,
    parts: Sequence[str] | None,
    on_progress: OnProgress | None,
) -> tuple[Path, ...]:
    """Download the files of `parts` from `url`, the path of a checkpoint. Returns their paths, the manifest first.

    `bundle`: all of its files. `name`: for errors.
    """
    manifest = next((file for file in bundle if file.path == MANIFEST_FILE), None)
    if manifest is None:
        raise BrokenDownload(f"checkpoint {name} has no {MANIFEST_FILE}")
    content = (await http.request("GET", f"{url}/files/{MANIFEST_FILE}")).content
    check_digest(content, manifest)
    listed = manifest_files(content)
    check_parts(content, listed, parts)
    files = select_files(listed, parts)
    report = on_progress or _no_report
    with full_disk_named(folder):
        make_folder(folder)
        async with _locked(http, folder):
            missing = await run_blocking(missing_files, folder, manifest, files, name)
            check_space(folder, missing)
            for file in files:
                if file in missing:
                    await fetch_file(http, url, file, folder, report)
                else:
                    report(file.path, file.size, file.size)
            await run_blocking(write_manifest, folder, manifest, content)
            report(manifest.path, manifest.size, manifest.size)
    return tuple(folder / file.path for file in (manifest, *files))


def _no_report(path: str, done: int, size: int) -> None:
    """Report no progress."""


@asynccontextmanager
async def _locked(http: AsyncHttp, folder: Path) -> AsyncIterator[None]:
    """Wait until no other download writes to the folder."""
    lock = FolderLock(folder)
    try:
        while not lock.acquire():
            await http.sleep(LOCK_POLL_S)
        yield
    finally:
        lock.close()


async def fetch_file(http: AsyncHttp, url: str, file: ManifestEntry, folder: Path, report: OnProgress) -> None:
    """Download one file to `folder`. Raises BrokenDownload, Problem or Unreachable."""
    target, partial = folder / file.path, partial_path(folder, file)
    target.parent.mkdir(parents=True, exist_ok=True)
    address = f"{url}/files/{quote(file.path)}"
    failures = 0
    for _ in range(2):  # start over once if the bytes of an earlier attempt were wrong
        while not partial.exists() or size_of(partial) < file.size:
            before = size_of(partial)
            try:
                await _append_missing(http, address, file, partial, lambda done: report(file.path, done, file.size))
            except httpx2.TransportError as error:
                # Count only consecutive attempts without new bytes: a large file can need many attempts.
                failures = 0 if size_of(partial) > before else failures + 1
                if failures >= http.attempts:
                    raise http.unreachable(error) from error
                await http.sleep(pause_s(failures + 1))
        if size_of(partial) == file.size and await run_blocking(file_sha256, partial) == file.sha256:
            await run_blocking(put_in_place, partial, target)
            return
        partial.unlink()
    raise BrokenDownload(f"{file.path} has a wrong sha256 after two downloads")


async def _append_missing(
    http: AsyncHttp, address: str, file: ManifestEntry, partial: Path, on_bytes: Callable[[int], None]
) -> None:
    """Request the missing bytes and append them; start over if the service sends the complete file."""
    num_bytes = size_of(partial)
    headers = {"Accept-Encoding": "identity"}
    if num_bytes:
        headers |= {"Range": f"bytes={num_bytes}-", "If-Range": f'"{file.sha256}"'}
    for attempt in range(1, http.attempts + 1):
        async with http.stream("GET", address, headers=headers) as response:
            if response.status_code in (200, 206):
                try:
                    with partial.open("ab" if response.status_code == 206 else "wb") as out:
                        await _copy(response, out, file, on_bytes)
                except BrokenDownload:
                    partial.unlink()
                    raise
                return
            await response.aread()
            wait_s = wait_before_retry_s(response, attempt)
            problem = problem_of(response)
        if problem.status not in (429, 502, 503, 504) or wait_s is None or attempt == http.attempts:
            raise problem
        await http.sleep(wait_s)


async def _copy(response: httpx2.Response, out: BinaryIO, file: ManifestEntry, on_bytes: Callable[[int], None]) -> None:
    # Write chunks as they arrive: buffered chunks would be lost when the connection breaks.
    async for chunk in response.aiter_raw():
        if out.tell() + len(chunk) > file.size:
            raise BrokenDownload(f"{file.path} is longer than {file.size} bytes, its size in the manifest")
        out.write(chunk)
        on_bytes(out.tell())
    if out.tell() < file.size:
        raise BrokenDownload(f"{file.path} is shorter than {file.size} bytes, its size in the manifest")
