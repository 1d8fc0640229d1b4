"""Stores the files of a bundle as pieces of blobs, so that nothing is stored twice.

A blob is a run of bytes that is stored once, under its sha256, for all files of all bundles that contain it. What a
file has in common with an earlier file of its bundle is not stored again. The rest is cut where a safetensors file
changes between tensors of the student and others: the text tower of a teacher is then one blob for all its students.
"""

import hashlib
import json
import mmap
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from store.artefacts import Artefacts
from store.blobs.codec import BLOCK_BYTES, encoded
from store.blobs.matching import Content, common_runs
from store.db import Database
from store.models import Blob
from store.unique_rows import insert_ignore

OWN_BLOB_BYTES = 256 * 1024
"""A shorter run is stored with the other short runs of its file."""
_SEARCHED_BYTES = 256 * 2**20
"""A longer run is not searched for parts of later files."""
_STUDENT = "visual."  # the tensors of the student in the file for open_clip


@dataclass(frozen=True)
class PieceOf:
    """Bytes `start` to `start + size` of the blob with this sha256."""

    sha256: str
    start: int
    size: int


@dataclass(frozen=True)
class PiecedFile:
    """A file of a bundle as consecutive pieces."""

    path: str
    sha256: str
    size: int
    pieces: tuple[PieceOf, ...]


@dataclass(frozen=True)
class NewBlob:
    """A blob that was uploaded. `ends`: where the stored form of each block ends."""

    sha256: str
    file_key: str
    size: int
    ends: tuple[int, ...]


@dataclass(frozen=True)
class StoredFiles:
    """The files of a bundle, with the new blobs that they need; other blobs existed when they were looked for."""

    files: tuple[PiecedFile, ...]
    blobs: tuple[NewBlob, ...]


@dataclass
class _Writer:
    db: Database
    artefacts: Artefacts
    place: str
    # Blobs that this bundle contains, and the large ones with their content.
    new: dict[str, NewBlob] = field(default_factory=dict)
    known: dict[str, Content] = field(default_factory=dict)
    existing: set[str] = field(default_factory=set)

    def put(self, content: Content) -> str:
        """Upload a blob unless it is stored; its sha256."""
        sha256 = hashlib.sha256(content).hexdigest()
        if sha256 in self.new or sha256 in self.existing:
            return sha256
        with self.db.read() as tx:
            if tx.get(Blob, sha256) is not None:
                self.existing.add(sha256)
                return sha256
        key, ends = f"{self.place}/blobs/{sha256}", list[int]()
        self.artefacts.put_blocks(_blocks(content, ends), key)
        self.new[sha256] = NewBlob(sha256, key, len(content), tuple(ends))
        return sha256


def store_files(
    db: Database,
    artefacts: Artefacts,
    files: Sequence[tuple[str, Path]],
    *,
    place: str,
    on_file: Callable[[int], None] = lambda number: None,
) -> StoredFiles:
    """Upload what is not stored yet of these files (path in the bundle, local file) below the key prefix `place`.

    The same contents give the same pieces. `on_file` gets the number of files before each one. Raises OSError.
    """
    writer = _Writer(db, artefacts, place)
    stored = []
    with ExitStack() as opened:
        for number, (path, source) in enumerate(files):
            on_file(number)
            content = _content(source, opened)
            pieces = tuple(_joined(_pieces(writer, source, content)))
            stored.append(PiecedFile(path, hashlib.sha256(content).hexdigest(), len(content), pieces))
    return StoredFiles(tuple(stored), tuple(writer.new.values()))


class BlobsGone(RuntimeError):
    """A blob that existed when the files were stored was deleted before they were recorded: store them again."""


def record_blobs(tx: Session, stored: StoredFiles) -> None:
    """Record the new blobs, and keep all blobs of the files from being deleted until the transaction ends.

    Raises BlobsGone.
    """
    rows = [vars(one) | {"ends": list(one.ends), "created_at": time.time()} for one in stored.blobs]
    insert_ignore(tx, Blob, sorted(rows, key=lambda row: str(row["sha256"])))
    needed = sorted({piece.sha256 for file in stored.files for piece in file.pieces})
    query = select(Blob.sha256).where(Blob.sha256.in_(needed)).order_by(Blob.sha256)
    if len(list(tx.scalars(query.with_for_update(read=True, key_share=True)))) < len(needed):
        raise BlobsGone("a part of the bundle was deleted at the same time")


