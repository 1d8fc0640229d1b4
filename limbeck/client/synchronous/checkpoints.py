# Written by `python -m tests.limbeck.sync_client` from limbeck/client/asynchronous/checkpoints.py: edit that file.
"""Checkpoints: delivered students, and the download of their bundles."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from limbeck.client.downloads import BUNDLE_PARTS, MANIFEST, check_parts, manifest_files, select_files
from limbeck.client.paths import resource_path
from limbeck.client.synchronous.download import fetch_file
from limbeck.client.synchronous.http import Http
from limbeck.client.synchronous.requests import get, items
from limbeck.errors import BrokenDownload
from limbeck.models import Checkpoint, CheckpointWithFiles, ManifestEntry


class Checkpoints:
    """Checkpoints: `client.checkpoints`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def get(self, id: str) -> CheckpointWithFiles:
        """One checkpoint with the files of its bundle."""
        return get(self._http, CheckpointWithFiles, "checkpoints", id)

    def list(
        self, *, job_id: str | None = None, dataset_id: str | None = None, attribute_set_id: str | None = None
    ) -> Iterator[Checkpoint]:
        """All checkpoints, or those of a job, a dataset or an attribute set, newest first; without their files."""
        filters = {"job_id": job_id, "dataset_id": dataset_id, "attribute_set_id": attribute_set_id}
        return items(self._http, Checkpoint, "/v1/checkpoints", filters)

    def download(
        self,
        id: str,
        folder: Path | str,
        parts: Sequence[str] | None = ("image", "targets"),
        on_progress: Callable[[str, int, int], None] | None = None,
    ) -> tuple[Path, ...]:
        """Download a bundle to `folder`, verified against its manifest. Complete files are not downloaded again.

        Args:
            id: the checkpoint.
            folder: the destination; it is created if necessary.
            parts: of `BUNDLE_PARTS`, None for all; small files outside these folders (evaluation, log, model card) are
                always included.
            on_progress: called with the path of a file, its bytes so far, and its size in bytes.

        Returns:
            The paths of the files, `manifest.json` first.

        Raises:
            BrokenDownload: a file does not match the manifest.
            MissingPart: the bundle lacks a part.
            ValueError: there is no such part.
        """
        if unknown := set(parts or ()) - set(BUNDLE_PARTS):
            raise ValueError(f"unknown part {', '.join(sorted(unknown))}; a bundle has {', '.join(BUNDLE_PARTS)}")
        path, folder = resource_path("checkpoints", id), Path(folder)

        def fetch(file: ManifestEntry) -> Path:
            def on_bytes(done: int, size: int) -> None:
                if on_progress:
                    on_progress(file.path, done, size)

            return fetch_file(self._http, path, file, folder, on_bytes)

        manifest = next((file for file in (self.get(id)).files if file.path == MANIFEST), None)
        if manifest is None:
            raise BrokenDownload(f"checkpoint {id} has no {MANIFEST}")
        manifest_path = fetch(manifest)
        files = manifest_files(manifest_path.read_bytes())
        check_parts(manifest_path.read_bytes(), parts or ())
        chosen = select_files(files, parts, optional=BUNDLE_PARTS)
        return (manifest_path, *[fetch(file) for file in chosen])
