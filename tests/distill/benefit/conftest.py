"""Four labels with attributes, and an image index with images of all of them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from distill.data.image_index import ImageIndex, scan
from distill.data.splits import SPLIT
from tests.distill.benefit.examples import LABELS, SPLIT_BY_LIST


@pytest.fixture
def image_index(tmp_path: Path, make_images: Callable[..., list[Path]]) -> ImageIndex:
    for label, name in enumerate(LABELS):
        make_images(tmp_path / "images" / name.replace(" ", "_"), 8, seed=label)
    return scan(tmp_path / "images", LABELS, SPLIT.validate_python(SPLIT_BY_LIST))
