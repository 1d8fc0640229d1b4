"""Checkpoints: delivered students, and the download of their bundles."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from limbeck import download
from limbeck.errors import BrokenDownload
from limbeck.http import Http
from limbeck.models import Checkpoint, CheckpointWithFiles, ManifestEntry
from limbeck.resources.requests import get, items, resource_path

BUNDLE_PARTS = ("image", "pairing", "onnx", "targets")


class CheckpointMethods:
    """Client methods for checkpoints."""

    _http: Http

    def checkpoint(self, id: str) -> CheckpointWithFiles:
        """One checkpoint with the files of its bundle."""
        return get(self._http, CheckpointWithFiles, "checkpoints", id)

    def checkpoints(
        self, *, job_id: str | None = None, dataset_id: str | None = None, attribute_set_id: str | None = None
    ) -> Iterator[Checkpoint]:
        """All checkpoints, or those of a job, a dataset or an attribute set, newest first; without their files."""
        return items(
            self._http,
            Checkpoint,
            "/v1/checkpoints",
            {"job_id": job_id, "dataset_id": dataset_id, "attribute_set_id": attribute_set_id},
        )

    def download_checkpoint(
        self,
        id: str,
        folder: Path | str,
        parts: Sequence[str] | None = ("image", "targets"),
        on_progress: Callable[[str, int, int], None] | None = None,
    ) -> list[Path]:
        """Download a bundle to `folder`, verified against its manifest. Complete files are not downloaded again.

        `parts`: of `BUNDLE_PARTS`, None for all; small files outside these folders (evaluation, log, model card) are
        always included. `on_progress(path, bytes done, bytes in total)`. Raises BrokenDownload if a file does not match
        the manifest, and MissingPart for a part that the bundle lacks.
        """
        if unknown := set(parts or ()) - set(BUNDLE_PARTS):
            raise ValueError(f"unknown part {', '.join(sorted(unknown))}; a bundle has {', '.join(BUNDLE_PARTS)}")
        path, folder = resource_path("checkpoints", id), Path(folder)

        def fetch(file: ManifestEntry) -> Path:
            def on_bytes(done: int, size: int) -> None:
                if on_progress:
                    on_progress(file.path, done, size)

            return download.fetch_file(self._http, path, file, folder, on_bytes)

        manifest = next((file for file in self.checkpoint(id).files if file.path == download.MANIFEST), None)
        if manifest is None:
            raise BrokenDownload(f"checkpoint {id} has no {download.MANIFEST}")
        manifest_path = fetch(manifest)
        files = download.manifest_files(manifest_path.read_bytes())
        download.check_parts(manifest_path.read_bytes(), parts or ())
        return [manifest_path, *map(fetch, download.select_files(files, parts, optional=BUNDLE_PARTS))]
