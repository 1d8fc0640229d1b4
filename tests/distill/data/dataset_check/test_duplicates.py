"""Images of the same picture: copies are found, other pictures of the field guide are not, plain images never."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from distill.data.dataset_check import duplicates
from distill.data.dataset_check.duplicates import exact_duplicates, near_duplicates
from distill.data.dataset_check.inspection import THUMBNAIL_BYTES, ImageFacts, inspect_images
from distill.hooks import PipelineHooks
from examples.fieldguide.world import species, species_image

NUM_SPECIES, NUM_EACH = 12, 8


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Pictures of the field guide; those of one species look alike."""
    folder = tmp_path_factory.mktemp("pictures")
    paths = []
    for member in species("train")[:NUM_SPECIES]:
        for number in range(NUM_EACH):
            paths.append(folder / f"{member.folder}-{number}.png")
            Image.fromarray(species_image(member, number, seed=0)).save(paths[-1])
    return paths


def facts_of(paths: list[Path], cache: Path) -> ImageFacts:
    return inspect_images(paths, cache=cache, num_workers=2, hooks=PipelineHooks())


def saved_again(path: Path, folder: Path) -> list[Path]:
    """Copies of an image: other metadata, JPEG, half the size, three times the size, and brighter."""
    image = Image.open(path).convert("RGB")
    exif = Image.Exif()
    exif[0x010E] = "a title"
    width, height = image.size
    copies = [folder / f"{path.stem}-{kind}" for kind in ("exif.png", "q75.jpg", "half.png", "large.jpg", "bright.png")]
    image.save(copies[0], exif=exif)
    image.save(copies[1], quality=75)
    image.resize((width // 2, height // 2), Image.Resampling.BICUBIC).save(copies[2])
    image.resize((width * 3, height * 3), Image.Resampling.LANCZOS).save(copies[3], quality=80)
    image.point(lambda value: min(255, int(value * 1.1))).save(copies[4])
    return copies


@pytest.mark.parametrize("compare_all", [True, False], ids=["compared", "hashed"])
def test_copies_are_found_and_nothing_else(
    pictures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compare_all: bool
) -> None:
    if not compare_all:
        monkeypatch.setattr(duplicates, "COMPARE_ALL", 0)
    paths, expected = list(pictures), []
    for row in range(0, len(pictures), NUM_EACH):
        copies = saved_again(pictures[row], tmp_path)
        expected.append((row, *range(len(paths), len(paths) + len(copies))))
        paths += copies
    found = near_duplicates(facts_of(paths, tmp_path / "cache"))
    if compare_all:
        assert found.groups == expected
    else:  # a copy may be missed, but no other picture is taken for one
        members = [set(group) for group in expected]
        assert all(any(set(group) <= one for one in members) for group in found.groups)
        assert sum(map(len, found.groups)) >= 0.9 * sum(map(len, expected))
    assert (found.num_plain, found.num_not_compared) == (0, 0)


def test_exact_copies_are_groups_by_content(pictures: list[Path], tmp_path: Path) -> None:
    paths = list(pictures[:4])
    for number, source in enumerate((1, 1, 3)):
        paths.append(tmp_path / f"{number}.png")
        paths[-1].write_bytes(pictures[source].read_bytes())
    facts = facts_of(paths, tmp_path / "cache")
    assert exact_duplicates(facts) == [(1, 4, 5), (3, 6)]
    assert near_duplicates(facts).groups == []  # the groups of near duplicates have at least two contents


@pytest.mark.image_input(
    "Duplicates and labels without images",
    "blank and nearly blank images",
    "only the same file counts as a duplicate; they are counted as too plain to compare",
)
def test_plain_images_do_not_look_the_same(tmp_path: Path) -> None:
    paths = []
    for number, colour in enumerate(("white", "white", "black", "red", "#fefefe")):
        paths.append(tmp_path / f"{number}.png")
        Image.new("RGB", (30 + number, 30), colour).save(paths[-1])
    found = near_duplicates(facts_of(paths, tmp_path / "cache"))
    assert (found.groups, found.num_plain) == ([], 5)


def test_the_same_shape_in_another_colour_is_another_picture(tmp_path: Path) -> None:
    luma = np.zeros((40, 40), dtype=np.uint8)
    luma[10:30, 10:30] = 120
    for name, (cb, cr) in {"a": (90, 200), "b": (200, 90)}.items():
        chroma = [np.full_like(luma, value) for value in (cb, cr)]
        Image.fromarray(np.stack([luma + 60, *chroma], axis=-1), "YCbCr").convert("RGB").save(tmp_path / f"{name}.png")
    assert near_duplicates(facts_of([tmp_path / "a.png", tmp_path / "b.png"], tmp_path / "cache")).groups == []


def test_crowded_images_are_counted(pictures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "COMPARE_ALL", 0)
    monkeypatch.setattr(duplicates, "MAX_NEIGHBOURS", 3)
    scene = np.asarray(Image.open(pictures[0])).astype(int)
    random = np.random.default_rng(0)
    copies = [tmp_path / f"{number}.png" for number in range(12)]
    for path in copies:
        noisy = np.clip(scene + random.integers(-1, 2, scene.shape), 0, 255)
        Image.fromarray(noisy.astype(np.uint8)).save(path)
    paths = [*pictures, *copies]
    found = near_duplicates(facts_of(paths, tmp_path / "cache"))
    assert 0 < found.num_not_compared <= 13
    assert found.groups == [(0, *range(len(pictures), len(paths)))]  # connected over the images that were compared


@pytest.mark.image_input(
    "Duplicates and labels without images",
    "thousands of images that all look alike, such as frames of one camera",
    "one group; memory and time are those of other images",
)
@pytest.mark.slow
def test_images_that_all_look_alike_need_little_memory() -> None:
    count, random = 2500, np.random.default_rng(0)
    scene = random.integers(40, 200, THUMBNAIL_BYTES)
    facts = ImageFacts(
        digests=random.integers(0, 256, (count, 32)).astype(np.uint8),
        readable=np.ones(count, dtype=np.bool_),
        reasons={},
        sides_px=np.full((count, 2), 50),
        thumbnails=(scene + random.integers(-3, 4, (count, THUMBNAIL_BYTES))).astype(np.uint8),
        kinds={},
    )
    tracemalloc.start()
    try:
        found = near_duplicates(facts)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.groups == [tuple(range(count))]
    assert peak < 300e6  # the three million pairs alone would take more


def test_no_images_have_no_duplicates(tmp_path: Path) -> None:
    facts = facts_of([tmp_path / "missing.png"], tmp_path / "cache")
    assert facts.reasons == {0: "FileNotFoundError: No such file or directory"}
    assert exact_duplicates(facts) == near_duplicates(facts).groups == []
