"""Reads the files of bundles: a sequence of pieces of blobs, which are decoded block by block."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import IO, Self

from sqlalchemy import select
from sqlalchemy.orm import Session

from store.artefacts import Artefacts
from store.blobs.codec import BLOCK_BYTES, decoded
from store.models import Blob, BlobPiece, CheckpointFile


@dataclass(frozen=True)
class Piece:
    """`size` bytes of a blob from `start` on. `ends`: where the stored form of each block of the blob ends."""

    key: str
    start: int
    size: int
    ends: Sequence[int]


@dataclass(frozen=True)
class Composed:
    """The content of a file of a bundle: pieces in order; or a whole file `key` of an earlier release."""

    pieces: tuple[Piece, ...]
    key: str | None = None


def whole_file(key: str) -> Composed:
    """The content of an artefact."""
    return Composed((), key)


def content_of(tx: Session, file: CheckpointFile) -> Composed:
    """The content of a file of a bundle."""
    if file.file_key is not None:
        return whole_file(file.file_key)
    query = (
        select(Blob.file_key, BlobPiece.start, BlobPiece.size, Blob.ends)
        .join(Blob, Blob.sha256 == BlobPiece.sha256)
        .where(BlobPiece.checkpoint_id == file.checkpoint_id, BlobPiece.path == file.path)
        .order_by(BlobPiece.position)
    )
    return Composed(tuple(Piece(key, start, size, ends) for key, start, size, ends in tx.execute(query)))


def contents(tx: Session, checkpoint_id: str, paths: Sequence[str]) -> dict[str, Composed]:
    """Path → content, for those of the paths that the bundle contains."""
    query = select(CheckpointFile).where(CheckpointFile.checkpoint_id == checkpoint_id, CheckpointFile.path.in_(paths))
    return {file.path: content_of(tx, file) for file in tx.scalars(query)}


def get_file(artefacts: Artefacts, content: Composed, target: Path) -> None:
    """Write the content to a local file. Raises FileNotFoundError if a blob is gone."""
    if content.key is not None:
        return artefacts.get_file(content.key, target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with open_content(artefacts, content) as stream, target.open("wb") as out:
        while block := stream.read(BLOCK_BYTES):
            out.write(block)
    return None


def open_content(artefacts: Artefacts, content: Composed) -> "IO[bytes] | ComposedStream":
    """A stream of the content. Raises FileNotFoundError if the first blob is gone."""
    return ComposedStream(artefacts, content.pieces) if content.key is None else artefacts.open(content.key)


class ComposedStream:
    """A stream over pieces, with constant memory: `seek`, `read`, `close`."""

    def __init__(self, artefacts: Artefacts, pieces: Sequence[Piece]) -> None:
        self._artefacts = artefacts
        self._pieces = pieces
        self._stops = list(accumulate(piece.size for piece in pieces))
        self._at = 0
        self._opened: tuple[str, IO[bytes]] | None = None
        self._block: tuple[str, int, bytes] | None = None
        if pieces:
            self._open(pieces[0].key)  # a missing blob is noticed before the first byte is sent

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the open blob."""
        if self._opened is not None:
            self._opened[1].close()
            self._opened = None

    def seek(self, position: int) -> None:
        """The position of the next read, in bytes from the start."""
        self._at = position

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; fewer only at the end."""
        parts = list(self._parts(size))
        self._at += sum(map(len, parts))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _parts(self, size: int) -> Iterator[bytes]:
        at, left = self._at, size
        while left > 0 and self._stops and at < self._stops[-1]:
            number = bisect_right(self._stops, at)
            piece = self._pieces[number]
            offset = at - (self._stops[number] - piece.size)
            in_blob = piece.start + offset
            block = self._decoded(piece, in_blob // BLOCK_BYTES)
            first = in_blob % BLOCK_BYTES
            part = block[first : first + min(left, piece.size - offset)]
            if not part:
                raise OSError(f"the stored file {piece.key} is shorter than its recorded size")
            yield part
            at, left = at + len(part), left - len(part)

    def _decoded(self, piece: Piece, number: int) -> bytes:
        if self._block is None or self._block[:2] != (piece.key, number):
            start = piece.ends[number - 1] if number else 0
            stream = self._open(piece.key)
            stream.seek(start)
            self._block = piece.key, number, decoded(stream.read(piece.ends[number] - start))
        return self._block[2]

    def _open(self, key: str) -> IO[bytes]:
        if self._opened is None or self._opened[0] != key:
            self.close()
            self._opened = key, self._artefacts.open(key)
        return self._opened[1]
