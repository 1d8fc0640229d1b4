"""The images of a command line: folders in natural order, lists, standard input, and what holds no images."""

import io
import os
from pathlib import Path

import pytest

from limbeck.classify.inputs import InputError, find_images, natural_key, read_stdin


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with images in folders."""
    names = ("b/10.jpg", "b/2.JPG", "b/notes.txt", "b/.hidden.png", "a10/x.png", "a9/x.webp", "1.png")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_folders_give_their_images_in_natural_order(folder: Path) -> None:
    assert find_images(["b", "1.png"]) == ["b/2.JPG", "b/10.jpg", "1.png"]
    found = [os.path.relpath(path, folder) for path in find_images([str(folder)])]
    assert found == ["1.png", "a9/x.webp", "a10/x.png", "b/2.JPG", "b/10.jpg"]


def test_names_that_are_no_images_are_taken_if_they_are_given_themselves() -> None:
    assert find_images(["b/notes.txt", "missing.gif"]) == ["b/notes.txt", "missing.gif"]


@pytest.mark.parametrize(("separator", "ending"), [("\n", "\n"), ("\r\n", ""), ("\0", "\0")])
def test_list_of_paths(folder: Path, separator: str, ending: str) -> None:
    (folder / "list").write_text(separator.join(["1.png", "b", "with space .png"]) + ending, newline="")
    assert find_images([], ["list"]) == ["1.png", "b/2.JPG", "b/10.jpg", "with space .png"]


def test_list_on_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9.png\n1.png\n")))
    assert find_images(["a9"], ["-"]) == ["a9/x.webp", os.fsdecode(b"caf\xe9.png"), "1.png"]


@pytest.mark.parametrize(
    ("images", "lists", "message"),
    [
        ([], [], "give at least one image or folder"),
        (["1.png", "empty"], [], r"empty holds no images \(\.jpg"),
        (["-", "-"], [], "standard input .* once"),
        (["-"], ["-"], "standard input .* once"),
        ([], ["missing"], "missing: No such file"),
        ([], ["b/notes.txt"], r"b/notes\.txt names no images"),
    ],
)
def test_faults_are_one_line(images: list[str], lists: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_images(images, lists)


def test_links_between_folders_are_not_followed(folder: Path) -> None:
    (folder / "b" / "loop").symlink_to(folder / "b")
    assert len(find_images(["b"])) == 2


def test_standard_input_is_an_image() -> None:
    assert find_images(["1.png", "-"]) == ["1.png", "-"]
    assert read_stdin(io.BytesIO(b"image")) == b"image"

    class Terminal(io.BytesIO):
        def isatty(self) -> bool:
            return True

    with pytest.raises(InputError, match="is a terminal"):
        read_stdin(Terminal())


def test_numbers_in_names_sort_by_value() -> None:
    names = ["x2", "x10", "X1", "10", "9", "", "x", "x01y", "²", "x٣"]
    assert sorted(names, key=natural_key) == ["", "9", "10", "x", "x01y", "X1", "x2", "x10", "x٣", "²"]
