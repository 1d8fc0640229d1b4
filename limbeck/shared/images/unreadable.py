"""Why a file cannot be decoded, in words that name what the file is and what to do. Imports no Pillow."""

import re

MAX_REASON = 300
_DAMAGED = "a damaged {} file, or of a variant that is not read"
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n\0\0\0\4CgBI", "a PNG in Apple's own variant for apps (export it as an ordinary PNG)"),
    (b"%PDF", "a PDF document"),
    (b"8BPS", "a Photoshop file"),
    (b"%!PS", "a PostScript file"),
    (b"\xc5\xd0\xd3\xc6", "a PostScript file"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL image"),
    (b"\0\0\1\0", "an icon file"),
    (b"v/1\1", "an OpenEXR image"),
    (b"gimp xcf", "a GIMP file"),
    (b"PK\3\4", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip file"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x1aE\xdf\xa3", "a video"),
    (b"FUJIFILMCCD-RAW", "a camera's raw file"),
)
_READ_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8", "JPEG"),
    (b"\x89PNG", "PNG"),
    (b"GIF8", "GIF"),
    (b"RIFF", "WebP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "BigTIFF"),
    (b"BM", "BMP"),
    (b"\0\0\0\x0cjP", "JPEG 2000"),
)
_OPAQUE_ERRORS = re.compile("decoder error|broken data stream|unknown raw mode")
"""Errors of Pillow that say no more than that it does not decode the file."""


class UnreadableImage(ValueError):
    """A file that cannot be decoded. The message says what it is, or what is wrong with it, in one line."""


def heif_brand(data: bytes) -> str:
    """`avif` or `heic` for a file in the container of HEIF, `video` for another file in it, "" for any other file."""
    if data[4:8] != b"ftyp":
        return ""
    length = int.from_bytes(data[:4], "big")
    brands = {data[8:12], *(data[at : at + 4] for at in range(16, min(length, 256), 4))}
    if brands & {b"avif", b"avis"}:
        return "avif"
    return "heic" if brands & _HEIF_BRANDS else "video"


def kind_of(data: bytes) -> str:
    """What a file is that cannot be opened as an image; "" if that is unknown."""
    if not data:
        return "an empty file"
    if not data.strip(b"\0"):
        return "a file of zero bytes only, an incomplete copy"
    if brand := heif_brand(data):
        return "a video" if brand == "video" else _DAMAGED.format(brand.upper())
    for signature, kind in _SIGNATURES:
        if data.startswith(signature):
            return kind
    for signature, name in _READ_SIGNATURES:
        if data.startswith(signature):
            return _DAMAGED.format(name)
    start = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS (run `git lfs pull`)"
    if re.match(rb"(<\?xml.*?)?(<!--.*?-->\s*)?(<!doctype svg.*?)?<svg\b", start, re.DOTALL):
        return "an SVG drawing (export it as PNG)"
    if re.match(rb"<!doctype html|<html\b|<head\b", start):
        return "a web page, not the image that should have been downloaded"
    if start.startswith((b"{", b"[", b"<")) or re.fullmatch(rb"[\t\r\n\x20-\x7e]+", data[:1024]):
        return "a text file"
    return ""


def reason_of(data: bytes, error: Exception) -> str:
    """The reason for an error of the decoder on this file."""
    name, text = type(error).__name__, " ".join(str(error).split())
    if isinstance(error, UnreadableImage):
        return text[:MAX_REASON]
    if name == "UnidentifiedImageError":
        return f"it is {kind_of(data) or 'not an image of a known kind'}"
    if name == "DecompressionBombError":
        num_pixels, most = (int(number) for number in re.findall(r"\d+", text)[:2])
        return f"it has {num_pixels:,} pixels and at most {most:,} are decoded: scale it down"
    if "truncated" in text.lower() or "end of file" in text.lower():
        return (
            "it is truncated, copy it again"  # not the numbers of Pillow's text, so that reports can count such files
        )
    if _OPAQUE_ERRORS.search(text):
        return f"it is {kind_of(data) or 'damaged'}"
    return f"it is damaged ({name}: {text})"[:MAX_REASON]
