"""View features: the teacher gets the student's crop, cached equals live, and another key misses."""

import gc
import shutil
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from distill import Stopped
from distill.config.train_config import Augmentation, TrainConfig
from distill.data.crops import Views, crop_views, sample_shared_views
from distill.data.dataset.scan import scan
from distill.data.decoded_images import DecodedImages, decode_images
from distill.data.image_index import ImageIndex
from distill.data.splits import SPLIT
from distill.hooks import PipelineHooks
from distill.losses.nearest_neighbour import MIXED_IMAGE
from distill.pipeline import training_data
from distill.teacher.teacher import Teacher, TeacherError, load_teacher
from distill.teacher.views.view_features import LiveTeacher, TeacherViews, teacher_inputs, teacher_side_px
from distill.texts.text_targets import encode_text_targets
from distill.texts.text_templates import LabelAttributes, render
from distill.training.distributed import RankGroup
from distill.training.loader import TrainData, ViewEncoding, batches, plan_batches
from distill.training.loop import train
from distill.training.metrics import MetricsLog
from distill.training.training_state import TrainingPosition
from tests.distill.conftest import IMAGE_PX, WIDTH, save_clip, tiny_clip_config
from tests.distill.helpers_train import hooks_stopping_after, small_config

LABELS = ("crane", "heron")
STUDENT_PX = 48
CPU = torch.device("cpu")


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of distinct images in each call of a teacher."""
    counts: list[int] = []
    original = Teacher.encode_images

    def encode_images(self: Teacher, images: torch.Tensor) -> torch.Tensor:
        counts.append(len(torch.unique(images.flatten(1), dim=0)))
        return original(self, images)

    monkeypatch.setattr(Teacher, "encode_images", encode_images)
    return counts


@pytest.fixture
def image_index(tmp_path: Path, make_images: Callable[..., list[Path]]) -> ImageIndex:
    for at, label in enumerate(LABELS):
        make_images(tmp_path / "images" / label, 8, seed=at)
    return scan(tmp_path / "images", LABELS, SPLIT.validate_python({"by": "seed", "id_fraction": 1, "held_out": 0.25}))


@pytest.fixture
def data_of(image_index: ImageIndex, tiny_teacher: Teacher, tmp_path: Path) -> Callable[..., TrainData]:
    targets = encode_text_targets(
        tiny_teacher, [render("names", label, LabelAttributes()) for label in LABELS], cache=None
    )

    def make(config: TrainConfig, teacher: Teacher = tiny_teacher, hooks: PipelineHooks | None = None) -> TrainData:
        return training_data(config, image_index, teacher, targets, cache=tmp_path / "cache", hooks=hooks)

    return make


def config_of(**overrides: Any) -> TrainConfig:
    return small_config(
        **{"view": "same", "num_views": 3, "image_px": STUDENT_PX, "epochs": 4, "batch_size": 4} | overrides
    )


def test_student_gets_the_views_of_the_cached_features(data_of: Callable[..., TrainData]) -> None:
    config = config_of()
    data = encode_all(data_of(config))
    assert data.teacher.shape == (12, 3, WIDTH)
    assert data.views is not None
    assert len(np.unique(data.views.boxes.reshape(-1, 4), axis=0)) > 30
    loaded = list(batches(data, config, 0, CPU))
    rows_of = {data.teacher[row, view].float(): (row, view) for row in range(12) for view in range(3)}
    for step, batch in enumerate(loaded):
        assert batch.views.ops is None
        for feature, box, flip, pixels in zip(
            batch.teacher, batch.views.boxes, batch.views.flips, batch.pixels, strict=True
        ):
            row, view = next(at for cached, at in rows_of.items() if torch.equal(cached, feature))
            assert view == (step // 3) % 3
            assert box.tolist() == data.views.boxes[row, view].tolist()
            assert flip == data.views.flips[row, view]
            np.testing.assert_array_equal(pixels.numpy(), data.pixels[np.array([row])][0])


def test_cached_features_equal_the_live_teacher(data_of: Callable[..., TrainData]) -> None:
    cached = encode_all(data_of(config_of()))
    live = data_of(config_of(view="live"))
    assert live.teacher.shape == (12, 0, WIDTH)
    assert live.live is not None
    assert cached.views is not None
    rows = np.arange(12)
    for view in range(3):
        views = cached.views.take((rows, view))
        computed = live.live.features(torch.from_numpy(live.live.pixels[rows]), views, cached.pixels.shape[1])
        assert torch.nn.functional.cosine_similarity(computed, cached.teacher[:, view].float()).min() >= 0.999
        assert torch.nn.functional.cosine_similarity(computed, cached.teacher[:, (view + 1) % 3].float()).min() < 0.99


def encode_all(data: TrainData) -> TrainData:
    """The data with all teacher views encoded."""
    assert data.to_encode is not None
    data.to_encode.encode_all()
    return data


def test_views_are_encoded_in_full_batches_when_a_step_needs_them(
    data_of: Callable[..., TrainData], encoded: list[int]
) -> None:
    config = config_of(num_views=6, epochs=8)
    data = data_of(config)
    assert data.to_encode is not None
    assert encoded == []
    seen = batches(data, config, 0, CPU)
    first = next(seen)
    assert first.encoding is not None
    # Of 72 views 32 are encoded before the first of 24 steps; each pass of 3 steps needs 12.
    assert encoded == [32]
    assert first.encoding[::2] == (32, 40)
    steps_with = [step for step, batch in enumerate(seen, start=1) if batch.encoding is not None]
    assert encoded == [32, 32, 8]
    assert steps_with == [8, 16]
    assert not data.to_encode.missing.any()
    again = data_of(config)
    assert again.to_encode is not None
    assert not again.to_encode.missing.any()
    assert torch.equal(again.teacher, data.teacher)
    assert encoded == [32, 32, 8]


def test_features_do_not_depend_on_when_they_are_encoded(
    data_of: Callable[..., TrainData], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of()
    whole = encode_all(data_of(config))
    expected = [batch.teacher for batch in batches(whole, config, 0, CPU)]
    monkeypatch.setattr(TeacherViews, "flush", lambda self: None)
    lazily = data_of(config)
    lazily.to_encode.missing[:] = True  # type: ignore[union-attr]
    lazily.teacher.zero_()
    found = [batch.teacher for batch in batches(lazily, config, 0, CPU)]
    assert torch.equal(torch.stack(found), torch.stack(expected))


def test_only_views_that_the_steps_need_are_encoded(data_of: Callable[..., TrainData], encoded: list[int]) -> None:
    config = config_of(epochs=1, num_views=3, batch_size=8)  # 8 of 12 images fill a batch
    assert data_of(config).teacher.shape[:2] == (12, 1)
    list(batches(data_of(config), config, 0, CPU))
    assert sum(encoded) == 8


def test_a_killed_run_resumes_to_the_bit_with_the_views_that_were_encoded(
    data_of: Callable[..., TrainData], tmp_path: Path, encoded: list[int]
) -> None:
    config = config_of(num_views=6, epochs=8)
    whole = train(config, data_of(config))
    assert sum(encoded) == 72
    shutil.rmtree(tmp_path / "cache")
    encoded.clear()
    with pytest.raises(Stopped):
        train(config, data_of(config), hooks=hooks_stopping_after(9, tmp_path / "state"))
    assert sum(encoded) == 64
    resumed = train(config, data_of(config), resume=tmp_path / "state")
    assert sum(encoded) == 72
    for name, tensor in whole.student.model.state_dict().items():
        assert torch.equal(tensor, resumed.student.model.state_dict()[name]), name


def test_each_rank_encodes_its_own_views_and_finds_those_of_the_others(
    data_of: Callable[..., TrainData], encoded: list[int]
) -> None:
    config = config_of(epochs=9)
    expected = [batch.teacher for batch in batches(encode_all(data_of(config)), config, 0, CPU)]
    one, other = data_of(config), data_of(config)
    for data in (one, other):
        data.to_encode.missing[:] = True  # type: ignore[union-attr]
        data.teacher.zero_()
    encoded.clear()
    ranks = [
        batches(data, config, 0, CPU, RankGroup(rank=rank, world_size=2)) for rank, data in enumerate((one, other))
    ]
    for step, (first, second, whole) in enumerate(zip(*ranks, expected, strict=True)):
        assert torch.equal(torch.cat([first.teacher, second.teacher]), whole)
        if step == 8:  # all 36 views once
            assert sum(encoded) == 36
    assert sum(encoded) == 36


def test_remaining_time_counts_steps_and_missing_views_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("distill.training.metrics.time.monotonic", lambda: now[0])
    config = config_of(epochs=4)
    plan, position = plan_batches(config, 12, 1), TrainingPosition(initial={})
    log = MetricsLog(config, plan, position)
    left = []
    for step in range(1, 13):
        encoding = ViewEncoding(4, 8.0, 32 - 4 * step) if step <= 6 else None
        now[0] += 1.0 + (8.0 if encoding else 0.0)
        position.step = step
        left.append(log.record({"mse": 1.0}, {"mse": 1.0}, lr=0.1, waited_s=0.0, encoding=encoding).eta_s)
    # One second for each step, two for each view; of the eight views left at the end none can be needed.
    assert left[0] == pytest.approx(11 + 28 * 2)
    assert left[5] == pytest.approx(6 + 8 * 2)
    assert left[10] == pytest.approx(1 + 4 * 2)
    assert left[11] == 0.0


def test_live_batches_have_the_teacher_features_of_their_views(
    data_of: Callable[..., TrainData], tiny_teacher: Teacher
) -> None:
    config = config_of(view="live", epochs=1)
    data = data_of(config)
    assert data.live is not None
    for batch in batches(data, config, 0, CPU):
        crops = crop_views(batch.pixels, batch.views, STUDENT_PX)
        resized = torch.nn.functional.interpolate(crops, size=(IMAGE_PX, IMAGE_PX), mode="bilinear", antialias=True)
        mean, std = (torch.tensor(tiny_teacher.preprocess[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
        expected = tiny_teacher.encode_images((resized / 255 - mean) / std)
        # Resized by another method, so similar but not equal.
        assert torch.nn.functional.cosine_similarity(expected, batch.teacher).min() > 0.98
    result = train(config, data)
    assert result.steps == 3


def test_teacher_inputs_have_the_size_and_normalisation_of_the_teacher(tiny_teacher: Teacher) -> None:
    pixels = torch.randint(0, 256, (1, IMAGE_PX, IMAGE_PX, 3), dtype=torch.uint8)
    whole = Views(np.array([[0, 0, STUDENT_PX, STUDENT_PX]]), np.array([False]))
    inputs = teacher_inputs(tiny_teacher, pixels, whole, STUDENT_PX)
    torch.testing.assert_close(inputs[0], tiny_teacher.prepare(Image.fromarray(pixels[0].numpy())), atol=1e-4, rtol=0)
    half = Views(np.array([[0, 0, STUDENT_PX // 2, STUDENT_PX]]), np.array([True]))
    left = teacher_inputs(tiny_teacher, pixels, half, STUDENT_PX)
    torch.testing.assert_close(left[0, :, :, 0], inputs[0, :, :, IMAGE_PX // 2 - 1], atol=0.2, rtol=0)
    assert teacher_side_px(tiny_teacher) == IMAGE_PX


def test_a_teacher_of_oblong_pictures_is_refused(tmp_path: Path) -> None:
    config = tiny_clip_config()
    config["vision_cfg"]["image_size"] = [32, 48]
    oblong = load_teacher(f"local-dir:{save_clip(tmp_path / 'oblong', config)}")
    with pytest.raises(TeacherError, match="set view to center"):
        teacher_side_px(oblong)


@pytest.fixture
def pack(tmp_path: Path, make_images: Callable[..., list[Path]]) -> DecodedImages:
    return decode_images(make_images(tmp_path / "pictures", 20), IMAGE_PX, cache=tmp_path / "cache")


def views_of(pack: DecodedImages, seed: int = 0, num_views: int = 2, **augmentation: Any) -> Views:
    return sample_shared_views(
        seed, pack.contents, num_views=num_views, image_px=IMAGE_PX, augmentation=Augmentation(**augmentation)
    )


def features_of(
    teacher: Teacher, pack: DecodedImages, views: Views, cache: Path, hooks: PipelineHooks | None = None
) -> torch.Tensor:
    of_teacher = TeacherViews(teacher, pack.pixels, pack.contents, pack.usable(), views, image_px=IMAGE_PX, cache=cache)
    return of_teacher.encode_all(hooks)


def test_cached_features_hit_and_any_change_of_the_key_misses(
    tiny_teacher: Teacher, pack: DecodedImages, tmp_path: Path, encoded: list[int]
) -> None:
    views, cache = views_of(pack), tmp_path / "features"
    first = features_of(tiny_teacher, pack, views, cache)
    assert sum(encoded) == 40
    encoded.clear()
    assert torch.equal(features_of(tiny_teacher, pack, views, cache), first)
    assert encoded == []
    more = features_of(tiny_teacher, pack, views_of(pack, num_views=3), cache)
    assert sum(encoded) == 20
    assert torch.equal(more[:, :2], first)

    retrained = load_teacher(f"local-dir:{save_clip(tmp_path / 'other', tiny_clip_config(), seed=5)}")
    mean = {"mean": [0.6, 0.5, 0.4]}
    other_mean = load_teacher(f"local-dir:{save_clip(tmp_path / 'light', tiny_clip_config(), preprocess=mean)}")
    other_files = DecodedImages(pack.pixels, pack.bad, pack.digest, pack.contents ^ 1)
    for teacher, images, other_views in (
        (retrained, pack, views),
        (other_mean, pack, views),
        (tiny_teacher, other_files, views),
        (tiny_teacher, pack, views_of(pack, seed=1)),
        (tiny_teacher, pack, views_of(pack, crop_scale=(0.1, 0.2))),
        (tiny_teacher, pack, Views(views.boxes, ~views.flips)),
    ):
        encoded.clear()
        features_of(teacher, images, other_views, cache)
        assert sum(encoded) >= 38  # all but whole images sampled twice


def test_views_that_wait_for_the_cache_hold_no_pixels(
    tiny_teacher: Teacher, pack: DecodedImages, tmp_path: Path
) -> None:
    """An array shares its memory with the tensor, and with every slice of it: it lives as long as one of them does."""
    views = TeacherViews(
        tiny_teacher, pack.pixels, pack.contents, pack.usable(), views_of(pack), image_px=IMAGE_PX, cache=tmp_path / "c"
    )
    memory = []
    for rows in (np.arange(4), np.arange(4, 8)):
        batch = views.batch(rows, np.zeros(4, dtype=np.int64))
        pixels = batch.pixels.numpy().copy()
        memory.append(weakref.ref(pixels))
        views.encode(replace(batch, pixels=torch.from_numpy(pixels)))
        del batch, pixels
    gc.collect()
    assert not any((tmp_path / "c").rglob("*.safetensors")), "they wait"
    assert all(reference() is None for reference in memory), "the pixels of a batch are still held"
    views.flush()
    again = TeacherViews(
        tiny_teacher, pack.pixels, pack.contents, pack.usable(), views_of(pack), image_px=IMAGE_PX, cache=tmp_path / "c"
    )
    assert int((~again.missing).sum()) == 8


def test_views_depend_on_file_content_and_not_on_other_images(pack: DecodedImages) -> None:
    every = views_of(pack)
    subset = DecodedImages(pack.pixels[5:9], {}, pack.digest, pack.contents[5:9])
    np.testing.assert_array_equal(views_of(subset).boxes, every.boxes[5:9])
    assert len(np.unique(every.boxes.reshape(-1, 4), axis=0)) > 36


def test_stopping_keeps_finished_features(
    tiny_teacher: Teacher, pack: DecodedImages, tmp_path: Path, encoded: list[int]
) -> None:
    progress: list[int] = []
    with pytest.raises(Stopped, match="32 of 40 views"):
        features_of(
            tiny_teacher,
            pack,
            views_of(pack),
            tmp_path / "features",
            hooks=PipelineHooks(
                on_progress=lambda done, total, unit: progress.append(done), should_stop=lambda: progress[-1] > 0
            ),
        )
    encoded.clear()
    features_of(tiny_teacher, pack, views_of(pack), tmp_path / "features")
    assert sum(encoded) == 8


def test_features_that_are_not_finite_are_refused(
    tiny_teacher: Teacher, pack: DecodedImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Teacher, "encode_images", lambda self, images: torch.full((len(images), WIDTH), torch.nan))
    with pytest.raises(TeacherError, match="not finite"):
        features_of(tiny_teacher, pack, views_of(pack), tmp_path / "features")
    live = LiveTeacher(tiny_teacher, pack.pixels)
    with pytest.raises(TeacherError, match="not finite"):
        live.features(torch.from_numpy(pack.pixels[np.arange(20)]), views_of(pack).take((slice(None), 0)), IMAGE_PX)


def test_bad_images_are_excluded(data_of: Callable[..., TrainData], image_index: ImageIndex) -> None:
    broken = image_index.file(image_index.part("train")[4])
    broken.write_bytes(b"not an image")
    bad: list[Path] = []
    for view in ("same", "live"):
        bad.clear()
        data = data_of(config_of(view=view), hooks=PipelineHooks(on_bad_image=lambda path, reason: bad.append(path)))
        assert 4 not in data.usable
        assert len(data.usable) == 11
        assert bad == [broken]


def test_randaugment_is_sampled_for_batches_with_cached_views(data_of: Callable[..., TrainData]) -> None:
    config = config_of(augmentation={"rand_ops": 2})
    data = data_of(config)
    assert data.views is not None
    assert data.views.ops is None
    sampled = [batch.views for batch in batches(data, config, 0, CPU)]
    assert all(views.ops is not None for views in sampled)


def test_augmentation_per_batch_cannot_be_cached_per_image() -> None:
    with pytest.raises(ValueError, match='augmentation is per "batch"'):
        config_of(augmentation={"per": "batch"})


STRONG = {"rand_ops": 2, "colour": 0.4, "erase": 0.5, "teacher": "all"}


def test_a_teacher_that_sees_all_gets_the_strong_view_cached_and_live(data_of: Callable[..., TrainData]) -> None:
    config = config_of(augmentation=STRONG)
    cached, plain = encode_all(data_of(config)), encode_all(data_of(config_of()))
    live = data_of(config_of(augmentation=STRONG, view="live"))
    assert cached.views is not None
    assert cached.views.ops is not None
    assert cached.views.retouching is not None
    assert live.live is not None
    rows = np.arange(12)
    for view in range(3):
        computed = live.live.features(
            torch.from_numpy(live.live.pixels[rows]), cached.views.take((rows, view)), cached.pixels.shape[1]
        )
        assert torch.nn.functional.cosine_similarity(computed, cached.teacher[:, view].float()).min() >= 0.999
    assert torch.nn.functional.cosine_similarity(plain.teacher.float(), cached.teacher.float(), dim=-1).min() < 0.99
    for step, batch in enumerate(batches(cached, config, 0, CPU)):
        assert batch.views.ops is not None
        turn = (step // 3) % 3
        kinds = cached.views.ops.kinds[:, turn].tolist()
        assert all(own in kinds for own in batch.views.ops.kinds.tolist())


def test_strong_views_of_the_student_alone_keep_the_cached_features(data_of: Callable[..., TrainData]) -> None:
    plain = encode_all(data_of(config_of()))
    strong = encode_all(data_of(config_of(augmentation=STRONG | {"teacher": "crop"})))
    assert torch.equal(plain.teacher, strong.teacher)
    for batch in batches(strong, config_of(augmentation=STRONG | {"teacher": "crop"}), 0, CPU):
        assert batch.views.ops is not None
        assert batch.views.retouching is not None
        assert not batch.views.teacher_sees_all


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_the_teacher_sees_the_mixture_and_labels_are_those_of_unmixed_images(
    data_of: Callable[..., TrainData], kind: str
) -> None:
    config = config_of(view="live", mix=kind, epochs=2)
    data, plain = data_of(config), data_of(config_of(view="live"))
    loaded, unmixed = list(batches(data, config, 0, CPU)), list(batches(plain, config_of(view="live"), 0, CPU))
    for batch, other in zip(loaded, unmixed, strict=False):
        assert batch.mixture is not None
        mixed = torch.zeros(4, dtype=torch.bool)
        mixed[torch.from_numpy(batch.mixture.at)] = True
        assert int(mixed.sum()) == 2
        assert (batch.labels[mixed] == -1).all()
        assert (batch.images == other.images.masked_fill(mixed, MIXED_IMAGE)).all()
        assert torch.equal(batch.labels[~mixed], other.labels[~mixed])
        torch.testing.assert_close(batch.teacher[~mixed], other.teacher[~mixed], atol=1e-5, rtol=1e-5)
        assert not torch.allclose(batch.teacher[mixed], other.teacher[mixed], atol=1e-3)
    # Two ranks have the rows of one process.
    for rank in range(2):
        own = list(batches(data, config, 0, CPU, RankGroup(rank=rank, world_size=2)))
        for batch, whole in zip(own, loaded, strict=True):
            rows = slice(2 * rank, 2 * rank + 2)
            assert torch.equal(batch.labels, whole.labels[rows])
            torch.testing.assert_close(batch.teacher, whole.teacher[rows], atol=1e-5, rtol=1e-5)


def test_a_run_with_mixtures_resumes_to_the_bit(data_of: Callable[..., TrainData], tmp_path: Path) -> None:
    config = config_of(view="live", mix="mixup", epochs=2, augmentation=STRONG, accumulate=2)
    data = data_of(config)
    whole = train(config, data)
    with pytest.raises(Stopped):
        train(config, data, hooks=hooks_stopping_after(4, tmp_path / "state"))
    resumed = train(config, data, resume=tmp_path / "state")
    for name, tensor in whole.student.model.state_dict().items():
        assert torch.equal(tensor, resumed.student.model.state_dict()[name]), name


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mix": "mixup"}, "needs a teacher that encodes the mixtures: set view to live"),
        ({"mix": "mixup", "view": "live", "losses": {"mse": 0, "im_cst": 0}}, "is for loss terms without labels"),
        ({"view": "center", "augmentation": {"teacher": "all"}}, "is for the views same and live"),
    ],
)
def test_settings_that_do_not_fit_the_view_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config_of(**settings)
