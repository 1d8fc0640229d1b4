"""Images that are much longer than wide: sizes before a resize, and images that stay as they are."""

import pytest
from PIL import Image

from limbeck.shared.images.extreme_shapes import MAX_ASPECT, central_part, is_extreme, shortened


@pytest.mark.parametrize("size", [(64, 1), (1, 64), (640, 10), (30, 40)])
def test_other_images_are_returned_as_they_are(size: tuple[int, int]) -> None:
    image = Image.new("RGB", size)
    assert not is_extreme(*size)
    assert central_part(image) is image
    assert shortened(image, 8) is image


@pytest.mark.parametrize("size", [(30_000, 1), (1, 30_000), (2, 131), (1000, 3)])
def test_central_part(size: tuple[int, int]) -> None:
    image = Image.new("RGB", size)
    image.paste("#ff0000", (size[0] // 2, size[1] // 2, size[0] // 2 + 1, size[1] // 2 + 1))
    part = central_part(image)
    short = min(size)
    assert sorted(part.size) == [short, MAX_ASPECT * short]
    middle = (part.width // 2, part.height // 2)
    near = part.crop((middle[0] - 1, middle[1] - 1, middle[0] + 2, middle[1] + 2))
    assert near.getextrema()[0][1] == 255


def test_only_tall_images_are_shortened() -> None:
    assert shortened(Image.new("RGB", (1, 30_000)), 256).size == (1, 256)
    assert shortened(Image.new("RGB", (30_000, 1)), 256).size == (30_000, 1)
    assert shortened(Image.new("RGB", (1, 200)), 256).size == (1, 200)
