"""Reasons for files that are no images."""

import subprocess
import sys
from pathlib import Path

import pytest

from limbeck.shared.images.decode import open_rgb
from limbeck.shared.images.unreadable import MAX_REASON, UnreadableImage, reason_of
from tests.limbeck.shared.images.pictures import COLOURS, encoded, tiff_of


@pytest.mark.image_input(
    "Kinds of image files",
    "an empty file, a text, web page, SVG, PDF, Photoshop file, archive, video or Git LFS pointer named as an image",
    "left out; the reason says what it is",
)
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "it is an empty file", id="empty"),
        pytest.param(bytes(64), "it is a file of zero bytes only", id="zeros"),
        pytest.param(b"just words\n", "it is a text file", id="text"),
        pytest.param(b'{"error": "not found"}', "it is a text file", id="json"),
        pytest.param(b"\r\n<!DOCTYPE html>\n<html>", "it is a web page", id="html"),
        pytest.param(b'<?xml version="1.0"?>\n<!-- x -->\n<svg xmlns="a">', "it is an SVG drawing", id="svg"),
        pytest.param(b"%PDF-1.7\n", "it is a PDF document", id="pdf"),
        pytest.param(b"8BPS\0\1", "it is a Photoshop file", id="psd"),
        pytest.param(b"PK\3\4\x14\0", "it is a ZIP archive", id="zip"),
        pytest.param(b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "it is a video", id="mp4"),
        pytest.param(b"\xff\x0a\xfa\x7f", "it is a JPEG XL image", id="jxl"),
        pytest.param(b"version https://git-lfs.github.com/spec/v1\noid", "run `git lfs pull`", id="lfs"),
        pytest.param(b"\x89PNG\r\n\x1a\nrubbish", "it is a damaged PNG file", id="png"),
        pytest.param(b"\xff\xd8\xff\xe0\0\0", "it is a damaged JPEG file", id="jpeg"),
        pytest.param(b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + bytes(8), "it is a damaged AVIF file", id="avif"),
        pytest.param(bytes(range(255, 100, -1)), "it is not an image of a known kind", id="unknown"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_reason_says_what_the_file_is(data: bytes, reason: str) -> None:
    with pytest.raises(UnreadableImage) as raised:
        open_rgb(data)
    assert reason in str(raised.value)
    assert "BytesIO" not in str(raised.value)


def test_reasons_are_one_short_line() -> None:
    reason = reason_of(b"x", RuntimeError("a\nb " * 500))
    assert "\n" not in reason
    assert len(reason) <= MAX_REASON


@pytest.mark.image_input(
    "Kinds of image files", "many files that are cut off", "one reason, so that the dataset report counts them together"
)
def test_truncated_files_have_one_reason() -> None:
    data = encoded(COLOURS.resize((160, 120)), "JPEG")
    reasons = set()
    for num_bytes in (200, 700, len(data) - 20, len(data) - 9, len(data) - 2):
        with pytest.raises(UnreadableImage) as raised:
            open_rgb(data[:num_bytes])
        reasons.add(str(raised.value))
    assert reasons == {"it is truncated, copy it again"}


def test_errors_that_only_pillow_understands_are_in_plain_words() -> None:
    not_compressed = tiff_of(bytes(12), width=4, bits=[8], tags={259: 8})
    with pytest.raises(UnreadableImage, match="^it is a damaged TIFF file, or of a variant that is not read$"):
        open_rgb(not_compressed)
    of_an_app = b"\x89PNG\r\n\x1a\n\0\0\0\4CgBI"
    assert "a PNG in Apple's own variant" in reason_of(of_an_app, OSError("broken data stream when reading image file"))


@pytest.mark.image_input("Kinds of image files", "damaged EXIF data", "no warning of Pillow")
def test_no_warnings_of_pillow(tmp_path: Path) -> None:
    exif = b"Exif\0\0II*\0\x08\0\0\0\2\0" + b"\x1a\x01\x05\0\xff\xff\0\0\xff\xff\xff\xff"
    path = tmp_path / "exif.jpg"
    path.write_bytes(encoded(COLOURS, "JPEG", exif=exif))
    code = f"from limbeck.shared.images.decode import open_rgb; open_rgb(open({str(path)!r}, 'rb').read())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
