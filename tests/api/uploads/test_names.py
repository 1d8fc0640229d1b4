"""Names of uploaded files: what could leave the upload, or cannot be on a disk, is refused."""

import pytest

from api.uploads.names import first_fault, path_fault


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "..",
        "../x.jpg",
        "a/../x.jpg",
        "a/..",
        "./a.jpg",
        "a/./b.jpg",
        "a//b.jpg",
        "a/",
        "a\\b.jpg",
        "..\\x.jpg",
        "a\0.jpg",
        "\udce9.jpg",
        "x" * 256,
        "é" * 128,
        "a/" * 32 + "b",
        "a" * 200 + "/" + "b" * 200 + "/" + "c" * 200 + "/" + "d" * 200 + "/" + "e" * 200,
    ],
)
def test_a_path_that_is_refused(path: str) -> None:
    assert path_fault(path)


@pytest.mark.parametrize("path", ["a.jpg", "a/b.jpg", "..a/b..jpg", "é/ü.jpg", "a\nb.jpg", "x" * 255, "a/" * 31 + "b"])
def test_a_path_that_is_allowed(path: str) -> None:
    assert path_fault(path) is None


@pytest.mark.parametrize(
    ("paths", "fault"),
    [
        (["a", "b", "a"], (2, "is there twice")),
        (["a/b/c", "a-b", "a/b"], (2, "is a file and a folder")),
        (["a/b", "c", "a/b/c/d"], (2, 'lies in "a/b", which is a file')),
        (["a/b", "a/c/d", "a/c/e", "b"], None),
        (["a", "../b"], (1, 'has the step ".."; every step must be a name')),
    ],
)
def test_files_that_cannot_lie_beside_each_other(paths: list[str], fault: tuple[int, str] | None) -> None:
    assert first_fault(paths, 100) == fault


def test_folders_are_limited_too() -> None:
    paths = ["a/b/1", "a/c/2", "a/c/3"]
    assert first_fault(paths, 3) is None
    assert first_fault(paths, 2) == (1, "needs more than 2 folders (LIMBECK_UPLOAD_MAX_FILES)")
