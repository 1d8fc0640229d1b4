"""Bundles in blobs: every file reads back as it was, at any range, and nothing is stored twice. On both databases."""

import json
import random
import struct
from pathlib import Path

import pytest
from sqlalchemy import func, select

from store.artefacts import Artefacts
from store.blobs import reading, unused
from store.blobs.codec import BLOCK_BYTES, decoded, encoded
from store.blobs.matching import common_runs
from store.blobs.writing import BlobsGone, PieceOf, StoredFiles, record_blobs, store_files
from store.db import Database
from store.models import Blob

RANDOM = random.Random(3)


def weights(number: int) -> bytes:
    """float32 values of a normal distribution."""
    return struct.pack(f"<{number}f", *(RANDOM.gauss(0, 0.02) for _ in range(number)))


STUDENT, TOWER, OTHER = weights(200_000), weights(150_000), weights(120_000)


def safetensors(tensors: dict[str, bytes]) -> bytes:
    offset, header = 0, {}
    for name, content in tensors.items():
        header[name] = {"dtype": "F32", "shape": [len(content) // 4], "data_offsets": [offset, offset + len(content)]}
        offset += len(content)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"".join(tensors.values())


def bundle(student: bytes, header: str = "a") -> dict[str, bytes]:
    third = len(student) // 3
    graph = [b"node %d " % n * 9 + student[at : at + third] for n, at in enumerate(range(0, len(student), third))]
    return {
        "image/model.safetensors": safetensors({"w": student}),
        "onnx/image-uint8.onnx": b"preprocessing" * 30 + b"".join(graph) + b"scores" * 50,
        "onnx/image.onnx": b"".join(graph),
        "pairing/open_clip_model.safetensors": safetensors({"text." + header: TOWER, "visual.trunk.w": student}),
        "README.md": b"# A student\n" * 1000,
        "empty": b"",
    }


@pytest.fixture
def artefacts(tmp_path: Path) -> Artefacts:
    return Artefacts(f"file://{tmp_path}/artefacts")


def stored(db: Database, artefacts: Artefacts, files: dict[str, bytes], folder: Path, place: str) -> StoredFiles:
    folder.mkdir(exist_ok=True)
    sources = []
    for number, (path, content) in enumerate(files.items()):
        source = folder / f"{number}-{Path(path).name}"
        source.write_bytes(content)
        sources.append((path, source))
    return store_files(db, artefacts, sources, place=place)


def content(db: Database, pieces: tuple[PieceOf, ...]) -> reading.Composed:
    with db.read() as tx:
        blobs = {row.sha256: row for row in tx.scalars(select(Blob))}
    found = [(blobs[piece.sha256], piece) for piece in pieces]
    return reading.Composed(
        tuple(reading.Piece(blob.file_key, piece.start, piece.size, blob.ends) for blob, piece in found)
    )


def test_files_read_back_at_every_range_and_shared_bytes_are_stored_once(
    db: Database, artefacts: Artefacts, tmp_path: Path
) -> None:
    files = bundle(STUDENT)
    first = stored(db, artefacts, files, tmp_path / "a", "parts/a/1")
    with db.write() as tx:
        record_blobs(tx, first)
    used = sum(file.size for file in artefacts.list_below("parts"))
    assert used < 0.9 * (len(STUDENT) + len(TOWER)) + 30_000
    for file in first.files:
        expected = files[file.path]
        composed = content(db, file.pieces)
        reading.get_file(artefacts, composed, tmp_path / "out")
        assert (tmp_path / "out").read_bytes() == expected
        for _ in range(20):
            start = RANDOM.randrange(len(expected) + 1)
            size = RANDOM.choice([1, 7, BLOCK_BYTES, BLOCK_BYTES + 1])
            with reading.open_content(artefacts, composed) as stream:
                stream.seek(start)
                assert stream.read(size) == expected[start : start + size]
    # Another student of the same teacher: its text tower is there, although its header is longer.
    again = stored(db, artefacts, bundle(OTHER, header="a longer name"), tmp_path / "b", "parts/b/1")
    with db.write() as tx:
        record_blobs(tx, again)
    added = sum(file.size for file in artefacts.list_below("parts/b"))
    assert added < 0.9 * len(OTHER) + 30_000
    # The same student again: nothing is added.
    assert stored(db, artefacts, files, tmp_path / "a", "parts/c/1").blobs == ()


def test_a_blob_that_is_deleted_before_it_is_used_again_is_noticed(
    db: Database, artefacts: Artefacts, tmp_path: Path
) -> None:
    files = {"a": weights(80_000)}
    with db.write() as tx:
        record_blobs(tx, stored(db, artefacts, files, tmp_path / "a", "parts/a/1"))
    again = stored(db, artefacts, files, tmp_path / "a", "parts/b/1")
    with db.write() as tx:
        found = unused.find_unused(tx, older_than_s=-60, limit=10)
        assert unused.delete_unused(tx, found) == [f"parts/a/1/blobs/{found[0]}"]
    with pytest.raises(BlobsGone), db.write() as tx:
        record_blobs(tx, again)
    with db.write() as tx:
        record_blobs(tx, stored(db, artefacts, files, tmp_path / "a", "parts/c/1"))
        assert tx.scalar(select(func.count()).select_from(Blob)) == 1


@pytest.mark.parametrize("shift", range(5))
def test_blocks_are_restored_and_weights_take_less(shift: int) -> None:
    block = (b"\x07" * shift + weights(BLOCK_BYTES // 4))[:BLOCK_BYTES]
    assert decoded(encoded(block)) == block
    assert len(encoded(block)) < 0.88 * len(block)


@pytest.mark.parametrize("block", [b"", b"a", b"ab" * 50_000, bytes(BLOCK_BYTES), RANDOM.randbytes(BLOCK_BYTES)])
def test_other_blocks_are_restored_and_never_grow_by_more_than_a_byte(block: bytes) -> None:
    assert decoded(encoded(block)) == block
    assert len(encoded(block)) <= len(block) + 1


def test_common_runs_are_equal_and_do_not_overlap() -> None:
    known = weights(60_000)
    file = known[40_000:90_000] + b"x" * 5_000 + known[100_000:103_000] + b"y" * 70 + known[110_001:200_000]
    runs = common_runs(file, known)
    assert sum(run.size for run in runs) > 0.95 * (len(file) - 5_070)
    for run, after in zip(runs, [*runs[1:], None], strict=True):
        assert file[run.start : run.stop] == known[run.known_start : run.known_start + run.size]
        assert after is None or run.stop <= after.start
