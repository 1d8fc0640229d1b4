"""Unlabelled images that are nearest to the training images, chosen by the teacher's features."""

import hashlib
from pathlib import Path

import pytest
import torch

from distill.config.train_config import TrainConfig
from distill.data.image_index import ImageIndex, Item
from distill.data.splits import NO_LABEL
from distill.hooks import PipelineHooks
from distill.image_encoding import encode_use, nearest_similarity, training_uses
from distill.pipeline import training_data
from distill.teacher.image_features import image_features
from distill.teacher.teacher import Teacher
from distill.texts.text_targets import TextTargets
from tests.distill.helpers_train import small_config


def config(**overrides: object) -> TrainConfig:
    return small_config(num_workers=2, **overrides)


@pytest.fixture
def with_pool(image_index: ImageIndex) -> ImageIndex:
    """The unseen images as unlabelled ones, and one copy of a training image at the end."""
    copy = Path(image_index.root) / "copy.png"
    copy.write_bytes(image_index.file(image_index.part("train")[5]).read_bytes())
    items = [item._replace(part="unlabelled", label=NO_LABEL) if item.part == "ood" else item for item in image_index]
    return ImageIndex.of(image_index.root, image_index.labels, [*items, Item("copy.png", NO_LABEL, "unlabelled")])


@pytest.mark.parametrize("view", ["center", "same"])
def test_the_nearest_unlabelled_images_are_trained_on(
    with_pool: ImageIndex, targets: TextTargets, tiny_teacher: Teacher, tmp_path: Path, view: str
) -> None:
    cache = tmp_path / "cache"
    data = training_data(config(unlabelled_nearest=5, view=view), with_pool, tiny_teacher, targets, cache=cache)
    assert len(data.unlabelled) == 5
    assert len(data.usable) == 12 + 5
    trained, pool = with_pool.part("train"), with_pool.part("unlabelled")
    features = image_features(tiny_teacher, [with_pool.file(row) for row in [*trained, *pool]], cache=cache).features
    features = torch.nn.functional.normalize(features, dim=1)
    similarity = (features[len(trained) :] @ features[: len(trained)].T).amax(dim=1)
    nearest = sorted(similarity.argsort(descending=True)[:5].tolist())
    assert nearest[-1] == len(pool) - 1  # the copy
    chosen = [with_pool.file(pool[at]) for at in nearest]
    assert data.contents is not None
    assert [bytes(row) for row in data.contents[data.unlabelled]] == [bytes(_digest(path)) for path in chosen]


def _digest(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


def test_all_are_used_if_there_are_no_more_than_wanted(
    with_pool: ImageIndex, targets: TextTargets, tiny_teacher: Teacher, tmp_path: Path
) -> None:
    cache, pool = tmp_path / "cache", with_pool.part("unlabelled")
    all_of_them = training_data(config(), with_pool, tiny_teacher, targets, cache=cache)
    data = training_data(config(unlabelled_nearest=len(pool)), with_pool, tiny_teacher, targets, cache=cache)
    assert data.unlabelled.tolist() == all_of_them.unlabelled.tolist()
    assert data.digests == all_of_them.digests


def test_an_unusable_image_is_not_chosen(
    with_pool: ImageIndex, targets: TextTargets, tiny_teacher: Teacher, tmp_path: Path
) -> None:
    (Path(with_pool.root) / "copy.png").write_bytes(b"no picture")
    data = training_data(config(unlabelled_nearest=3), with_pool, tiny_teacher, targets, cache=tmp_path / "cache")
    assert len(data.unlabelled) == 3


def test_features_parts_encode_whole_images_where_the_training_chooses(with_pool: ImageIndex) -> None:
    pool = set(with_pool.part("unlabelled"))
    crops, whole = training_uses(config(view="same", unlabelled_nearest=2), with_pool)
    assert pool.isdisjoint(crops.rows.tolist())
    assert pool | set(with_pool.part("train")) <= set(whole.rows.tolist())
    all_crops, all_whole = training_uses(config(view="same"), with_pool)
    assert pool <= set(all_crops.rows.tolist())
    assert pool.isdisjoint(all_whole.rows.tolist())


def test_nearest_similarity_in_blocks() -> None:
    random = torch.Generator().manual_seed(0)
    one, other = torch.randn(7, 5, generator=random), torch.randn(4, 5, generator=random)
    expected = torch.nn.functional.cosine_similarity(one[:, None], other[None], dim=-1).amax(dim=1)
    torch.testing.assert_close(nearest_similarity(one, other, rows_at_once=3), expected)
    assert nearest_similarity(one, other[:0]).tolist() == [-1.0] * 7


def test_a_features_part_encodes_the_strong_views_that_the_training_uses(
    with_pool: ImageIndex, targets: TextTargets, tiny_teacher: Teacher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    augmentation = {"rand_ops": 1, "colour": 0.3, "erase": 0.5, "teacher": "all"}
    strong = config(view="same", num_views=2, augmentation=augmentation)
    use, _ = training_uses(strong, with_pool)
    paths = [with_pool.file(row) for row in use.rows.tolist()]
    encode_use(use, tiny_teacher, paths, cache=tmp_path / "cache", hooks=PipelineHooks())
    to_encode = training_data(strong, with_pool, tiny_teacher, targets, cache=tmp_path / "other").to_encode
    assert to_encode is not None
    expected = to_encode.encode_all()

    def fail(*_arguments: object) -> None:
        raise AssertionError("encoded again")

    monkeypatch.setattr(Teacher, "encode_images", fail)
    found = training_data(strong, with_pool, tiny_teacher, targets, cache=tmp_path / "cache")
    torch.testing.assert_close(found.teacher, expected, atol=2e-3, rtol=2e-3)
