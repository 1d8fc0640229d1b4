"""Samples of shards: keys with dots, members that are not adjacent, forms of labels, and tars of other programs."""

import gzip
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from distill.data.dataset.scan import ScannedDataset, scan_dataset
from distill.data.image_files.location import listed_path
from distill.data.image_folders import FolderError
from distill.data.image_source import ImageSource
from distill.data.shards import is_member, read_image, shard_of
from distill.data.splits import SPLIT

LABELS = ("crane", "heron", "café")
SECTION = "Files, folders and shards"
JPG, CLS = b"an image", b"0"


def tar(path: Path, members: dict[str, bytes | tarfile.TarInfo], **options: Any) -> Path:
    """A tar with these members in this order; a TarInfo is added without content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", **options) as archive:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                content.name = name
                archive.addfile(content)
            else:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return path


def info(kind: bytes, linkname: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo()
    member.type, member.linkname = kind, linkname
    return member


def of_each(names: str, content: bytes = JPG) -> dict[str, bytes | tarfile.TarInfo]:
    """Members of the given names; `.cls` alternate between the first two labels."""
    found: dict[str, bytes | tarfile.TarInfo] = {}
    for name in names.split():
        number = sum(other.endswith(".cls") for other in found)
        found[name] = str(number % 2).encode() if name.endswith(".cls") else content
    return found


def scanned(root: Path, *exclude: str, split: dict[str, object] | None = None) -> ScannedDataset:
    split = split or {"by": "seed", "id_fraction": 1}
    return scan_dataset(root, LABELS, SPLIT.validate_python(split), None, ImageSource(exclude=exclude))


def error_of(root: Path, *exclude: str) -> FolderError:
    with pytest.raises(FolderError) as caught:
        scanned(root, *exclude)
    return caught.value


def labels_by_path(found: ScannedDataset) -> dict[str, str]:
    return {listed_path(item.path): LABELS[item.label] for item in found.image_index}


@pytest.fixture
def others(tmp_path: Path) -> Path:
    """A folder with a shard of four samples, so that a tested shard may give few."""
    tar(tmp_path / "shards" / "a.tar", of_each("a/1.jpg a/1.cls a/2.jpg a/2.cls a/3.jpg a/3.cls a/4.jpg a/4.cls"))
    return tmp_path / "shards"


@pytest.mark.parametrize(
    ("members", "paths"),
    [
        ("img.1.jpg img.1.cls img.2.jpg img.2.cls img.3.jpg img.3.cls", ["img.1.jpg", "img.2.jpg", "img.3.jpg"]),
        ("v1.0/a.b.jpg v1.0/a.b.cls v1.0/a.c.jpg v1.0/a.c.cls", ["v1.0/a.b.jpg", "v1.0/a.c.jpg"]),
        ("crane.jpg crane.cls crane.1.jpg crane.1.cls", ["crane.1.jpg", "crane.jpg"]),
        ("x.y.jpg x.y.cls", ["x.y.jpg"]),
    ],
)
@pytest.mark.image_input(
    SECTION, "shards whose keys hold dots (`img.0001.jpg`, `img.0001.cls`)", "every sample is read; noted"
)
def test_keys_with_dots_lose_no_sample(others: Path, members: str, paths: list[str]) -> None:
    tar(others / "b.tar", of_each(members))
    found = scanned(others)
    assert sorted(path for path in labels_by_path(found) if path.startswith("b.tar")) == [f"b.tar/{p}" for p in paths]
    assert any("keys of shards hold dots" in note for note in found.listing.notes) == (len(paths) > 1)


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ("1.jpg 1.cls 1.seg.png", "1.jpg"),
        ("1.seg.png 1.jpg 1.cls", "1.jpg"),
        ("1.image.jpg 1.cls", "1.image.jpg"),
        ("1.jpg 1.png 1.cls", "1.jpg"),
        ("1.jpg 1.cls 1.seg.png 1.seg.json", "1.jpg"),
        ("1.JPG 1.CLS.txt 1.json", "1.JPG"),
    ],
)
@pytest.mark.image_input(
    SECTION,
    "further images in a sample of a shard (`0001.seg.png`)",
    "`0001.jpg` is used, the others are named",
)
def test_further_images_of_a_sample_are_reported(others: Path, members: str, path: str) -> None:
    contents = {name: b"1" if ".cls" in name.lower() else JPG for name in members.split()}
    tar(others / "b.tar", dict(contents))
    found = scanned(others)
    assert labels_by_path(found)[f"b.tar/{path}"] == "heron"
    assert len(found.image_index) == 5
    num_images = sum(name.lower().endswith(("jpg", "png")) for name in contents)
    assert found.listing.skipped.counts.get("further image of a sample", 0) == num_images - 1


@pytest.mark.image_input(
    SECTION,
    "several images in a sample of which none is the first (`0001.left.jpg`, `0001.right.jpg`)",
    "an error: exclude one",
)
def test_several_equal_images_of_a_sample_are_refused(others: Path) -> None:
    tar(others / "b.tar", of_each("1.left.jpg 1.right.jpg 1.cls"))
    error = error_of(others)
    assert (error.code, error.pointer) == ("several_images", "/images/exclude")
    assert '"*.right.jpg" in exclude' in error.detail
    assert "b.tar/1.left.jpg" in labels_by_path(scanned(others, "*.right.jpg"))


@pytest.mark.image_input(SECTION, "shards whose members are not sorted", "samples are grouped over the whole shard")
def test_members_need_not_be_adjacent(others: Path) -> None:
    tar(others / "b.tar", {"1.jpg": JPG, "2.jpg": JPG, "2.cls": b"1", "1.cls": b"0"})
    found = labels_by_path(scanned(others))
    assert (found["b.tar/1.jpg"], found["b.tar/2.jpg"]) == ("crane", "heron")


@pytest.mark.image_input(
    SECTION, "tars of macOS: `./0001.jpg`, `._0001.jpg`, `.DS_Store`, `PaxHeader/`", "the samples are read"
)
def test_tars_of_macos(others: Path) -> None:
    tar(
        others / "b.tar",
        {
            "./": info(tarfile.DIRTYPE),
            "./._1.jpg": b"resource fork",
            "./1.jpg": JPG,
            "./._1.cls": b"resource fork",
            "1.cls": b"1",
            "./.DS_Store": b"x",
            "PaxHeader/1.jpg": b"x",
            "__MACOSX/1.jpg": b"x",
        },
    )
    found = scanned(others)
    assert labels_by_path(found)["b.tar/1.jpg"] == "heron"
    assert found.listing.skipped.counts == {"name begins with a dot": 3, "created by a system or tool": 2}


def test_links_in_a_tar_lead_to_the_bytes_of_their_member(others: Path) -> None:
    shard = tar(
        others / "b.tar",
        {
            "d/1.jpg": b"one",
            "d/1.cls": b"1",
            "d/2.jpg": info(tarfile.LNKTYPE, "d/1.jpg"),
            "d/2.cls": info(tarfile.SYMTYPE, "1.cls"),
            "d/3.jpg": info(tarfile.SYMTYPE, "../gone.jpg"),
            "d/4.jpg": info(tarfile.FIFOTYPE),
        },
    )
    found = scanned(others)
    labels = labels_by_path(found)
    assert (labels["b.tar/d/1.jpg"], labels["b.tar/d/2.jpg"]) == ("heron", "heron")
    (linked,) = (item.path for item in found.image_index if item.path.endswith("d/2.jpg"))
    assert read_image(others / linked) == b"one"
    assert shard_of(linked) == shard.name
    assert found.listing.skipped.counts == {"link that leads nowhere": 1, "shard member that is no ordinary file": 1}


def test_of_a_repeated_member_the_last_one_counts_and_it_is_reported(others: Path) -> None:
    tar(others / "b.tar", {"1.jpg": b"old", "1.cls": b"0"})
    with tarfile.open(others / "b.tar", "a") as archive:
        for name, content in (("1.jpg", b"new"), ("1.cls", b"1")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    found = scanned(others)
    (item,) = (item for item in found.image_index if item.path.startswith("b.tar"))
    assert (read_image(others / item.path), LABELS[item.label]) == (b"new", "heron")
    assert found.listing.skipped.counts == {"shard member repeated, the last one counts": 2}


def test_names_of_members_are_kept_to_the_byte(others: Path) -> None:
    key = b"caf\xe9\n".decode("utf-8", "surrogateescape")
    tar(others / "b.tar", {f"{key}.jpg": b"one", f"{key}.cls": b"caf\xe9"}, encoding="utf-8", errors="surrogateescape")
    found = scanned(others)
    (item,) = (item for item in found.image_index if item.path.startswith("b.tar"))
    assert (read_image(others / item.path), LABELS[item.label]) == (b"one", "café")


@pytest.mark.parametrize(
    ("members", "label"),
    [
        ({"1.cls": b" 1\n"}, "heron"),
        ({"1.cls": "Caf\u00e9".encode()}, "café"),
        ({"1.cls": b"\xef\xbb\xbfheron"}, "heron"),
        ({"1.cls.txt": b"heron"}, "heron"),
        ({"1.label": b"heron"}, "heron"),
        ({"1.json": b'{"label": 1.0}'}, "heron"),
        ({"1.json": b'{"label": 0, "label_name": "heron"}'}, "heron"),
        ({"1.json": b'{"cls": "heron"}'}, "heron"),
        ({"1.json": b'{"label": ["heron"]}'}, "heron"),
        ({"1.json": b"[" * 9999, "1.cls": b"1"}, "heron"),
    ],
)
def test_labels_in_their_forms(others: Path, members: dict[str, bytes], label: str) -> None:
    tar(others / "b.tar", {"1.jpg": JPG, **members})
    assert labels_by_path(scanned(others))["b.tar/1.jpg"] == label


@pytest.mark.parametrize(
    ("members", "code", "message"),
    [
        ({"1.cls": b""}, "no_label", '"1.cls" gives no label'),
        ({"1.cls": b"\x80\x04\x95\x00"}, "no_label", "a Python pickle"),
        ({"1.cls": b"x" * 70_000}, "no_label", "too large for a label"),
        ({"1.json": b'{"width": 3}'}, "no_label", '"1.json" gives no label'),
        ({"1.json": b'{"label": null}'}, "no_label", '"1.json" gives no label'),
        ({"1.json": b'{"label": true}'}, "no_label", '"1.json" gives no label'),
        ({"1.json": b"[" * 99_999}, "no_label", '"1.json" cannot be read'),
        ({"1.json": b" " * (2 << 20)}, "no_label", "too large for a label"),
        ({"2.jpg": JPG}, "no_label", r"sample \"1\" has no .cls.*\(and 1 more samples\)"),
        ({"1.cls": b"7"}, "folder_matches_no_label", '"7"'),
    ],
)
def test_a_sample_without_a_usable_label_is_named(
    others: Path, members: dict[str, bytes], code: str, message: str
) -> None:
    tar(others / "b.tar", {"1.jpg": JPG, **members})
    with pytest.raises(FolderError, match=message) as caught:
        scanned(others)
    assert caught.value.code == code


@pytest.mark.parametrize("value", [b"-1", b"-100\n", b'{"label": -1}'])
@pytest.mark.image_input(
    SECTION,
    "a label of -1 in a shard or table",
    "an error with their number and the first; never taken for `1`",
)
def test_a_negative_label_is_refused(others: Path, value: bytes) -> None:
    suffix = "json" if value.startswith(b"{") else "cls"
    tar(
        others / "b.tar",
        {f"{key}.{end}": data for key in "12" for end, data in (("jpg", JPG), (suffix, value))},
    )
    labels = ("1", "100", "crane", "heron")
    with pytest.raises(FolderError, match=r"2 images have the label -1.*such as b\.tar/1\.jpg") as caught:
        scan_dataset(others, labels, SPLIT.validate_python({"by": "seed"}))
    assert caught.value.code == "negative_label"
    assert len(scanned(others, "b.tar/*").image_index) == 4


def test_the_same_label_written_in_several_ways_is_noted(others: Path) -> None:
    tar(others / "b.tar", {"1.jpg": JPG, "1.cls": b"Heron", "2.jpg": JPG, "2.cls": b"heron"})
    assert '1 label is written in several ways: "1" and "Heron" and "heron"' in scanned(others).listing.notes


def test_captions_are_read(others: Path) -> None:
    tar(others / "b.tar", {"1.jpg": JPG, "1.cls": b"1", "1.txt": b" a grey\nbird "})
    assert {image.caption for image in scanned(others).listing.images} == {None, "a grey bird"}


def gzipped(path: Path) -> None:
    path.write_bytes(gzip.compress(tar(path, of_each("1.jpg 1.cls")).read_bytes()))


def zipped(path: Path) -> None:
    path.write_bytes(b"PK\x03\x04" + bytes(600))


def cut(path: Path) -> None:
    """Cut inside the second header, which tarfile takes for the end."""
    tar(path, of_each("1.jpg 1.cls"))
    path.write_bytes(path.read_bytes()[: 2 * 512 + 100])


def damaged(path: Path) -> None:
    data = bytearray(tar(path, of_each("1.jpg 1.cls 2.jpg 2.cls")).read_bytes())
    data[4 * 512 : 4 * 512 + 40] = b"x" * 40
    path.write_bytes(data)


def joined(path: Path) -> None:
    path.write_bytes(2 * tar(path, of_each("1.jpg 1.cls")).read_bytes())


@pytest.mark.parametrize(
    ("write", "code", "message"),
    [
        (gzipped, "packed_shard", "compressed by gzip"),
        (zipped, "packed_shard", "a zip archive"),
        (cut, "bad_shard", "truncated"),
        (damaged, "bad_shard", "damaged"),
        (joined, "bad_shard", "several tar files in one"),
        (lambda path: path.write_bytes(b""), "bad_shard", "not a tar file"),
    ],
)
@pytest.mark.image_input(
    SECTION,
    "a shard that is compressed, truncated, damaged, or several tars in one file",
    "an error that names the shard",
)
def test_shards_that_would_lose_samples_are_refused(others: Path, write: Any, code: str, message: str) -> None:
    write(others / "b.tar")
    error = error_of(others)
    assert error.code == code
    assert '"b.tar"' in error.detail
    assert message in error.detail


def test_a_shard_without_samples_is_nothing(others: Path) -> None:
    tar(others / "b.tar", {})
    tar(others / "c.tar", {"1.cls": b"1", "1.svg": JPG})
    found = scanned(others)
    assert len(found.image_index) == 4
    assert found.listing.skipped.examples == {"sample without an image": ["c.tar/1.svg"]}


@pytest.mark.image_input(
    SECTION, "`train-*.tar` with `val-*.tar` in one folder", "parts by their names; pooled by other splits; noted"
)
def test_shards_named_after_parts(tmp_path: Path) -> None:
    tar(tmp_path / "birds-train-0.tar", of_each("1.jpg 1.cls 2.jpg 2.cls"))
    tar(tmp_path / "birds-val-0.tar", {"3.jpg": JPG, "3.cls": b"2"})
    apart = scanned(tmp_path, split={"by": "parts"}).image_index
    assert (apart.counts["train"], apart.counts["ood"]) == (2, 1)
    pooled = scanned(tmp_path, split={"by": "all"})
    assert "pools the parts (train 2, val 1)" in pooled.listing.notes[0]
    tar(tmp_path / "more.tar", {"4.jpg": JPG, "4.cls": b"2"})
    with pytest.raises(FolderError, match="1 image is in no part, such as more.tar/4.jpg"):
        scanned(tmp_path, split={"by": "parts"})


@pytest.mark.image_input(SECTION, "shards in subfolders", "are read like those of one folder")
def test_shards_in_subfolders(tmp_path: Path) -> None:
    for number in range(3):
        tar(tmp_path / f"0{number}" / "0.tar", of_each("1.jpg 1.cls 2.jpg 2.cls"))
    assert set(labels_by_path(scanned(tmp_path))) == {f"0{n}/0.tar/{m}.jpg" for n in range(3) for m in (1, 2)}


def test_a_member_may_be_named_like_a_path_into_a_shard(others: Path) -> None:
    tar(others / "b.tar", {"x.tar!0+3!1.jpg": b"one", "x.tar!0+3!1.cls": b"1"})
    (path,) = (item.path for item in scanned(others).image_index if item.path.startswith("b.tar"))
    assert is_member(path)
    assert read_image(others / path) == b"one"


def test_a_large_json_is_not_read_where_a_label_file_is(others: Path) -> None:
    large = json.dumps({"label": "crane", "embedding": [0.5] * 400_000}).encode()
    tar(others / "b.tar", {"1.jpg": JPG, "1.json": large, "1.cls": b"1"})
    assert os.path.getsize(others / "b.tar") > 1 << 20
    assert labels_by_path(scanned(others))["b.tar/1.jpg"] == "heron"
