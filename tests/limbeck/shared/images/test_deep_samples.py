"""Greyscale of more than 8 bits: range, scaling, inversion, values that are not finite."""

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from limbeck.shared.images import deep_samples
from limbeck.shared.images.decode import open_rgb
from limbeck.shared.images.deep_samples import sample_range
from limbeck.shared.images.unreadable import UnreadableImage
from tests.limbeck.shared.images.pictures import GREY, encoded, largest_difference

LEVELS = np.asarray(GREY).astype(np.int64)
FULL = (LEVELS * 257).astype(np.uint16)
SECTION = "Decoding"


def image_input(given: str, handling: str) -> pytest.MarkDecorator:
    return pytest.mark.image_input(SECTION, given, handling)


VALUES: dict[str, npt.NDArray[np.generic]] = {
    "16-bit": FULL,
    "shifted": (LEVELS << 8).astype(np.uint16),
    "12 bits": (LEVELS * 16).astype(np.uint16),
    "8 bits in 16": LEVELS.astype(np.uint16),
    "32-bit": FULL.astype(np.int32),
    "float of 0 to 1": (LEVELS / 255).astype(np.float32),
    "float of 0 to 255": LEVELS.astype(np.float32),
    "float of 0 to 65535": FULL.astype(np.float32),
}


@pytest.mark.parametrize(
    ("values", "format", "tolerance"),
    [
        pytest.param("16-bit", "PNG", 0, marks=image_input("16-bit greyscale", "scaled to 8 bits")),
        pytest.param("16-bit", "TIFF", 0),
        pytest.param("16-bit", "JPEG2000", 1),
        pytest.param("shifted", "PNG", 1),
        pytest.param(
            "12 bits",
            "TIFF",
            1,
            marks=image_input("a 16-bit TIFF whose values fit in 12 or 8 bits", "scaled from 12 or 8 bits"),
        ),
        pytest.param("8 bits in 16", "TIFF", 0),
        pytest.param("32-bit", "TIFF", 0, marks=image_input("32-bit greyscale", "scaled like 16-bit greyscale")),
        pytest.param(
            "float of 0 to 1",
            "TIFF",
            0,
            marks=image_input("float greyscale of 0 to 1, or of whole numbers", "scaled from that range"),
        ),
        pytest.param("float of 0 to 255", "TIFF", 0),
        pytest.param("float of 0 to 65535", "TIFF", 0),
    ],
)
def test_deep_greyscale_equals_its_8_bit_image(values: str, format: str, tolerance: int) -> None:
    assert largest_difference(open_rgb(encoded(Image.fromarray(VALUES[values]), format)), GREY) <= tolerance


@image_input("a dark 16-bit PNG", "stays dark: PNG defines the range")
def test_dark_png_stays_dark() -> None:
    dark = (LEVELS * 8).astype(np.uint16)
    assert np.asarray(open_rgb(encoded(Image.fromarray(dark), "PNG"))).max() <= 8


@image_input("float or signed greyscale of another range", "scaled from its own minimum and maximum")
def test_other_ranges_are_those_of_the_image() -> None:
    heights = np.linspace(-413.5, 8848.25, 256, dtype=np.float32).reshape(16, 16)
    shown = np.asarray(open_rgb(encoded(Image.fromarray(heights), "TIFF")))[..., 0]
    assert (shown.ravel() == np.arange(256)).all()


@image_input("NaN and infinity in a float image", "black and white")
def test_values_that_are_not_finite() -> None:
    values = (LEVELS / 255).astype(np.float32)
    values[0, :3] = np.nan, np.inf, -np.inf
    shown = np.asarray(open_rgb(encoded(Image.fromarray(values), "TIFF")))[..., 0]
    assert shown[0, :3].tolist() == [0, 255, 0]
    assert (shown[1:] == LEVELS[1:]).all()


@image_input("a float image without any finite value", "left out, with the reason")
def test_image_of_nan_is_bad() -> None:
    with pytest.raises(UnreadableImage, match="none of its values is a finite number"):
        open_rgb(encoded(Image.fromarray(np.full((4, 4), np.nan, np.float32)), "TIFF"))


@image_input("greyscale in which 0 is white", "shown as such")
def test_white_is_zero() -> None:
    for values in (FULL, (LEVELS / 255).astype(np.float32)):
        data = encoded(Image.fromarray(values), "TIFF", tiffinfo={262: 0})
        assert largest_difference(open_rgb(data), Image.eval(GREY, lambda level: 255 - level)) == 0


@image_input("16-bit greyscale with a transparent value", "on the background")
def test_transparent_value_of_16_bit_greyscale() -> None:
    values = FULL.copy()
    values[2, 3], values[2, 4] = 1000, 1001  # equal in 8 bits
    shown = open_rgb(encoded(Image.fromarray(values), "PNG", transparency=1000), "#0000ff")
    assert shown.getpixel((3, 2)) == (0, 0, 255)
    assert shown.getpixel((4, 2)) == (4, 4, 4)


def test_range_of_unsigned_32_bit_values() -> None:
    assert sample_range(np.array([[0, 2**32 - 1]], np.uint32)) == (0.0, 2.0**32 - 1)
    assert sample_range(np.array([[7, 7]], np.int32)) == (0.0, 255.0)
    assert sample_range(np.array([[0.5, 1.25]], np.float32)) == (0.5, 1.25)


def test_range_and_scaling_of_several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.linspace(-3, 900, FULL.size, dtype=np.float32).reshape(FULL.shape)
    values[0] = np.nan
    data = encoded(Image.fromarray(values), "TIFF")
    at_once = open_rgb(data)
    monkeypatch.setattr(deep_samples, "_BLOCK", 40)
    assert largest_difference(open_rgb(data), at_once) == 0


def test_constant_images_have_no_range() -> None:
    for value in (0.0, -3.0, 1e9):
        shown = np.asarray(open_rgb(encoded(Image.fromarray(np.full((2, 2), value, np.float32)), "TIFF")))
        assert shown.max() == 0
