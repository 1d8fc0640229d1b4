"""The decoder: orientation, transparency, kinds of files, first frames, damaged files, memory."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps, TiffImagePlugin, features

from limbeck.shared.images import decode
from limbeck.shared.images.decode import FORMATS, OpenedImage, PixelTraits, open_rgb, optional_readers, small_jpeg
from limbeck.shared.images.kinds import IMAGE_SUFFIXES, is_image_name
from limbeck.shared.images.unreadable import UnreadableImage
from tests.limbeck.shared.images.pictures import (
    COLOURS,
    FADE,
    GREY,
    chunk,
    encoded,
    largest_difference,
    on_colour,
    png_of,
    tiff_of,
)

SECTION = "Decoding"
LOSSLESS = {"PNG": {}, "WEBP": {"lossless": True, "exact": True}, "TIFF": {}, "BMP": {}, "JPEG2000": {}}
WITH_ALPHA = {"PNG": {}, "WEBP": {"lossless": True, "exact": True}, "TIFF": {}, "JPEG2000": {}}


def image_input(given: str, handling: str, section: str = SECTION) -> pytest.MarkDecorator:
    return pytest.mark.image_input(section, given, handling)


def exif_of(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@image_input("EXIF orientation in JPEG, PNG, WebP, TIFF or AVIF", "applied")
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_orientation_is_applied(format: str, orientation: int) -> None:
    data = encoded(COLOURS, format, exif=exif_of(orientation))
    turned = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert turned.size == (COLOURS.size if orientation < 5 else COLOURS.size[::-1])
    opened = OpenedImage(data)
    assert largest_difference(opened.rgb(), turned) == 0
    if format in ("JPEG", "PNG", "WEBP"):  # earlier releases ignored it there
        assert (PixelTraits.CHANGED in opened.traits) is (orientation != 1)


@image_input("EXIF behind the pixels of a PNG, or an orientation in XMP", "applied")
def test_orientation_in_other_places() -> None:
    upright = COLOURS.transpose(Image.Transpose.ROTATE_270)
    data = encoded(COLOURS, "PNG")
    end = data.index(b"IEND") - 4
    late = data[:end] + chunk(b"eXIf", exif_of(6).tobytes()[6:]) + data[end:]
    assert largest_difference(open_rgb(late), upright) == 0
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    assert largest_difference(open_rgb(encoded(COLOURS, "WEBP", lossless=True, xmp=xmp)), upright) == 0


@image_input("damaged EXIF, or an orientation that is none", "ignored")
@pytest.mark.parametrize(
    "exif",
    [
        pytest.param(b"Exif\0\0garbage", id="garbage"),
        pytest.param(b"Exif\0\0II*\0\xff\xff\xff\x7f", id="offset outside"),
        pytest.param(b"Exif\0\0MM\0*\0\0\0\x08\0\x01", id="cut off"),
        pytest.param(exif_of(0).tobytes(), id="0"),
        pytest.param(exif_of(77).tobytes(), id="77"),
        pytest.param(b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + b"\x01\x12\0\x02\0\0\0\x04six\0" + bytes(4), id="text"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_exif_is_ignored(exif: bytes) -> None:
    opened = OpenedImage(encoded(COLOURS, "JPEG", exif=exif))
    assert opened.traits == PixelTraits.NONE
    assert opened.rgb().size == COLOURS.size


@image_input("an alpha channel, transparent or partly transparent", "composited over the background, white by default")
@pytest.mark.parametrize("background", ["#ffffff", "#20c040"])
@pytest.mark.parametrize("format", WITH_ALPHA)
def test_alpha_is_composited(format: str, background: str) -> None:
    picture = COLOURS.convert("RGBA")
    picture.putalpha(FADE)
    opened = OpenedImage(encoded(picture, format, **WITH_ALPHA[format]))
    assert largest_difference(opened.rgb(background), on_colour(COLOURS, FADE, background)) == 0
    assert PixelTraits.TRANSPARENT in opened.traits


@image_input("grey with alpha; a palette with transparent entries; a transparent colour", "on the background too")
@pytest.mark.parametrize(
    ("image", "options", "alpha"),
    [
        pytest.param(Image.merge("LA", (GREY, FADE)), {}, FADE, id="LA"),
        pytest.param(GREY, {"transparency": GREY.getpixel((5, 5))}, None, id="L and a value"),
        pytest.param(COLOURS, {"transparency": COLOURS.getpixel((5, 5))}, None, id="RGB and a colour"),
        pytest.param(COLOURS.convert("1"), {"transparency": 1}, None, id="1 bit and a value"),
        pytest.param(COLOURS.quantize(16), {"transparency": 3}, None, id="palette and an index"),
        pytest.param(COLOURS.quantize(16), {"transparency": bytes([0, 90, 180])}, None, id="palette and bytes"),
    ],
)
def test_every_kind_of_transparency(image: Image.Image, options: dict[str, object], alpha: Image.Image | None) -> None:
    colours = image.getchannel("L").convert("RGB") if image.mode == "LA" else image.convert("RGB")
    if alpha is None:
        alpha = expected_alpha(image, options["transparency"])
        assert alpha.getextrema()[0] < 255
    shown = open_rgb(encoded(image, "PNG", **options), "#102030")
    assert largest_difference(shown, on_colour(colours, alpha, "#102030")) == 0


def expected_alpha(image: Image.Image, key: object) -> Image.Image:
    """The alpha channel that a transparent value, colour, index or list of alpha values means."""
    if isinstance(key, bytes):
        return Image.fromarray(np.array([*key, *[255] * (256 - len(key))], np.uint8)[np.asarray(image)])
    values = np.asarray(image).reshape(image.height, image.width, -1)
    wanted = np.asarray(key).reshape(-1)
    return Image.fromarray(np.where((values == wanted).all(axis=2), 0, 255).astype(np.uint8))


@image_input("a transparent value in greyscale of 2 or 4 bits, or in 16-bit RGB", "compared at the depth of the file")
def test_transparent_value_at_other_depths() -> None:
    def key(*values: int) -> bytes:
        return chunk(b"tRNS", struct.pack(f">{len(values)}H", *values))

    two = open_rgb(png_of(2, 0, [bytes([0b00011011])], key(3)), "#0000ff")
    assert [two.getpixel((x, 0)) for x in range(4)] == [(0, 0, 0), (85, 85, 85), (170, 170, 170), (0, 0, 255)]
    four = open_rgb(png_of(4, 0, [bytes([0x0F, 0x3C])], key(3)), "#0000ff")
    assert [four.getpixel((x, 0)) for x in (0, 1, 2)] == [(0, 0, 0), (255, 255, 255), (0, 0, 255)]
    row = struct.pack(">12H", *[40000] * 3, *[0] * 3, *[65535] * 3, *[300] * 3)
    deep = open_rgb(png_of(16, 2, [row], key(40000, 40000, 40000)), "#0000ff")
    assert [deep.getpixel((x, 0)) for x in range(3)] == [(0, 0, 255), (0, 0, 0), (255, 255, 255)]


@image_input("premultiplied alpha in a TIFF", "composited as such")
def test_premultiplied_alpha() -> None:
    half = np.array([[[100, 50, 0, 128]]], np.uint8)
    extra_samples = bytes.fromhex("52010300 01000000")  # the tag, its type and count; its value follows
    data = encoded(Image.fromarray(half), "TIFF").replace(extra_samples + b"\2", extra_samples + b"\1")
    assert open_rgb(data, "#000000").getpixel((0, 0)) == pytest.approx((100, 50, 0), abs=1)
    assert open_rgb(data, "#ffffff").getpixel((0, 0)) == pytest.approx((227, 177, 127), abs=1)
    grey = OpenedImage(tiff_of(bytes([100, 128]), width=1, bits=[8, 8], tags={338: 1}))
    assert grey.rgb("#000000").getpixel((0, 0)) == pytest.approx((100, 100, 100), abs=1)
    assert grey.properties().transparent


@image_input("an alpha channel that is opaque everywhere", "the pixels are as without it, to the bit")
@pytest.mark.parametrize("format", WITH_ALPHA)
def test_opaque_alpha_changes_nothing(format: str) -> None:
    opened = OpenedImage(encoded(COLOURS.convert("RGBA"), format, **WITH_ALPHA[format]))
    assert opened.traits & ~PixelTraits.CHANGED == PixelTraits.NONE
    assert (opened.traits == PixelTraits.NONE) is (format != "JPEG2000")
    assert largest_difference(opened.rgb("#ff0000"), COLOURS) == 0


@pytest.mark.parametrize("format", [*LOSSLESS, "JPEG", "GIF"])
def test_plain_images_are_as_pillow_decodes_them(format: str) -> None:
    data = encoded(COLOURS, format, **LOSSLESS.get(format, {}))
    with Image.open(io.BytesIO(data)) as image:
        expected = image.convert("RGB")
    opened = OpenedImage(data)
    assert largest_difference(opened.rgb(), expected) == 0
    assert (opened.traits == PixelTraits.NONE) is (format != "JPEG2000")


@pytest.mark.parametrize(
    ("format", "suffixes"),
    [
        pytest.param("JPEG", [".jpg", ".jpeg", ".jpe", ".jfif"], id="jpeg"),
        pytest.param("PNG", [".png"], id="png"),
        pytest.param("WEBP", [".webp"], id="webp"),
        pytest.param("BMP", [".bmp"], id="bmp"),
        pytest.param("GIF", [".gif"], id="gif"),
        pytest.param("TIFF", [".tif", ".tiff"], id="tiff"),
        pytest.param("JPEG2000", [".jp2"], id="jp2"),
        pytest.param("AVIF", [".avif"], id="avif"),
    ],
)
@image_input(".jpg .jpeg .jpe .jfif .png .webp .bmp .gif .tif .tiff .jp2 .avif", "read", "Kinds of image files")
def test_kinds_by_content(format: str, suffixes: list[str]) -> None:
    assert format in FORMATS
    assert all(is_image_name(f"photo{suffix.upper()}") for suffix in suffixes)
    assert largest_difference(open_rgb(encoded(COLOURS, format, quality=95)), COLOURS) < 90


def test_every_suffix_is_of_a_kind_that_is_read() -> None:
    Image.init()
    readable = {".heic": "HEIF", ".heif": "HEIF", **Image.registered_extensions()}
    assert {readable[suffix] for suffix in IMAGE_SUFFIXES} == {*FORMATS, "HEIF"}
    assert not is_image_name("photo.svg")


@image_input(".heic .heif", "read with the extra `heic` (pillow-heif), rotated once", "Kinds of image files")
def test_heic() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    data = encoded(COLOURS, "HEIF", quality=-1, chroma=444)
    opened = OpenedImage(data)
    assert mean_difference(opened.rgb(), COLOURS) < 10
    assert opened.traits == PixelTraits.CHANGED | PixelTraits.OPTIONAL
    # Orientation of HEIC is a property of the container, which the library applies; EXIF repeats it.
    turned = open_rgb(encoded(COLOURS, "HEIF", quality=-1, chroma=444, exif=exif_of(6).tobytes()))
    assert mean_difference(turned, COLOURS.transpose(Image.Transpose.ROTATE_270)) < 10
    fading = COLOURS.convert("RGBA")
    fading.putalpha(FADE)
    assert PixelTraits.TRANSPARENT in OpenedImage(encoded(fading, "HEIF")).traits


def mean_difference(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.asarray(one, np.int16) - np.asarray(other, np.int16)).mean())


@image_input(".heic without pillow-heif", "left out; the reason names the extra", "Kinds of image files")
def test_heic_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "_has_heif", lambda: False)
    data = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40)
    assert OpenedImage(data).traits == PixelTraits.CHANGED | PixelTraits.OPTIONAL
    with pytest.raises(UnreadableImage, match="install the extra `heic`"):
        open_rgb(data)
    assert "heif" not in optional_readers()
    assert ("avif" in optional_readers()) is features.check("avif")


@image_input("an animation (GIF, WebP, PNG), or several pages", "the first frame or page")
@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_frame(format: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("#c80000", "#00c800", "#0000c8")]
    shown = open_rgb(encoded(frames[0], format, save_all=True, append_images=frames[1:], lossless=True))
    assert largest_difference(shown, frames[0]) <= 1


@image_input("a GIF whose first frame is smaller than the image", "the rest is transparent, as in a browser")
@pytest.mark.parametrize("key", [None, 9])
def test_first_frame_that_fills_a_part(key: int | None) -> None:
    frame = COLOURS.quantize(16)
    data = bytearray(encoded(frame, "GIF", optimize=False, **({} if key is None else {"transparency": key})))
    data[6:10] = struct.pack("<HH", 40, 30)
    at = data.index(b"," + struct.pack("<HHHH", 0, 0, *frame.size))
    data[at + 1 : at + 5] = struct.pack("<HH", 5, 2)
    expected = Image.new("RGB", (40, 30), "#102030")
    alpha = Image.new("L", frame.size, 255) if key is None else expected_alpha(frame, key)
    expected.paste(frame.convert("RGB"), (5, 2), alpha)
    opened = OpenedImage(bytes(data))
    assert largest_difference(opened.rgb("#102030"), expected) == 0
    assert opened.traits == PixelTraits.CHANGED | PixelTraits.TRANSPARENT
    assert opened.properties().transparent


@image_input("a PNG with megabytes of text, such as the workflow of an image generator", "read")
@pytest.mark.parametrize(
    "text",
    [
        pytest.param(chunk(b"zTXt", b"workflow\0\0" + zlib.compress(bytes(3 << 20))), id="zTXt"),
        pytest.param(chunk(b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress(bytes(3 << 20))), id="iTXt"),
        pytest.param(chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(3 << 20))), id="iCCP"),
    ],
)
def test_large_texts_of_a_png(text: bytes) -> None:
    assert open_rgb(png_of(8, 0, [b"\0\1\2\3"], text)).getpixel((2, 0)) == (2, 2, 2)


@image_input("a TIFF whose first page is a thumbnail", "the first page that is none")
def test_thumbnail_page_is_skipped() -> None:
    out = io.BytesIO()
    with TiffImagePlugin.AppendingTiffWriter(out, True) as writer:
        for image, kind in ((COLOURS.resize((8, 6)), 1), (COLOURS, 0)):
            image.save(writer, "TIFF", tiffinfo={254: kind})
            writer.newFrame()
    opened = OpenedImage(out.getvalue())
    assert largest_difference(opened.rgb(), COLOURS) == 0
    assert opened.traits == PixelTraits.CHANGED
    assert opened.properties()[:2] == COLOURS.size
    only_thumbnail = encoded(COLOURS, "TIFF", tiffinfo={254: 1})
    assert largest_difference(open_rgb(only_thumbnail), COLOURS) == 0


@image_input("a file that is cut off", "left out as truncated or damaged", "Kinds of image files")
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "JPEG2000", "AVIF"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_truncated_files_are_bad(format: str, share: float) -> None:
    data = encoded(COLOURS.resize((160, 120)), format)
    with pytest.raises(UnreadableImage, match=r"^it is (truncated|a?n? ?damaged)"):
        open_rgb(data[: int(len(data) * share)])


@image_input(
    "a file whose rest is zero bytes (an interrupted download)", "left out as truncated", "Kinds of image files"
)
@pytest.mark.parametrize(
    ("format", "options"),
    [
        pytest.param("JPEG", {}, id="jpeg"),
        pytest.param("JPEG", {"progressive": True}, id="progressive"),
        pytest.param("JPEG", {"exif": exif_of(1)}, id="with exif"),
        pytest.param("PNG", {}, id="png"),
        pytest.param("WEBP", {"lossless": True}, id="webp"),
        pytest.param("AVIF", {}, id="avif"),
        pytest.param("GIF", {}, id="gif"),
        pytest.param("JPEG2000", {}, id="jp2"),
    ],
)
def test_files_that_end_in_zero_bytes_are_bad(format: str, options: dict[str, object]) -> None:
    data = encoded(Image.effect_noise((128, 96), 90).convert("RGB"), format, quality=95, **options)
    half = len(data) // 2
    opened = OpenedImage(data[:half] + bytes(half))
    with pytest.raises(UnreadableImage, match=r"^it is (truncated|a? ?damaged)"):
        opened.rgb()
    assert PixelTraits.CHANGED in opened.traits


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_complete_files_with_padding_are_good(format: str) -> None:
    assert open_rgb(encoded(COLOURS, format) + bytes(7)).size == COLOURS.size


def test_jpeg_with_a_preview_behind_it_is_good() -> None:
    data = encoded(COLOURS, "JPEG")
    assert open_rgb(data + b"trailer" + data[:200] + bytes(64)).size == COLOURS.size


@image_input("more than 178,956,970 pixels", "left out, with the size", "Kinds of image files")
def test_too_many_pixels() -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    with pytest.raises(UnreadableImage, match="900,000,000 pixels and at most 178,956,970 are decoded: scale it down"):
        open_rgb(bomb)


def test_small_jpeg_is_of_the_decoded_image() -> None:
    fading = COLOURS.resize((64, 48)).convert("RGBA")
    fading.putalpha(0)
    sent = Image.open(io.BytesIO(small_jpeg(encoded(fading, "PNG", exif=exif_of(6)), max_px=32)))
    assert sent.size == (24, 32)
    assert sent.convert("RGB").getextrema() == ((255, 255),) * 3
    wide = Image.open(io.BytesIO(small_jpeg(encoded(Image.new("L", (30_000, 1), 9), "PNG"), max_px=512)))
    assert wide.size == (512, 1)


@image_input("a 32-bit BMP whose alpha channel is empty", "opaque, as viewers show it")
def test_empty_alpha_of_a_bmp() -> None:
    rows = b"".join(bytes((10, 20, 200, 0)) * 4 for _ in range(4))
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", 108, 4, 4, 1, 32, 3, len(rows), 2835, 2835, 0, 0) + masks + bytes(52)
    data = b"BM" + struct.pack("<IHHI", 14 + len(header) + len(rows), 0, 0, 14 + len(header)) + header + rows
    opened = OpenedImage(data)
    assert opened.rgb().getpixel((1, 1)) == (200, 20, 10)
    assert opened.traits == PixelTraits.NONE
    assert not opened.properties().transparent


def test_first_image_of_a_multi_picture_jpeg() -> None:
    other = Image.new("RGB", COLOURS.size, "#00ff00")
    data = encoded(COLOURS, "MPO", save_all=True, append_images=[other])
    opened = OpenedImage(data)
    assert largest_difference(opened.rgb(), open_rgb(encoded(COLOURS, "JPEG"))) == 0
    assert opened.traits == PixelTraits.NONE


def test_palette_with_an_alpha_channel() -> None:
    picture = COLOURS.quantize(16).convert("PA")
    picture.putalpha(FADE)
    shown = open_rgb(encoded(picture, "TIFF"), "#102030")
    assert largest_difference(shown, on_colour(COLOURS.quantize(16).convert("RGB"), FADE, "#102030")) == 0
