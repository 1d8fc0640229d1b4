"""Images that lists name: found by folder, skipped by reason, and never blocked by what is no regular file."""

import os
from pathlib import Path

from distill.data.image_source import ImageSource
from distill.data.layouts.listed_images import ListedImages
from tests.distill.data.helpers_index import create


def _images(root: Path) -> ListedImages:
    return ListedImages("test", root.resolve(), root.resolve(), ImageSource(missing="skip"))


def test_files_of_other_kinds_are_counted(tmp_path: Path) -> None:
    create(tmp_path, "a/1.jpg", "a/2.svg", "a/3.jpg", "a/.hidden.jpg")
    os.mkfifo(tmp_path / "a/4.jpg")
    images = _images(tmp_path)
    for name in ("1.jpg", "2.svg", "4.jpg"):
        images.add(name, ("x",), None, folders=("a",))
    listing = images.finish()
    assert [image.path for image in listing.images] == ["a/1.jpg"]
    assert listing.skipped.counts == {"not an image (.svg)": 1, "missing file": 1, "image that no list names": 1}


def test_image_listed_twice_has_both_labels_once(tmp_path: Path) -> None:
    images = _images(create(tmp_path, "1.jpg"))
    for labels in (("x",), ("y",), ("x",)):
        images.add("1.jpg", labels, "train")
    assert images.finish().images[0].labels == ("x", "y")


def test_a_folder_is_read_once(tmp_path: Path) -> None:
    names = [f"{n}.jpg" for n in range(50)]
    create(tmp_path, *names)
    images = _images(tmp_path)
    images.add(names[0], ("x",), None)
    (tmp_path / names[1]).unlink()
    images.add(names[1], ("x",), None)
    assert len(images.finish().images) == 2


def test_paths_of_windows_are_read(tmp_path: Path) -> None:
    images = _images(create(tmp_path, "a/b/1.jpg"))
    images.add("a\\b\\1.jpg", ("x",), None)
    assert [image.path for image in images.finish().images] == ["a/b/1.jpg"]
