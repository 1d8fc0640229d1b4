"""Checkpoints: delivered students, and the download of their bundles."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from limbeck.client.asynchronous.download import download_bundle
from limbeck.client.asynchronous.http import AsyncHttp
from limbeck.client.asynchronous.requests import delete, get, items
from limbeck.client.downloads import BUNDLE_PARTS, DEFAULT_PARTS, OnProgress
from limbeck.client.paths import resource_path
from limbeck.client.responses import Param, parsed
from limbeck.models import Checkpoint, CheckpointWithFiles, Deletion, PictureScores, Samples
from limbeck.shared.bundle.open_set import OpenSetScore


class AsyncCheckpoints:
    """Checkpoints: `client.checkpoints`."""

    def __init__(self, http: AsyncHttp) -> None:
        self._http = http

    async def get(self, id: str) -> CheckpointWithFiles:
        """One checkpoint with the files of its bundle."""
        return await get(self._http, CheckpointWithFiles, "checkpoints", id)

    async def delete(self, id: str, *, force: bool = False) -> Deletion:
        """Delete a checkpoint and the files of its bundle; with `force`, also everything that refers to it.

        Raises:
            Conflict: something refers to it (`in_use`), or a job that has not ended needs it (`job_running`); `errors`
                name them.
        """
        return await delete(self._http, "checkpoints", id, force=force)

    async def samples(self, id: str, label: str) -> Samples:
        """Up to 12 evaluated images of a label with what the student took them for: mistakes first.

        Raises:
            NotFound: no image of the label was evaluated, or the student has no samples.
        """
        path = resource_path("checkpoints", id, "samples")
        return parsed(Samples, await self._http.request("GET", path, params={"label": label}))

    async def classify(
        self, id: str, picture: bytes, *, words: Sequence[str] = (), top: int = 5, score: OpenSetScore = "cosine"
    ) -> PictureScores:
        """The best labels of a picture, an image file of up to 20 MB, by the service.

        Args:
            id: the checkpoint.
            picture: the content of the file.
            words: up to 50 new labels beside those of the student, whose bundle must have `onnx/text.onnx`.
            top: number of labels.
            score: by what the picture is none of these.

        Raises:
            Conflict: the bundle lacks a part (`no_onnx`, `no_text_encoder`), or the threshold of the score
                (`score_missing`).
            Problem: the picture cannot be decoded (`image_unreadable`, `image_too_costly`), or the service lacks ONNX
                Runtime (`onnxruntime_missing`).
        """
        path = resource_path("checkpoints", id, "classify")
        query: dict[str, Param] = {"top": top, "word": [*words], "score": None if score == "cosine" else score}
        return parsed(PictureScores, await self._http.request("POST", path, params=query, content=picture))

    def list(
        self,
        *,
        job_id: str | None = None,
        dataset_id: str | None = None,
        attribute_set_id: str | None = None,
        owner: str | None = None,
    ) -> AsyncIterator[Checkpoint]:
        """All checkpoints, or those of a job, a dataset, an attribute set or an owner, newest first; without their
        files."""
        filters = {"job_id": job_id, "dataset_id": dataset_id, "attribute_set_id": attribute_set_id, "owner": owner}
        return items(self._http, Checkpoint, "/v1/checkpoints", filters)

    async def download(
        self,
        id: str,
        folder: Path | str,
        parts: Sequence[str] | None = DEFAULT_PARTS,
        on_progress: OnProgress | None = None,
    ) -> tuple[Path, ...]:
        """Download a bundle to a folder, verified against its manifest.

        Complete files are not downloaded again, and an interrupted download is continued. A file of other content is
        never replaced. `manifest.json` is written last: a folder without it is incomplete. Two downloads to one folder
        take turns, also in two processes.

        Args:
            id: the checkpoint.
            folder: the destination; it is created if necessary.
            parts: of `BUNDLE_PARTS`, None for all; by default `DEFAULT_PARTS`, as far as the bundle has them. Small
                files outside these folders (evaluation, log, model card) are always included.
            on_progress: called with the path of a file, its bytes so far, and its size in bytes.

        Returns:
            The paths of the files, `manifest.json` first.

        Raises:
            FilesInTheWay: the folder holds another checkpoint, or other files under the same names.
            DiskFull: the bundle does not fit on the disk.
            BrokenDownload: a file does not match the manifest, or the manifest is invalid.
            MissingPart: the bundle lacks a part.
            ValueError: there is no such part.
            OSError: a file cannot be written for another reason.
        """
        if unknown := set(parts or ()) - set(BUNDLE_PARTS):
            raise ValueError(f"unknown part {', '.join(sorted(unknown))}; a bundle has {', '.join(BUNDLE_PARTS)}")
        checkpoint = await self.get(id)
        url = resource_path("checkpoints", checkpoint.id)
        return await download_bundle(self._http, url, checkpoint.id, checkpoint.files, Path(folder), parts, on_progress)
