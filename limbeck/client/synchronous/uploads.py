# Written by `python -m tests.limbeck.sync_client` from limbeck/client/asynchronous/uploads.py: edit that file.
"""Uploads of images: a folder or an archive of this machine, sent to the service in pieces."""

from collections.abc import Iterator
from pathlib import Path

from limbeck.client.paths import resource_path, without_none
from limbeck.client.responses import CHECK_TIMEOUT_S
from limbeck.client.synchronous.http import Http
from limbeck.client.synchronous.requests import delete, get, items, post
from limbeck.client.synchronous.runtime import run_blocking
from limbeck.client.upload_files import (
    CHUNK_BYTES,
    MAX_TAKEN_OVER,
    LocalFiles,
    OnSent,
    content_digest,
    local_files,
)
from limbeck.errors import Problem
from limbeck.models import CreatedUpload, Deletion, Upload

_OTHER_OFFSET = ("offset_mismatch", "upload_taken_over", "upload_changed", "upload_busy", "connection_lost", "no_bytes")


class Uploads:
    """Uploads of images: `client.uploads`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def upload(self, path: str | Path, *, name: str | None = None, on_sent: OnSent | None = None) -> Upload:
        """Send a folder or an archive (.zip, .tar, .tar.gz) and complete it. An upload that was interrupted goes on.

        Args:
            path: the folder or archive on this machine. Hidden files and links in the folder are skipped.
            name: name of the upload; that of the folder or archive by default.
            on_sent: called with the bytes that the service has, and with all bytes.

        Raises:
            ValueError: there is nothing to send, or a file was changed meanwhile.
            Problem: uploads are off (`uploads_off`), the quota does not suffice (`upload_quota_exceeded`), or a name
                or an archive is refused.
        """
        files = run_blocking(local_files, Path(path), name)
        return self.send(files, on_sent=on_sent)

    def send(self, files: LocalFiles, *, on_sent: OnSent | None = None) -> Upload:
        """Send the files of `limbeck.client.upload_files.local_files`, and complete the upload."""
        upload: Upload = post(self._http, CreatedUpload, "/v1/uploads", files.body())
        self._send_from(upload, upload.received, files, on_sent)
        run_blocking(files.hash_to, files.size)
        try:
            return self.complete(upload.id, sha256=files.digest.hexdigest())
        except Problem as problem:
            if problem.code != "upload_damaged":
                raise
        self._send_from(upload, self.offset(upload.id), files, on_sent)
        return self.complete(upload.id, sha256=files.digest.hexdigest())

    def _send_from(self, upload: Upload, start: int, files: LocalFiles, on_sent: OnSent | None) -> None:
        length, num_other = min(CHUNK_BYTES, upload.max_chunk_bytes), 0
        run_blocking(files.hash_to, start)
        while start < files.size:
            if on_sent is not None:
                on_sent(start, files.size)
            data = run_blocking(files.read, start, length)
            files.add(start, data)
            try:
                start = self.append(upload.id, data, start)
                num_other = 0
            except Problem as problem:
                num_other += 1
                if problem.code not in _OTHER_OFFSET or num_other > MAX_TAKEN_OVER:
                    raise
                start = self.offset(upload.id)
        if on_sent is not None:
            on_sent(files.size, files.size)

    def append(self, id: str, data: bytes, offset: int) -> int:
        """Send the next bytes of an upload, which begin at `offset` in its stream. Returns the new offset.

        Raises:
            Conflict: the service has more or fewer bytes (`offset_mismatch`); `offset()` says how many.
        """
        headers = {
            "Upload-Offset": str(offset),
            "Content-Digest": content_digest(data),
            "Content-Type": "application/octet-stream",
        }
        path = resource_path("uploads", id, "content")
        response = self._http.request("PATCH", path, headers=headers, content=data)
        return int(response.headers["upload-offset"])

    def offset(self, id: str) -> int:
        """How many bytes of the stream the service has."""
        response = self._http.request("HEAD", resource_path("uploads", id, "content"))
        return int(response.headers["upload-offset"])

    def complete(self, id: str, *, sha256: str | None = None) -> Upload:
        """Complete an upload whose bytes the service has: it verifies them, and unpacks an archive.

        Args:
            id: the upload.
            sha256: digest of the stream, in hex, which the service compares.
        """
        path, body = resource_path("uploads", id, "complete"), without_none(sha256=sha256)
        return post(self._http, Upload, path, body, read_timeout_s=CHECK_TIMEOUT_S)

    def get(self, id: str) -> Upload:
        """One upload."""
        return get(self._http, Upload, "uploads", id)

    def delete(self, id: str, *, force: bool = False) -> Deletion:
        """Delete an upload and its files; with `force`, also the datasets in it and everything that refers to them.

        Raises:
            Conflict: a dataset lies in it (`in_use`), or a job that has not ended needs it (`job_running`); `errors`
                name them.
        """
        return delete(self._http, "uploads", id, force=force)

    def list(self, *, owner: str | None = None, status: str | None = None) -> Iterator[Upload]:
        """All uploads, or those of an owner or a status (`receiving`, `complete`), newest first."""
        return items(self._http, Upload, "/v1/uploads", {"owner": owner, "status": status})
