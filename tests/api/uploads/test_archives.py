"""Archives: hostile ones are refused before anything is unpacked, and usual ones are unpacked as plain files."""

import gzip
import io
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from api.http.problems import ProblemError
from api.uploads.archives import ArchiveLimits, read_contents, write_contents
from tests.images import tiny_image

PLENTY = ArchiveLimits(1000, 100_000_000)
IMAGE = tiny_image("a")


def tar_of(*infos: tarfile.TarInfo | str, mode: str = "w") -> bytes:
    """A tar with an image for each name, and the other members as they are."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for one in infos:
            if isinstance(one, str):
                info = tarfile.TarInfo(one)
                info.size = len(IMAGE)
                archive.addfile(info, io.BytesIO(IMAGE))
            else:
                archive.addfile(one)
    return out.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zip_of(*names: str | zipfile.ZipInfo, content: bytes = IMAGE, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name in names:
            archive.writestr(name, content, compress_type=method)
    return out.getvalue()


def linked() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("crane/link.jpg")
    info.external_attr = 0o120777 << 16
    return info


def _patched_size(archive: bytes) -> bytes:
    """A zip whose directory says that its member has one byte less than it has."""
    at = archive.index(b"PK\x01\x02") + 24
    (size,) = struct.unpack("<I", archive[at : at + 4])
    return archive[:at] + struct.pack("<I", size - 1) + archive[at + 4 :]


def _damaged_header(archive: bytes) -> bytes:
    """A tar whose second header has a wrong checksum."""
    at = archive.index(b"b/2.jpg") + 160
    return archive[:at] + b"7" + archive[at + 1 :]


WHOLE = tar_of("a/1.jpg", "b/2.jpg", "c/3.jpg")


HOSTILE = {
    "zip: absolute": (zip_of("/etc/passwd"), "archive_member_refused"),
    "zip: ..": (zip_of("crane/../../x.jpg"), "archive_member_refused"),
    "zip: backslash": (zip_of("..\\x.jpg"), "archive_member_refused"),
    "zip: NUL": (zip_of("crane/aXb.jpg").replace(b"aXb.jpg", b"a\0b.jpg"), "archive_member_refused"),
    "zip: link": (zip_of("crane/1.jpg", linked()), "archive_member_refused"),
    "zip: method": (zip_of("crane/1.jpg", method=zipfile.ZIP_LZMA), "archive_member_refused"),
    "zip: file and folder": (zip_of("crane", "crane/1.jpg"), "archive_member_refused"),
    "zip: nested by name": (zip_of("crane/1.jpg", "more.zip"), "archive_member_refused"),
    "zip: nested by content": (zip_of("crane/1.jpg", content=zip_of("x.jpg")), "archive_member_refused"),
    "zip: nested tar": (zip_of("crane/1.jpg", content=tar_of("x.jpg")), "archive_member_refused"),
    "zip: truncated": (zip_of("crane/1.jpg")[:-30], "archive_damaged"),
    "zip: empty": (zip_of(), "archive_empty"),
    "zip: only hidden": (zip_of("__MACOSX/._1.jpg", ".DS_Store"), "archive_empty"),
    "tar: absolute": (tar_of("/etc/passwd"), "archive_member_refused"),
    "tar: ..": (tar_of("a/../../x.jpg"), "archive_member_refused"),
    "tar: twice": (tar_of("a/1.jpg", "./a/1.jpg"), "archive_member_refused"),
    "tar: link": (tar_of("a/1.jpg", special("a/2.jpg", tarfile.SYMTYPE, "/etc/passwd")), "archive_member_refused"),
    "tar: folder link": (tar_of(special("a", tarfile.SYMTYPE, "/etc"), "a/x.jpg"), "archive_member_refused"),
    "tar: hard link": (tar_of("a/1.jpg", special("a/2.jpg", tarfile.LNKTYPE, "a/1.jpg")), "archive_member_refused"),
    "tar: device": (tar_of("a/1.jpg", special("a/null", tarfile.CHRTYPE)), "archive_member_refused"),
    "tar: FIFO": (tar_of("a/1.jpg", special("a/pipe", tarfile.FIFOTYPE)), "archive_member_refused"),
    "tar: nested": (tar_of("a/1.jpg", "b.tar.gz"), "archive_member_refused"),
    "tar: header damaged": (_damaged_header(WHOLE), "archive_damaged"),
    "tar: truncated before a header": (WHOLE[: WHOLE.index(b"b/2.jpg")], "archive_damaged"),
    "tar: truncated in a header": (WHOLE[: WHOLE.index(b"b/2.jpg") + 100], "archive_damaged"),
    "tar: truncated in a member": (WHOLE[: WHOLE.index(b"b/2.jpg") + 520], "archive_damaged"),
    "tar: a second one behind": (WHOLE + tar_of("d/4.jpg"), "archive_damaged"),
    "tar.gz: header damaged": (gzip.compress(_damaged_header(WHOLE)), "archive_damaged"),
    "tar.gz: checksum after the end": (gzip.compress(WHOLE + bytes(200_000))[:-8] + bytes(8), "archive_damaged"),
    "tar.gz: truncated": (tar_of("a/1.jpg", mode="w:gz")[:120], "archive_damaged"),
    "tar.bz2": (tar_of("a/1.jpg", mode="w:bz2"), "unknown_archive"),
    "no archive": (IMAGE * 20, "unknown_archive"),
    "nothing": (b"", "unknown_archive"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_before_anything_is_unpacked(tmp_path: Path, name: str) -> None:
    content, code = HOSTILE[name]
    (tmp_path / "archive").write_bytes(content)
    with pytest.raises(ProblemError) as refused:
        read_contents(tmp_path / "archive", "birds.zip", PLENTY)
    assert refused.value.code == code, refused.value.detail
    # Also when it is unpacked without the check before.
    if code != "archive_empty":
        with pytest.raises(ProblemError):
            write_contents(tmp_path / "archive", "birds.zip", PLENTY, tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} <= {"archive", "out"}
    assert all(path.is_dir() or path.read_bytes() == IMAGE for path in (tmp_path / "out").rglob("*"))


def test_a_member_with_more_bytes_than_the_zip_says(tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(_patched_size(zip_of("crane/1.jpg")))
    with pytest.raises(ProblemError, match=r"1\.jpg|cannot be read"):
        write_contents(tmp_path / "archive", "birds.zip", PLENTY, tmp_path / "out")


@pytest.mark.parametrize(
    "make", [lambda: zip_of("a/1", content=bytes(10_000_000)), lambda: _zeros("w:gz"), lambda: _zeros("w")]
)
def test_a_bomb_is_refused_by_its_bytes(tmp_path: Path, make: Callable[[], bytes]) -> None:
    (tmp_path / "archive").write_bytes(make())
    with pytest.raises(ProblemError) as refused:
        read_contents(tmp_path / "archive", "bomb", ArchiveLimits(1000, 9_999_999))
    assert (refused.value.status_code, refused.value.code) == (413, "upload_quota_exceeded")
    assert read_contents(tmp_path / "archive", "bomb", ArchiveLimits(1000, 10_000_000))[0].num_bytes == 10_000_000


def _zeros(mode: str) -> bytes:
    out, info = io.BytesIO(), tarfile.TarInfo("a/1")
    info.size = 10_000_000
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        archive.addfile(info, io.BytesIO(bytes(info.size)))
    return out.getvalue()


@pytest.mark.parametrize("content", [zip_of(*map(str, range(21))), tar_of(*map(str, range(21)), mode="w:gz")])
def test_a_bomb_is_refused_by_its_members(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "archive").write_bytes(content)
    with pytest.raises(ProblemError) as refused:
        read_contents(tmp_path / "archive", "bomb", ArchiveLimits(20, 1_000_000))
    assert refused.value.code == "archive_too_large"
    assert read_contents(tmp_path / "archive", "ok", ArchiveLimits(21, 1_000_000))[0].num_files == 21
    with pytest.raises(ProblemError):  # each file counts as at least 4 KiB
        read_contents(tmp_path / "archive", "bomb", ArchiveLimits(21, 21 * 4096 - 1))


@pytest.mark.parametrize(
    "content",
    [
        zip_of("birds/", "birds/crane/1.jpg", "birds/heron/é.jpg", "__MACOSX/birds/._1.jpg", "birds/.DS_Store"),
        tar_of(special("./birds", tarfile.DIRTYPE), "./birds/crane/1.jpg", "birds/heron/é.jpg", "birds/crane/._1.jpg"),
        tar_of("birds/crane/1.jpg", "birds/heron/é.jpg", mode="w:gz"),
    ],
)
def test_an_archive_becomes_plain_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "archive").write_bytes(content)
    checked, _ = read_contents(tmp_path / "archive", "birds", PLENTY)
    unpacked, _ = write_contents(tmp_path / "archive", "birds", PLENTY, tmp_path / "out")
    assert checked == unpacked == (2, 2 * 4096, False)
    files = {path.relative_to(tmp_path / "out").as_posix(): path for path in (tmp_path / "out").rglob("*.jpg")}
    assert sorted(files) == ["birds/crane/1.jpg", "birds/heron/é.jpg"]
    assert all(path.read_bytes() == IMAGE and path.stat().st_mode & 0o7777 == 0o644 for path in files.values())


def test_a_tar_of_samples_is_a_shard(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in (("0001.png", IMAGE), ("0001.cls", b"crane")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    (tmp_path / "archive").write_bytes(out.getvalue())
    assert read_contents(tmp_path / "archive", "birds.tar", PLENTY)[0].is_shard


@pytest.mark.parametrize(("stored", "name"), [("Kräuter".encode(), "Kräuter"), (b"Kr\x84uter", "Kräuter")])
def test_names_in_a_zip_without_the_flag_of_utf_8(tmp_path: Path, stored: bytes, name: str) -> None:
    """macOS writes UTF-8 without it, older programs of Windows code page 437."""
    plain = b"x" * len(stored)
    (tmp_path / "archive").write_bytes(zip_of(f"{plain.decode()}/1.jpg").replace(plain, stored))
    write_contents(tmp_path / "archive", "birds.zip", PLENTY, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [name]
