"""Paths in tables: found in their forms, inside the folder only; missing files are counted and named."""

from pathlib import Path

import pytest

from distill.data.image_folders import FolderError
from distill.data.layouts.tables.paths import ImagePaths
from tests.distill.data.layouts.helpers_tables import IMAGES, PAIRS, create_images, pairs, scan_source, source_error


def row(given: str, handling: str) -> pytest.MarkDecorator:
    return pytest.mark.image_input("Layouts and tables", given, handling)


def write(root: Path, form: str, name: str = "t.csv") -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    rows = (f"{form.format(image, stem=image[:-4])},{label}\n" for image, label in PAIRS.items())
    (root / name).write_text("image,label\n" + "".join(rows))


@pytest.mark.parametrize(
    ("folder", "form", "table"),
    [
        ("x/y", "x/y/{}", "t.csv"),
        ("x/y", "./x//y/{}", "t.csv"),
        pytest.param("x/y", r"x\y\{}", "t.csv", marks=row("paths with backslashes", "read as slashes")),
        ("x/y", "../x/y/{}", "annotations/t.csv"),
        pytest.param("x/y", "/x/y/{}", "t.csv", marks=row("a leading `/`, as in Places", "the table's folder")),
        pytest.param(
            "t", "{stem}", "t.csv", marks=row("Kaggle's `id` without a suffix", "the only file with an image suffix")
        ),
        pytest.param(
            "pictures", "{}", "t.csv", marks=row("names of images in one subfolder", "found, and the folder is noted")
        ),
        ("x/y", "{}", "x/y/t.csv"),
    ],
)
def test_forms_of_paths(tmp_path: Path, folder: str, form: str, table: str) -> None:
    create_images(tmp_path, folder)
    write(tmp_path, form, table)
    assert pairs(scan_source(tmp_path, file=table)) == {f"{folder}/{image}": label for image, label in PAIRS.items()}


def test_absolute_paths_below_the_folder_and_other_case(tmp_path: Path) -> None:
    create_images(tmp_path, "x")
    write(tmp_path, f"{tmp_path}/x/{{}}")
    assert len(pairs(scan_source(tmp_path, file="t.csv"))) == 4
    write(tmp_path, "x/{stem}.JPG")
    scanned = scan_source(tmp_path, file="t.csv")
    assert set(pairs(scanned)) == {f"x/{image}" for image in IMAGES}
    assert "t.csv has names without case or Unicode form: 4" in scanned.listing.notes


def test_image_folder_is_given_or_the_only_one(tmp_path: Path) -> None:
    create_images(create_images(tmp_path, "small"), "large")
    write(tmp_path, "{}")
    error = source_error(tmp_path, file="t.csv")
    assert (error.code, error.pointer) == ("ambiguous_image", "/images/image_folder")
    assert '"a.jpg" is in "large" and "small"' in error.detail
    assert "large/a.jpg" in pairs(scan_source(tmp_path, file="t.csv", image_folder="large"))
    assert source_error(tmp_path, file="t.csv", image_folder="huge").code == "no_such_folder"
    assert source_error(tmp_path, file="t.csv", image_folder="../x").code == "outside_root"


@pytest.mark.parametrize(
    ("form", "code", "message"),
    [
        pytest.param(
            "https://x.org/{}",
            "remote_image",
            'line 2: "https://x.org/a.jpg" is a URL: download',
            marks=row("URLs of images", "refused: download them first"),
        ),
        ("data:image/jpeg;base64 {}", "remote_image", "is a URL"),
        pytest.param(
            "../{}",
            "outside_root",
            'line 2: "../a.jpg" lies outside the folder',
            marks=row("a path that leaves the folder", "refused with its line"),
        ),
        ("/etc/{}", "outside_root", "give paths relative to the table"),
        ("C:/data/{}", "outside_root", "lies outside"),
        ("link/{}", "link", '"link" is a link that leaves the folder'),
        ("link_{}", "link", '"link_a.jpg" is a link that leaves the folder'),
    ],
    ids=["url", "data", "above", "absolute", "drive", "folder_link", "file_link"],
)
def test_paths_stay_inside_the_folder(tmp_path: Path, form: str, code: str, message: str) -> None:
    root = create_images(tmp_path / "root")
    create_images(tmp_path)
    (root / "link").symlink_to(tmp_path)
    for image in IMAGES:
        (root / f"link_{image}").symlink_to(tmp_path / image)
    write(root, form)
    error = source_error(root, file="t.csv")
    assert error.code == code
    assert message in error.detail


