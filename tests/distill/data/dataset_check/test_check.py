"""The check of a dataset: damaged files and copies on generated folders, the split of what is left, and the report."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from distill import Stopped
from distill.data.dataset.scan import match_dataset, scan
from distill.data.dataset_check.check import CheckedDataset, DatasetCheck, check_dataset
from distill.data.image_folders import FolderError
from distill.data.splits import SPLIT
from distill.hooks import PipelineHooks
from tests.distill.data.file_uses import FileUses

LABELS = ("blue jay", "crane", "heron", "red finch", "ibis")
BY_LIST = {"by": "list", "id": ["crane", "red finch"], "ood": ["blue jay", "heron"], "held_out": 0.25}
SECTION = "Duplicates and labels without images"
MakeImages = Callable[..., list[Path]]


@pytest.fixture
def root(tmp_path: Path, make_images: MakeImages) -> Path:
    """Eight images of each of four labels; a fifth label has none."""
    for seed, label in enumerate(LABELS[:4]):
        make_images(tmp_path / "images" / label, 8, seed=seed)
    return tmp_path / "images"


def check(
    root: Path,
    split: dict[str, Any] = BY_LIST,
    hooks: PipelineHooks | None = None,
    unlabelled: tuple[Path, ...] = (),
    **options: Any,
) -> CheckedDataset:
    parsed = SPLIT.validate_python(split)
    return check_dataset(
        match_dataset(root, LABELS, parsed, unlabelled=unlabelled),
        parsed,
        DatasetCheck(**options),
        cache=root.parent / "cache",
        num_workers=2,
        hooks=hooks,
    )


def refusal(root: Path, split: dict[str, Any] = BY_LIST, **options: Any) -> FolderError:
    with pytest.raises(FolderError) as caught:
        check(root, split, **options)
    return caught.value


def path_in(checked: CheckedDataset, label: str, part: str) -> str:
    """The path of the first image of a label in a part."""
    labels = checked.image_index.labels
    return next(item.path for item in checked.image_index if item.part == part and labels[item.label] == label)


def parts_of(checked: CheckedDataset) -> dict[str, str]:
    return {item.path: item.part for item in checked.image_index}


@pytest.mark.parametrize(
    "split", [BY_LIST, {"by": "seed", "seed": 3}, {"by": "seed", "id_fraction": 1, "held_out": 0}, {"by": "all"}]
)
@pytest.mark.parametrize("mode", ["full", "names"])
def test_a_dataset_without_faults_keeps_its_index(root: Path, split: dict[str, Any], mode: str) -> None:
    checked = check(root, split, check=mode)
    expected = scan(root, LABELS, SPLIT.validate_python(split))
    assert (checked.image_index.digest, checked.image_index.items) == (expected.digest, expected.items)
    assert checked.report.num_images == checked.report.num_used == 32
    assert checked.report.parts == expected.counts
    assert checked.report.labels_without_images.examples == ("ibis",)
    assert (checked.report.sizes is None) == (mode == "names")
    unseen = "1 label without images, neither seen nor unseen: ibis"
    unopened = "no image was opened: damaged files and duplicates are not known"
    assert checked.report.warnings == ((unopened, unseen) if mode == "names" else (unseen,))


@pytest.mark.image_input(
    SECTION,
    "files that cannot be decoded: truncated, empty, text",
    "they leave the dataset before the split is drawn, and are counted by reason and named",
)
def test_damaged_files_leave_before_the_split(root: Path) -> None:
    before = parts_of(check(root))
    whole = (root / "crane" / "001.jpg").read_bytes()
    (root / "crane" / "001.jpg").write_bytes(whole[: len(whole) // 2])
    png = (root / "heron" / "003.png").read_bytes()
    (root / "heron" / "003.png").write_bytes(png[: len(png) // 2])
    (root / "heron" / "001.jpg").write_bytes(b"")
    (root / "red finch" / "005.jpg").write_text("no picture")
    checked = check(root)
    assert set(checked.unreadable) == {"crane/001.jpg", "heron/003.png", "heron/001.jpg", "red finch/005.jpg"}
    assert parts_of(checked).keys() == before.keys() - checked.unreadable.keys()
    assert sum(files.count for files in checked.report.unreadable) == 4
    assert {path for files in checked.report.unreadable for path in files.examples} == set(checked.unreadable)
    assert "left out 4 images that cannot be decoded" in checked.report.warnings[0]
    assert not any("0x" in files.reason for files in checked.report.unreadable)
    # The same index as without these files.
    for path in checked.unreadable:
        (root / path).unlink()
    assert scan(root, LABELS, SPLIT.validate_python(BY_LIST)).digest == checked.image_index.digest


@pytest.mark.image_input(
    SECTION,
    "a label whose files are all damaged",
    "it is neither seen nor unseen, and is named; a split that needs it is refused",
)
def test_label_without_a_usable_image_is_neither_seen_nor_unseen(root: Path) -> None:
    for path in (root / "heron").iterdir():
        path.write_bytes(b"no picture")
    by_seed = check(root, {"by": "seed"})
    heron = LABELS.index("heron")
    assert heron not in {*by_seed.image_index.id_labels, *by_seed.image_index.ood_labels}
    assert by_seed.image_index.counts["id_labels"] + by_seed.image_index.counts["ood_labels"] == 3
    assert by_seed.report.labels_without_usable_images.examples == ("heron",)
    assert by_seed.report.labels_without_images.examples == ("ibis",)
    error = refusal(root)
    assert error.code == "no_images"
    assert "8 images that cannot be decoded were left out before" in error.detail
    for path in (root / "crane").iterdir():
        path.write_bytes(b"no picture")
    for path in (root / "blue jay").iterdir():
        path.write_bytes(b"no picture")
    assert refusal(root, {"by": "seed"}).code == "one_label"


@pytest.mark.image_input(
    SECTION,
    "the same file in training and held out, or under a seen and an unseen label",
    "refused with the paths; with `duplicates: move` it stays in training and leaves what is measured",
)
def test_copies_across_parts_are_refused_moved_or_kept(root: Path) -> None:
    clean = check(root)
    trained, held, unseen = (
        path_in(clean, label, part) for label, part in (("crane", "train"), ("crane", "held_out"), ("heron", "ood"))
    )
    shutil.copyfile(root / trained, root / held)
    shutil.copyfile(root / trained, root / unseen)
    error = refusal(root)
    assert (error.code, error.pointer) == ("duplicate_images", "/duplicates")
    for path in (trained, held, unseen, "1 picture", "move", "keep"):
        assert path in error.detail
    assert error.detail.index(trained) < error.detail.index(held) < error.detail.index(unseen)

    kept = check(root, duplicates="keep")
    assert kept.image_index.digest == clean.image_index.digest
    moved = check(root, duplicates="move")
    expected = {**parts_of(clean), held: "train"}
    del expected[unseen]
    assert parts_of(moved) == expected
    for checked, num_moved in ((kept, 0), (moved, 1)):
        assert checked.report.duplicate_images is not None
        exact = checked.report.duplicate_images.exact
        assert (exact.num_groups, exact.num_images, exact.num_redundant) == (1, 3, 2)
        assert (exact.across_parts, exact.seen_and_unseen, exact.contradictory) == (1, 1, 1)
        assert (exact.num_moved, exact.num_left_out) == (num_moved, num_moved)
        assert [image.path for image in exact.examples[0]] == sorted([trained, held, unseen])
        assert any("in several parts" in warning for warning in checked.report.warnings)


def test_held_out_copy_under_another_seen_label_is_left_out(root: Path) -> None:
    clean = check(root)
    trained, held = path_in(clean, "crane", "train"), path_in(clean, "red finch", "held_out")
    shutil.copyfile(root / trained, root / held)
    moved = check(root, duplicates="move")
    assert parts_of(moved) == {path: part for path, part in parts_of(clean).items() if path != held}


def test_held_out_and_unseen_copies_stay_held_out(root: Path) -> None:
    clean = check(root)
    held, unseen = path_in(clean, "crane", "held_out"), path_in(clean, "heron", "ood")
    shutil.copyfile(root / held, root / unseen)
    moved = check(root, duplicates="move")
    assert parts_of(moved) == {path: part for path, part in parts_of(clean).items() if path != unseen}


@pytest.mark.image_input(
    SECTION, "the same file twice within one part", "kept and reported; under two labels, as contradictory labels"
)
def test_copies_within_a_part_are_only_reported(root: Path) -> None:
    clean = check(root)
    shutil.copyfile(root / "heron" / "001.jpg", root / "heron" / "002.jpg")
    shutil.copyfile(root / path_in(clean, "crane", "train"), root / path_in(clean, "red finch", "train"))
    checked = check(root)
    assert parts_of(checked) == parts_of(clean)
    assert checked.report.duplicate_images is not None
    exact = checked.report.duplicate_images.exact
    assert (exact.num_groups, exact.across_parts, exact.contradictory, exact.num_left_out) == (2, 0, 1, 0)
    assert exact.examples[0][0].label != exact.examples[0][1].label  # the contradictory group is the first
    assert checked.report.warnings[0] == "1 group of images with the same content under several labels"


@pytest.mark.image_input(
    SECTION,
    "a picture saved again in another size or format, in training and measured",
    "reported; with `near_duplicates` moved or refused",
)
def test_near_copies_are_reported_moved_or_refused(root: Path) -> None:
    clean = check(root)
    trained, held = path_in(clean, "crane", "train"), path_in(clean, "crane", "held_out")
    with Image.open(root / trained) as image:
        large = image.convert("RGB").resize((90, 70), Image.Resampling.BICUBIC)
    large.save(root / held, "JPEG", quality=60)
    reported = check(root)
    assert parts_of(reported) == parts_of(clean)
    assert reported.report.duplicate_images is not None
    near = reported.report.duplicate_images.near
    assert (near.num_groups, near.across_parts, reported.report.duplicate_images.exact.num_groups) == (1, 1, 0)
    assert {image.path for image in near.examples[0]} == {trained, held}
    assert parts_of(check(root, near_duplicates="move")) == {**parts_of(clean), held: "train"}
    error = refusal(root, near_duplicates="refuse")
    assert (error.code, error.pointer) == ("near_duplicate_images", "/near_duplicates")


@pytest.mark.image_input(
    SECTION,
    "unlabelled images: copies of each other, of training and of measured images, damaged ones",
    "they count as no label; a copy of a measured image is refused or left out, and damaged ones are left out",
)
def test_unlabelled_images_are_checked_and_count_as_no_label(root: Path) -> None:
    clean = check(root)
    folder = root.parent / "more"
    folder.mkdir()
    measured = [path_in(clean, "crane", "held_out"), path_in(clean, "heron", "ood")]
    for number, path in enumerate([*measured, path_in(clean, "crane", "train")]):
        shutil.copyfile(root / path, folder / f"{number}.jpg")
    for number in range(3, 30):  # more than any label has
        Image.new("RGB", (40, 30), (number, 40, 90)).save(folder / f"{number}.png")
    shutil.copyfile(folder / "3.png", folder / "4.png")
    (folder / "bad.jpg").write_bytes(b"no picture")
    split = SPLIT.validate_python(BY_LIST)

    def checked(**options: Any) -> CheckedDataset:
        matched = match_dataset(root, LABELS, split, unlabelled=[folder])
        return check_dataset(matched, split, DatasetCheck(**options), cache=root.parent / "cache", num_workers=2)

    with pytest.raises(FolderError, match="2 pictures are in more than one part"):
        checked()
    found = checked(duplicates="move")
    assert found.image_index.counts == {**clean.image_index.counts, "unlabelled": 28}
    report = found.report
    assert (report.num_images, report.num_used) == (32 + 31, 32 + 28)
    assert report.images_per_label == clean.report.images_per_label
    assert report.labels_without_usable_images.count == 0
    assert report.duplicate_images is not None
    unlabelled = [image for group in report.duplicate_images.exact.examples for image in group if image.label is None]
    assert len(unlabelled) == 5
    assert {image.part for image in unlabelled} == {"unlabelled"}
    assert [files.examples for files in report.unreadable] == [("../more/bad.jpg",)]


def test_an_unseen_label_whose_images_are_all_copies_is_no_longer_unseen(root: Path) -> None:
    shutil.rmtree(root / "heron")
    shutil.copytree(root / "crane", root / "heron")
    assert refusal(root).code == "duplicate_images"
    moved = check(root, duplicates="move")
    assert LABELS.index("heron") not in moved.image_index.ood_labels
    assert moved.report.labels_without_usable_images.examples == ("heron",)


@pytest.mark.image_input(
    SECTION, "`check: names`", "no image is opened; damaged files and duplicates are then not known, which is a warning"
)
def test_names_opens_no_image(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uses = FileUses([path.read_bytes() for path in sorted(root.rglob("*.*g"))], monkeypatch)
    report = check(root, check="names").report
    assert not any(map(sum, uses.take().values()))
    assert (report.sizes, report.kinds, report.duplicate_images) == (None, None, None)
    with pytest.raises(ValueError, match='"move" needs check "full"'):
        DatasetCheck(check="names", duplicates="move")


@pytest.mark.usefixtures("old_files")
def test_second_check_opens_no_image(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = sorted(root.rglob("*.*g"))
    Image.new("RGBA", (40, 30), (200, 40, 90, 128)).save(paths[0], "PNG")  # its pixels depend on the background
    uses = FileUses([path.read_bytes() for path in paths], monkeypatch)
    first = check(root).report
    opened = [1 + (path.suffix == ".jpg") for path in paths]  # the header of a JPEG is read before it is decoded small
    assert uses.take() == {"read": [1] * 32, "hashed": [1] * 32, "decoded": opened}
    assert check(root).report == first
    assert not any(map(sum, uses.take().values()))


def test_unusable_split_is_refused_before_an_image_is_opened(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uses = FileUses([path.read_bytes() for path in sorted(root.rglob("*.*g"))], monkeypatch)
    assert refusal(root, {"by": "list", "id": ["crane", "auk"]}).code == "unknown_label"
    assert not any(map(sum, uses.take().values()))


def test_a_stopped_check_can_be_continued(root: Path) -> None:
    with pytest.raises(Stopped, match="0 of 32 images checked"):
        check(root, hooks=PipelineHooks(should_stop=lambda: True))
    assert check(root).report.num_used == 32


@pytest.mark.image_input(
    "Files, folders and shards",
    "a dataset is registered or trained on",
    "a report gives images per label, sizes, and rotated, transparent, 16-bit and animated images",
)
def test_sizes_and_kinds_are_reported(root: Path) -> None:
    noise = np.random.default_rng(5).integers(0, 256, (40, 400, 3), dtype=np.uint8)
    wide = Image.fromarray(noise)
    turned = Image.Exif()
    turned[0x0112] = 6
    wide.save(root / "crane" / "turned.jpg", exif=turned)
    wide.crop((0, 0, 40, 40)).save(root / "crane" / "small.png")
    clear = wide.crop((40, 0, 90, 40)).convert("RGBA")
    clear.putpixel((0, 0), (1, 2, 3, 0))
    clear.save(root / "crane" / "clear.png")
    Image.fromarray(noise[:, :50, 0].astype(np.uint16) * 200).save(root / "crane" / "deep.png")
    frames = [wide.crop((x, 0, x + 50, 40)) for x in (100, 150)]
    frames[0].save(root / "crane" / "moving.webp", save_all=True, append_images=frames[1:])
    report = check(root).report
    assert report.kinds is not None
    assert {name: (files.count, files.examples) for name, files in report.kinds if files is not None} == {
        "rotated": (1, ("crane/turned.jpg",)),
        "transparent": (1, ("crane/clear.png",)),
        "deep": (1, ("crane/deep.png",)),
        "animated": (1, ("crane/moving.webp",)),
    }
    assert report.sizes is not None
    assert (report.sizes.height.max, report.sizes.elongated.examples) == (400, ("crane/turned.jpg",))
    assert report.sizes.smaller_than[64] == 37
    assert [(one.label, one.num_images) for one in report.images_per_label.most[:1]] == [("crane", 13)]
    assert (report.images_per_label.min, report.images_per_label.median) == (8, 8)


def test_names_that_are_not_utf8_are_shown_as_text(root: Path) -> None:
    name = os.fsencode(root / "crane") + b"/caf\xe9.jpg"
    shutil.copyfile(root / "heron" / "001.jpg", os.fsdecode(name))
    (root / "heron" / "a\nb.jpg").write_text("no picture")
    report = check(root, {"by": "all"}).report
    assert report.duplicate_images is not None
    assert report.duplicate_images.exact.examples[0][0].path == "crane/caf\\xe9.jpg"
    assert report.unreadable[0].examples == ("heron/a\\nb.jpg",)
    report.model_dump_json().encode()


@pytest.mark.image_input(
    SECTION,
    "copies of measured or training images, and of each other, in an unlabelled folder",
    "copies of measured images are refused, or left out with `duplicates: move`; the report shows all of them",
)
def test_copies_in_an_unlabelled_folder(root: Path, tmp_path: Path, make_images: MakeImages) -> None:
    more = tmp_path / "more"
    (alone, twice) = make_images(more, 2, seed=9)
    shutil.copy(twice, more / "twice.png")
    plain = check(root, unlabelled=(more,))
    for part in ("train", "held_out", "ood"):
        item = next(item for item in plain.image_index if item.part == part)
        shutil.copy(root / item.path, more / f"{part}.png")
    assert refusal(root, unlabelled=(more,)).code == "duplicate_images"
    moved = check(root, unlabelled=(more,), duplicates="move")
    kept = {Path(item.path).name for item in moved.image_index if item.part == "unlabelled"}
    assert kept == {alone.name, twice.name, "twice.png", "train.png"}
    report = moved.report
    assert report.num_images == 32 + 6
    assert report.duplicate_images is not None
    assert (report.duplicate_images.exact.num_groups, report.duplicate_images.exact.num_left_out) == (4, 2)
    shown = {image for group in report.duplicate_images.exact.examples for image in group}
    assert {image.label for image in shown if image.part == "unlabelled"} == {None}
    assert report.images_per_label.max == 8
    assert plain.report.images_per_label.num_labels == 4