def _content(source: Path, opened: ExitStack) -> Content:
    if not source.stat().st_size:
        return b""
    file = opened.enter_context(source.open("rb"))
    return opened.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


@dataclass(frozen=True)
class _Stretch:
    """Bytes of a file: those of a known blob from `known_start` on, or others if `sha256` is empty."""

    start: int
    stop: int
    sha256: str = ""
    known_start: int = 0

    @property
    def is_short(self) -> bool:
        return not self.sha256 and self.stop - self.start < OWN_BLOB_BYTES


def _pieces(writer: _Writer, source: Path, content: Content) -> Iterator[PieceOf]:
    """The pieces of a file, in order."""
    known = _known_runs(writer, content) if len(content) >= OWN_BLOB_BYTES else []
    runs = list(_with_others(known, _cuts(source, content)))
    short = b"".join(content[run.start : run.stop] for run in runs if run.is_short)
    short_sha256, short_at = writer.put(short) if short else "", 0
    for run in runs:
        size = run.stop - run.start
        if run.sha256:
            yield PieceOf(run.sha256, run.known_start, size)
        elif run.is_short:
            yield PieceOf(short_sha256, short_at, size)
            short_at += size
        else:
            own = content[run.start : run.stop]
            sha256 = writer.put(own)
            if size <= _SEARCHED_BYTES:
                writer.known.setdefault(sha256, own)
            yield PieceOf(sha256, 0, size)


def _known_runs(writer: _Writer, content: Content) -> list[_Stretch]:
    """Runs of the file that earlier files of the bundle contain, the longest first where they overlap; in order."""
    found = [
        _Stretch(match.start, match.stop, sha256, match.known_start)
        for sha256, known in writer.known.items()
        for match in common_runs(content, known)
    ]
    taken: list[_Stretch] = []
    for run in sorted(found, key=lambda run: run.start - run.stop):
        if all(run.stop <= other.start or run.start >= other.stop for other in taken):
            taken.append(run)
    return sorted(taken, key=lambda run: run.start)


def _with_others(known: Sequence[_Stretch], cuts: Sequence[int]) -> Iterator[_Stretch]:
    """The known runs, and the runs between them, which end at every cut. The last cut is the end of the file."""
    start = 0
    for run in (*known, None):
        end = run.start if run else cuts[-1]
        for cut in (*(cut for cut in cuts if start < cut < end), end):
            if start < cut:
                yield _Stretch(start, cut)
                start = cut
        if run is not None:
            yield run
            start = run.stop


def _cuts(source: Path, content: Content) -> list[int]:
    """Where a file is cut: in a safetensors file after the header and between tensors of the student and others."""
    cuts = [len(content)]
    if source.suffix == ".safetensors":
        data = 8 + int.from_bytes(content[:8], "little")
        tensors = {name: one for name, one in json.loads(content[8:data]).items() if name != "__metadata__"}
        before: bool | None = None
        for name, tensor in sorted(tensors.items(), key=lambda item: item[1]["data_offsets"]):
            is_student = name.startswith(_STUDENT)
            if is_student != before:
                cuts.append(data + tensor["data_offsets"][0])
            before = is_student
    return sorted(cuts)


def _joined(pieces: Iterable[PieceOf]) -> Iterator[PieceOf]:
    """The pieces, with those joined that follow each other in one blob."""
    last: PieceOf | None = None
    for piece in pieces:
        if last and last.sha256 == piece.sha256 and last.start + last.size == piece.start:
            last = PieceOf(last.sha256, last.start, last.size + piece.size)
            continue
        if last:
            yield last
        last = piece
    if last:
        yield last


def _blocks(content: Content, ends: list[int]) -> Iterator[bytes]:
    """The stored form of each block; appends to `ends` where each one ends."""
    for start in range(0, len(content), BLOCK_BYTES):
        block = encoded(content[start : start + BLOCK_BYTES])
        ends.append((ends[-1] if ends else 0) + len(block))
        yield block