@pytest.mark.image_input(
    "Layouts and tables", "listed images that are missing", 'refused with count and first, or `"missing": "skip"`'
)
def test_missing_images_are_counted_and_skipped_by_choice(tmp_path: Path) -> None:
    create_images(tmp_path, names=IMAGES[:3])
    (tmp_path / "d.txt").write_text("")
    rows = [*PAIRS.items(), ("e.jpg", "crane"), ("d.txt", "crane"), ("f.jpg", "crane")]
    (tmp_path / "t.csv").write_text("image,label\n" + "".join(f"{image},{label}\n" for image, label in rows))
    error = source_error(tmp_path, file="t.csv", columns={"image": "image"})
    assert (error.code, error.pointer) == ("missing_image", "/images/missing")
    assert 't.csv: 4 of 7 images are missing or no image files, the first is "d.jpg" on line 5' in error.detail
    scanned = scan_source(tmp_path, file="t.csv", missing="skip")
    assert set(pairs(scanned)) == set(IMAGES[:3])
    assert scanned.listing.skipped.counts == {"missing": 4}
    assert scanned.listing.skipped.examples["missing"][0] == 't.csv: "d.jpg" on line 5'


def test_ambiguous_names_without_suffix_are_refused(tmp_path: Path) -> None:
    create_images(tmp_path, names=(*IMAGES, "a.png"))
    write(tmp_path, "{stem}")
    assert source_error(tmp_path, file="t.csv").code == "ambiguous_image"


def test_a_folder_is_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = tuple(f"{number}.jpg" for number in range(50))
    create_images(tmp_path, "x", names)
    paths = ImagePaths(tmp_path, "t.csv", "x")
    assert paths.find("0.jpg", 1) == "x/0.jpg"
    for name in names:
        (tmp_path / "x" / name).unlink()  # a second listing, or a look at a file, would not find it
    assert [paths.find(name, 1) for name in names] == [f"x/{name}" for name in names]


def test_a_folder_is_resolved_once_and_other_forms_of_its_paths_are_still_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    for name in ("0.jpg", "1.jpg", "2.jpg"):
        (tmp_path / "a" / name).touch()
        (tmp_path / name).touch()
    resolved: list[str] = []
    original = ImagePaths._relative

    def relative(self: ImagePaths, value: str, line: int) -> str:
        resolved.append(value)
        return original(self, value, line)

    monkeypatch.setattr(ImagePaths, "_relative", relative)
    paths = ImagePaths(tmp_path, "t.csv", "")
    listed = ["./a/0.jpg", "./a/1.jpg", "0.jpg", "1.jpg", "./a/3.jpg", "a\\2.jpg", "./a/../2.jpg"]
    found = [paths.find(value, line) for line, value in enumerate(listed)]
    assert found == ["a/0.jpg", "a/1.jpg", "0.jpg", "1.jpg", None, "a/2.jpg", "2.jpg"]
    assert resolved == ["./a/0.jpg", "0.jpg", "a\\2.jpg", "./a/../2.jpg"]
    assert paths.find("/2.jpg", 1) == "2.jpg"
    for value, code in (("/3.jpg", "outside_root"), ("data:image", "remote_image"), ("../2.jpg", "outside_root")):
        with pytest.raises(FolderError) as error:
            paths.find(value, 1)
        assert error.value.code == code


def test_places_of_many_paths_are_those_of_each(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "2.jpg").touch()
    paths = ImagePaths(tmp_path, "t.csv", "b")
    plain = ["a/0.jpg", "./a/1.jpg", "2.jpg", "../a/3.jpg"]
    members = ["s/1.tar!512+9!0.jpg", "s/1.tar!1024+9!x/0.jpg", "2.tar!512+9!0.jpg"]
    odd = ["a\\4.jpg", "", "a/.", f"{tmp_path}/a/2.jpg", "a/5.tar!x.jpg"]
    for values in (plain, members, [*plain, *members], [*plain, *odd], odd, []):
        one_by_one = [paths.place(value, 1) for value in values]
        assert paths.places(values, [1] * len(values)) == one_by_one
    assert paths.places(members, [1, 2, 3])[0] == ("b/s/1.tar!", "512+9!0.jpg")
    for value in ("../../s/1.tar!512+9!0.jpg", "http://x/1.tar!512+9!0.jpg"):
        with pytest.raises(FolderError):
            paths.places([value], [1])
