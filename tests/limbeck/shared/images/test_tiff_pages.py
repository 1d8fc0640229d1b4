"""TIFF files that Pillow reads in another way than they are stored."""

import numpy as np
import pytest
from PIL import Image

from limbeck.shared.images.decode import OpenedImage, PixelTraits, open_rgb
from limbeck.shared.images.unreadable import UnreadableImage
from tests.limbeck.shared.images.pictures import COLOURS, GREY, encoded, largest_difference, tiff_of

SIZE = {"width": COLOURS.width, "height": COLOURS.height}
RGB, INVERTED, FLOAT, SIGNED = {262: 2}, {262: 0}, {339: 3}, {339: 2}
PLANES = {284: 2}


def image_input(given: str, handling: str) -> pytest.MarkDecorator:
    return pytest.mark.image_input("Decoding", given, handling)


def planes(levels: int, kind: str) -> list[bytes]:
    """The colours one after the other, each level times `levels`."""
    return [(np.asarray(COLOURS)[:, :, channel] * np.uint16(levels)).astype(kind).tobytes() for channel in range(3)]


def grey(levels: float, kind: str) -> bytes:
    return (np.asarray(GREY).astype(np.float64) * levels).astype(kind).tobytes()


@image_input("a TIFF with separate planes of 8 or 16 bits", "read at that depth")
@pytest.mark.parametrize("order", "<>")
def test_separate_planes(order: str) -> None:
    deep = OpenedImage(tiff_of(*planes(257, f"{order}u2"), bits=[16] * 3, tags=RGB | PLANES, order=order, **SIZE))
    assert largest_difference(deep.rgb(), COLOURS) == 0
    assert deep.traits == PixelTraits.CHANGED
    assert deep.properties().deep
    plain = OpenedImage(tiff_of(*planes(1, "u1"), bits=[8] * 3, tags=RGB | PLANES, order=order, **SIZE))
    assert largest_difference(plain.rgb(), COLOURS) == 0
    assert plain.traits == PixelTraits.NONE


@image_input("a greyscale TIFF that says that its single plane is separate", "read as the same file without the tag")
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("levels", "kind", "tags"),
    [
        pytest.param(1, "u1", {}, id="8 bits"),
        pytest.param(1, "u1", INVERTED, id="0 is white"),
        pytest.param(257, "u2", {}, id="16 bits"),
        pytest.param(100, "i2", SIGNED, id="signed"),
        pytest.param(1 / 255, "f4", FLOAT, id="float"),
    ],
)
def test_single_plane(levels: float, kind: str, tags: dict[int, int], order: str) -> None:
    data, bits = grey(levels, order + kind), [8 * int(kind[1])]
    contiguous = open_rgb(tiff_of(data, bits=bits, tags=tags, order=order, **SIZE))
    separate = open_rgb(tiff_of(data, bits=bits, tags=tags | PLANES, order=order, **SIZE))
    assert largest_difference(separate, contiguous) == 0
    assert np.asarray(contiguous).std() > 10


@image_input("a TIFF with separate planes that are not read, such as 16-bit CMYK", "left out, never shown wrongly")
def test_planes_that_are_not_read() -> None:
    cmyk = [*planes(257, "<u2"), bytes(2 * COLOURS.width * COLOURS.height)]
    with pytest.raises(UnreadableImage, match="^it is a?n? ?damaged"):
        open_rgb(tiff_of(*cmyk, bits=[16] * 4, tags={262: 5} | PLANES, **SIZE))


@image_input("12-bit colours in a 16-bit TIFF", "scaled from 12 bits, like greyscale")
@pytest.mark.parametrize("order", "<>")
def test_12_bit_colours(order: str) -> None:
    values = np.asarray(COLOURS).astype(np.uint16) * 16 + 15
    tags = {"bits": [16] * 3, "order": order}
    opened = OpenedImage(tiff_of(values.astype(f"{order}u2").tobytes(), tags=RGB, **tags, **SIZE))  # type: ignore[arg-type]
    assert largest_difference(opened.rgb(), COLOURS) <= 1
    assert opened.traits == PixelTraits.CHANGED
    channels = [values[:, :, channel].astype(f"{order}u2").tobytes() for channel in range(3)]
    separate = tiff_of(*channels, tags=RGB | PLANES, **tags, **SIZE)  # type: ignore[arg-type]
    assert largest_difference(open_rgb(separate), COLOURS) <= 1


@pytest.mark.parametrize("order", "<>")
def test_16_bit_colours_are_as_pillow_decodes_them(order: str) -> None:
    values = np.asarray(COLOURS).astype(np.uint16) * 200
    opened = OpenedImage(tiff_of(values.astype(f"{order}u2").tobytes(), bits=[16] * 3, tags=RGB, order=order, **SIZE))
    assert largest_difference(opened.rgb(), Image.fromarray((values >> 8).astype(np.uint8))) == 0
    assert opened.traits == PixelTraits.NONE


@image_input("signed 8-bit greyscale", "from its minimum to its maximum, as other signed values")
def test_signed_bytes() -> None:
    values = np.linspace(-100, 100, GREY.width * GREY.height).reshape(GREY.height, GREY.width)
    opened = OpenedImage(tiff_of(np.rint(values).astype("i1").tobytes(), bits=[8], tags=SIGNED, **SIZE))
    expected = Image.fromarray(np.rint((np.rint(values) + 100) * 255 / 200).astype(np.uint8))
    assert largest_difference(opened.rgb(), expected) <= 1
    assert opened.traits == PixelTraits.CHANGED


def test_sides_of_a_rotated_image() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    opened = OpenedImage(encoded(COLOURS, "TIFF", exif=exif))
    assert opened.properties() == (COLOURS.height, COLOURS.width, True, False, False, False)
