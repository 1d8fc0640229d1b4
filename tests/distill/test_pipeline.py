"""Pipeline: training data, unusable images, views, and evaluations of students and teachers."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from webdataset import TarWriter

from distill.config.train_config import TrainConfig
from distill.data.dataset.scan import scan, scan_dataset
from distill.data.dataset.trained_on import Prefixes, TrainedOn, image_prefixes
from distill.data.decoded_images import decode_images
from distill.data.few_shot import support_rows
from distill.data.image_index import ImageIndex
from distill.data.image_source import ImageSource
from distill.data.image_store import file_digests
from distill.data.shards import read_image
from distill.data.splits import SPLIT, Part
from distill.evaluation import none_of_these
from distill.evaluation.agreement import agreement
from distill.evaluation.epochs import measure_epochs
from distill.evaluation.further import Further, FurtherMeasurement, FurtherSets, MeasuredFeatures, RetrievalParts
from distill.hooks import PipelineHooks
from distill.pipeline import (
    MeasureOptions,
    NoImages,
    check_start,
    measure_student,
    measure_teacher,
    training_contents,
    training_data,
)
from distill.student.features import student_features
from distill.student.init_from_bundle import InitialStudentError
from distill.student.model import build_student
from distill.teacher.image_features import image_features
from distill.teacher.teacher import Teacher
from distill.texts.text_targets import TextTargets, encode_text_targets
from distill.training.loader import batches
from tests.distill.data.file_uses import FileUses
from tests.distill.examples import LABELS, SPLIT_BY_LIST
from tests.distill.helpers_train import small_config


def config(**overrides: object) -> TrainConfig:
    return small_config(num_workers=2, **overrides)


def test_training_data_has_training_images_and_id_labels_only(
    image_index: ImageIndex, targets: TextTargets, tiny_teacher: Teacher, tmp_path: Path
) -> None:
    data = training_data(config(), image_index, tiny_teacher, targets, cache=tmp_path / "cache")
    assert data.pixels.shape == (12, 32, 32, 3)
    assert torch.equal(data.texts, targets.features[[1, 3]])
    names = [image_index.paths[row].split("/")[0] for row in image_index.part("train")]
    assert names == [["crane", "red_finch"][label] for label in data.labels]
    paths = [image_index.file(row) for row in image_index.part("train")]
    expected = image_features(tiny_teacher, paths, cache=tmp_path / "other").features
    torch.testing.assert_close(data.teacher[:, 0].float(), expected)
    assert data.usable.tolist() == list(range(12))


def test_digests_change_with_their_inputs(
    image_index: ImageIndex, targets: TextTargets, tiny_teacher: Teacher, tmp_path: Path
) -> None:
    given = {"cache": tmp_path / "cache"}
    data = training_data(config(), image_index, tiny_teacher, targets, **given)
    assert training_data(config(), image_index, tiny_teacher, targets, **given).digests == data.digests
    other = encode_text_targets(tiny_teacher, [[f"a drawing of {label}"] for label in LABELS], cache=None)
    changed = training_data(config(image_px=48), image_index, tiny_teacher, other, **given).digests
    assert {name for name in changed if changed[name] != data.digests[name]} == {"pictures", "texts"}


@pytest.mark.image_input(
    "Splits and evaluation",
    "an initial student that was trained on labels or images which the run would measure",
    "refused before the training, with the labels or the number of images",
)
def test_a_run_measures_nothing_that_its_initial_student_was_trained_on(
    image_index: ImageIndex, tmp_path: Path
) -> None:
    def check(trained_on: TrainedOn, **settings: object) -> None:
        check_start(trained_on, config(**settings), image_index, cache=tmp_path / "cache")

    def contents(part: Part) -> Prefixes:
        files = [image_index.file(row) for row in image_index.part(part)]
        return image_prefixes(file_digests(files, cache=tmp_path / "cache", num_workers=2, hooks=PipelineHooks()))

    id_labels = tuple(LABELS[label] for label in image_index.id_labels)
    check(TrainedOn(id_labels, contents("train")))
    check(TrainedOn((), None))
    unseen = LABELS[image_index.ood_labels[0]]
    with pytest.raises(InitialStudentError, match=f'1 of 2 unseen labels are not unseen.*"{unseen}"'):
        check(TrainedOn((unseen,), contents("train")))
    with pytest.raises(InitialStudentError, match=r"trained on 4 of the \d+ images to measure: give the split"):
        check(TrainedOn(id_labels, contents("held_out")))
    few = contents("ood")[:1]  # trained on again by a run of few shots, and not measured
    check(TrainedOn(id_labels, few), protocol="fine_tune", shots=1)
    with pytest.raises(InitialStudentError, match="trained on 1 of"):
        check(TrainedOn(id_labels, few))


def test_teacher_features_depend_on_the_view(
    image_index: ImageIndex, targets: TextTargets, tiny_teacher: Teacher, tmp_path: Path
) -> None:
    center, squash = (
        training_data(config(view=view), image_index, tiny_teacher, targets, cache=tmp_path / "cache").teacher
        for view in ("center", "squash")
    )
    assert not torch.equal(center, squash)


def test_unusable_images_are_reported_once_and_excluded(
    image_index: ImageIndex, targets: TextTargets, tiny_teacher: Teacher, tmp_path: Path
) -> None:
    broken = image_index.file(image_index.part("train")[4])
    broken.write_bytes(b"no picture")
    reported: list[Path] = []
    hooks = PipelineHooks(on_bad_image=lambda path, reason: reported.append(path))
    data = training_data(config(), image_index, tiny_teacher, targets, cache=tmp_path / "cache", hooks=hooks)
    assert 4 not in data.usable
    assert len(data.usable) == 11
    assert reported == list(hooks.bad_images) == [broken]


def test_usable_images_of_one_label_are_an_error(
    image_index: ImageIndex, targets: TextTargets, tiny_teacher: Teacher, tmp_path: Path
) -> None:
    """The images of the others were damaged after the registration, or never opened."""
    trained = image_index.part("train")
    for row in trained:
        if image_index.label_indices[row] != image_index.label_indices[trained[0]]:
            image_index.file(row).write_bytes(b"no picture")
    with pytest.raises(NoImages, match="all of one label: training needs at least two labels"):
        training_data(config(), image_index, tiny_teacher, targets, cache=tmp_path / "cache")


def test_no_usable_image_is_an_error(
    image_index: ImageIndex, targets: TextTargets, tiny_teacher: Teacher, tmp_path: Path
) -> None:
    for row in range(len(image_index)):
        image_index.file(row).write_bytes(b"no picture")
    student = build_student("test_resnet", width=32, image_px=32, seed=0)
    with pytest.raises(NoImages, match="0 of 12 training images"):
        training_data(config(), image_index, tiny_teacher, targets, cache=tmp_path / "cache")
    with pytest.raises(NoImages, match="none of the 20 images"):
        measure_student(
            student, image_index, targets, "names", MeasureOptions(temperature=0.07), cache=tmp_path / "cache"
        )


def test_evaluations_use_held_out_and_ood_images(
    image_index: ImageIndex, targets: TextTargets, tiny_teacher: Teacher, tmp_path: Path
) -> None:
    student = build_student("test_resnet", width=32, image_px=32, seed=0)
    units: list[str] = []
    hooks = PipelineHooks(on_progress=lambda done, total, unit: units.append(unit))
    of_student = measure_student(
        student, image_index, targets, "names", MeasureOptions(temperature=0.07), cache=tmp_path / "cache", hooks=hooks
    )
    of_teacher = measure_teacher(tiny_teacher, image_index, targets, "names", cache=tmp_path / "cache")
    assert set(units) == {"pictures", "images"}
    for evaluation in (of_student, of_teacher):
        assert evaluation.id is not None
        assert evaluation.ood is not None
        assert (evaluation.id.num_images, evaluation.ood.num_images) == (4, 16)
        assert set(evaluation.id.per_label) == {"crane", "red finch"}
        assert set(evaluation.ood.per_label) == {"blue jay", "heron"}


@pytest.mark.parametrize("of_bundle", [None, 0.25])
def test_unknown_images_are_judged_by_the_threshold_of_the_bundle(
    of_bundle: float | None,
    image_index: ImageIndex,
    targets: TextTargets,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used: list[float | None] = []

    def measure(self: FurtherMeasurement, known: MeasuredFeatures) -> Further:
        used.append(known.threshold)
        return Further(domains=None, corruptions=None, recall=RetrievalParts(id=None, ood=None), open_set=None)

    monkeypatch.setattr(FurtherMeasurement, "measure", measure)
    monkeypatch.setattr(none_of_these, "MIN_IMAGES", 4)
    student = build_student("test_resnet", width=32, image_px=32, seed=0)
    options = MeasureOptions(temperature=0.07, further=FurtherSets(threshold=of_bundle))
    found = measure_student(student, image_index, targets, "names", options, cache=tmp_path / "cache")
    assert found.none_of_these is not None
    assert used == [of_bundle or found.none_of_these.threshold]
    assert [one["score"] for one in found.as_json()["none_of_these_by_score"].values()] == ["energy"]


@pytest.mark.image_input(
    "Splits and evaluation",
    "files that become unreadable after the check, also all files of a label",
    "they are left out; chance counts the labels that still have an image",
)
def test_chance_counts_labels_with_a_usable_image(
    image_index: ImageIndex, targets: TextTargets, tiny_teacher: Teacher, tmp_path: Path
) -> None:
    heron, crane = LABELS.index("heron"), LABELS.index("crane")
    for row, item in enumerate(image_index):
        if item.label == heron or (item.label == crane and item.part == "held_out"):
            image_index.file(row).write_bytes(b"no picture")
    student = build_student("test_resnet", width=32, image_px=32, seed=0)
    of_student = measure_student(
        student, image_index, targets, "names", MeasureOptions(temperature=0.07), cache=tmp_path / "cache"
    )
    of_teacher = measure_teacher(tiny_teacher, image_index, targets, "names", cache=tmp_path / "cache")
    for evaluation in (of_student, of_teacher):
        assert evaluation.id is not None
        assert evaluation.ood is not None
        assert evaluation.joint is not None
        assert (evaluation.id.num_labels, evaluation.id.chance) == (2, 0.5)  # crane still has images to train on
        assert (evaluation.ood.num_labels, evaluation.ood.chance) == (1, 1.0)
        assert evaluation.joint.num_labels == 3


def test_last_epochs_are_evaluated_like_the_final_student(
    image_index: ImageIndex, targets: TextTargets, tiny_teacher: Teacher, tmp_path: Path
) -> None:
    student = build_student("test_resnet", width=32, image_px=32, seed=0)
    given = {"cache": tmp_path / "cache"}
    image_index.file(image_index.part("ood")[0]).write_bytes(b"no picture")
    calls: list[str] = []
    hooks = PipelineHooks(
        on_progress=lambda done, total, unit: calls.append(unit), on_bad_image=lambda path, reason: calls.append(reason)
    )
    short_config = config(epochs=4, measured_epochs=2, device="cpu")
    on_epoch = measure_epochs(short_config, image_index, tiny_teacher, targets, "names", hooks=hooks, **given)
    assert set(calls) == {"pictures", "images"}
    calls.clear()
    assert (
        measure_epochs(config(measured_epochs=0), image_index, tiny_teacher, targets, "names", **given)(
            9, student, None
        )
        is None
    )
    assert on_epoch(2, student, None) is None
    whole = measure_student(
        student, image_index, targets, "names", MeasureOptions(temperature=0.07, device="cpu"), **given
    )
    assert on_epoch(3, student, None) == whole.summary()
    assert whole.joint is not None
    assert whole.summary()["accuracy"]["harmonic_mean"] == whole.joint.harmonic_mean
    assert calls == []
    assert hooks.bad_images == {}


def test_agreement_with_a_given_teacher_is_measured(
    image_index: ImageIndex, targets: TextTargets, tiny_teacher: Teacher, tmp_path: Path
) -> None:
    student = build_student("test_resnet", width=32, image_px=32, seed=0)
    cache, rows = tmp_path / "cache", sorted(image_index.part("ood"))
    measured = measure_student(
        student,
        image_index,
        targets,
        "names",
        MeasureOptions(temperature=0.05, device="cpu"),
        cache=cache,
        teacher=tiny_teacher,
    )
    assert measured.ood is not None
    assert measured.ood.calibration.temperature == 0.05
    teacher_features = image_features(tiny_teacher, [image_index.file(row) for row in rows], cache=cache).features
    images = decode_images([image_index.file(row) for row in rows], 32, cache=cache)
    own_features = student_features(student, images.pixels, np.arange(len(rows)), device=torch.device("cpu"))
    expected = agreement(own_features, teacher_features, targets.features[[0, 2]], temperature=0.05)
    assert measured.ood.agreement is not None
    assert measured.ood.agreement.feature_cosine == pytest.approx(expected.feature_cosine, abs=1e-5)
    assert measured.ood.agreement.top_texts_kl == pytest.approx(expected.top_texts_kl, abs=1e-4)


def test_teacher_accuracy_equals_that_of_its_features(
    image_index: ImageIndex, targets: TextTargets, tiny_teacher: Teacher, tmp_path: Path
) -> None:
    rows = image_index.part("ood")
    features = image_features(tiny_teacher, [image_index.file(row) for row in rows], cache=tmp_path / "other").features
    normalised = features / features.norm(dim=1, keepdim=True)
    chosen = np.array([0, 2])[(normalised @ targets.features[[0, 2]].T).argmax(1).numpy()]
    correct = chosen == np.array([image_index.label_indices[row] for row in rows])
    got = measure_teacher(tiny_teacher, image_index, targets, "names", cache=tmp_path / "cache").ood
    assert got is not None
    assert got.accuracy == pytest.approx(correct.mean())


def test_image_index_of_another_machine_is_read_from_root(
    image_index: ImageIndex, targets: TextTargets, tiny_teacher: Teacher, tmp_path: Path
) -> None:
    (tmp_path / "images").rename(tmp_path / "moved")
    data = training_data(
        config(), image_index, tiny_teacher, targets, cache=tmp_path / "cache", root=tmp_path / "moved"
    )
    assert len(data.usable) == 12


def contents_of(image_index: ImageIndex) -> list[bytes]:
    """The contents of the images."""
    return [read_image(image_index.file(at)) for at in range(len(image_index))]


@pytest.mark.parametrize(
    "overrides",
    [
        {"view": "center"},
        {"view": "squash", "num_workers": 5},
        {"view": "same"},
        {"view": "same", "image_px": 48},
        {"view": "live", "image_px": 48},
        {"view": "same", "image_px": [48, 32]},
        {"view": "center", "protocol": "closed_set"},
    ],
)
@pytest.mark.usefixtures("old_files")
def test_each_image_is_read_hashed_and_decoded_once(
    overrides: dict[str, object],
    image_index: ImageIndex,
    targets: TextTargets,
    tiny_teacher: Teacher,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uses = FileUses(contents_of(image_index), monkeypatch)
    run_config = small_config(**{"num_workers": 2, "device": "cpu", **overrides})
    train_rows = set(image_index.part("train"))
    once = [int(row in train_rows) for row in range(len(image_index))]
    data = training_data(run_config, image_index, tiny_teacher, targets, cache=tmp_path / "cache")
    assert uses.take() == {"read": once, "hashed": once, "decoded": once}
    again = training_data(run_config, image_index, tiny_teacher, targets, cache=tmp_path / "cache")
    assert set(itertools.chain(*uses.take().values())) == {0}
    assert torch.equal(data.teacher, again.teacher)
    np.testing.assert_array_equal(data.pixels, again.pixels)


@pytest.mark.image_input(
    "Splits and evaluation",
    "the closed-set baseline on a split that holds out no image",
    "refused before the training: it has no image to evaluate on",
)
@pytest.mark.parametrize("measured_epochs", [0, 1])
def test_an_evaluation_without_images_is_refused_before_the_training(
    measured_epochs: int, image_index: ImageIndex, targets: TextTargets, tiny_teacher: Teacher, tmp_path: Path
) -> None:
    split = {"by": "seed", "id_fraction": 0.5, "held_out": 0}
    all_trained = scan(Path(image_index.root), LABELS, SPLIT.validate_python(split))
    given = {"cache": tmp_path / "cache"}
    measure_epochs(config(measured_epochs=measured_epochs), all_trained, tiny_teacher, targets, "names", **given)
    run_config = config(measured_epochs=measured_epochs, protocol="closed_set")
    with pytest.raises(NoImages, match="no image is left to evaluate on: hold out images"):
        measure_epochs(run_config, all_trained, tiny_teacher, targets, "names", **given)


@pytest.mark.parametrize("measured_epochs", [0, 1])
@pytest.mark.usefixtures("old_files")
def test_each_image_to_evaluate_on_is_read_hashed_and_decoded_once(
    measured_epochs: int,
    image_index: ImageIndex,
    targets: TextTargets,
    tiny_teacher: Teacher,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uses = FileUses(contents_of(image_index), monkeypatch)
    cache, run_config = tmp_path / "cache", config(measured_epochs=measured_epochs, device="cpu")
    train_rows = set(image_index.part("train"))
    once = [int(row not in train_rows) for row in range(len(image_index))]
    measure_epochs(run_config, image_index, tiny_teacher, targets, "names", cache=cache)
    student = build_student("test_resnet", width=32, image_px=32, seed=0)
    options = MeasureOptions(temperature=0.07, device="cpu")
    measure_student(student, image_index, targets, "names", options, cache=cache, teacher=tiny_teacher)
    measure_teacher(tiny_teacher, image_index, targets, "names", cache=cache)
    assert uses.take() == {"read": once, "hashed": once, "decoded": once}


@pytest.mark.usefixtures("old_files")
def test_each_image_of_a_shard_is_read_hashed_and_decoded_once(
    image_index: ImageIndex,
    targets: TextTargets,
    tiny_teacher: Teacher,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "shards"
    folder.mkdir()
    with TarWriter(str(folder / "birds-000.tar")) as writer:
        for at, item in enumerate(image_index):
            content = image_index.file(at).read_bytes()
            writer.write({"__key__": f"{at:04d}", "png": content, "cls": LABELS[item.label]})
    in_shards = scan(folder, LABELS, SPLIT.validate_python({"by": "seed", "id_fraction": 1, "held_out": 0.25}))
    uses = FileUses(contents_of(in_shards), monkeypatch)
    once = [int(item.part == "train") for item in in_shards]
    all_targets = encode_text_targets(tiny_teacher, [[f"a photo of {label}"] for label in LABELS], cache=None)
    training_data(config(), in_shards, tiny_teacher, all_targets, cache=tmp_path / "cache")
    assert uses.take() == {"read": once, "hashed": once, "decoded": once}


def test_unlabelled_images_are_decoded_and_encoded_but_have_no_label(
    image_index: ImageIndex,
    targets: TextTargets,
    tiny_teacher: Teacher,
    make_images: Callable[..., list[Path]],
    tmp_path: Path,
) -> None:
    paths = make_images(tmp_path / "images" / "extra" / "deep", 5, seed=9)
    with TarWriter(str(tmp_path / "images" / "extra" / "more.tar")) as shard:
        for at, path in enumerate(make_images(tmp_path / "unpacked", 2, seed=10)):
            shard.write({"__key__": f"{at:04d}", path.suffix[1:]: path.read_bytes()})
    assert len(paths) == 5
    split = SPLIT.validate_python(SPLIT_BY_LIST)
    found = scan_dataset(tmp_path / "images", LABELS, split, unlabelled=[tmp_path / "images" / "extra"]).image_index
    assert found.counts == {**image_index.counts, "unlabelled": 7}
    data = training_data(config(), found, tiny_teacher, targets, cache=tmp_path / "cache")
    assert data.unlabelled.tolist() == list(range(12, 19))
    assert data.labels[12:].tolist() == [-1] * 7
    assert torch.isfinite(data.teacher[12:]).all()
    assert len(data.trained_contents()) == 19
    recorded = training_contents(config(), found, cache=tmp_path / "cache")
    assert sorted(recorded) == sorted(image_prefixes(data.trained_contents()))
    Path(found.root, found.paths[found.part("train")[0]]).unlink()
    assert len(training_contents(config(), found, cache=tmp_path / "cache")) == 18
    only_cls = config(losses={"cls": 1, "mse": 0, "im_cst": 0})
    with pytest.raises(ValueError, match="7 images have no label, .* cls need one: give one of mse, im_cst"):
        training_data(only_cls, found, tiny_teacher, targets, cache=tmp_path / "cache")


def test_background_reaches_every_use_of_an_image(
    image_index: ImageIndex, targets: TextTargets, tiny_teacher: Teacher, tmp_path: Path
) -> None:
    """Teacher, student, evaluation and support images see transparent parts on the background of the config."""
    for at in range(len(image_index)):
        path = image_index.file(at)
        Image.new("RGBA", (40, 30), (0, 255, 0, 0)).save(path, "PNG")
    cache, found = tmp_path / "cache", {}
    for colour in ("#ffffff", "#c00000"):
        for view in ("center", "same"):
            data = training_data(config(background=colour, view=view), image_index, tiny_teacher, targets, cache=cache)
            assert [f"{value:02x}" for value in data.pixels[0, 5, 5].tolist()] == [colour[1:3], colour[3:5], colour[5:]]
            found[colour, view] = next(batches(data, config(view=view), 0, torch.device("cpu"))).teacher
        options = MeasureOptions(temperature=0.07, device="cpu", shots=1, retrieve=True)
        found[colour, "student"] = measure_student(
            build_student("test_resnet", width=32, image_px=32, seed=0, background=colour),
            image_index,
            targets,
            "names",
            options,
            cache=cache,
            teacher=tiny_teacher,
        ).as_json()
        of_teacher = measure_teacher(tiny_teacher, image_index, targets, "names", cache=cache, background=colour)
        found[colour, "teacher"] = of_teacher.as_json()
    for use in ("center", "same"):
        assert not torch.equal(found["#ffffff", use], found["#c00000", use])
    for use in ("student", "teacher"):
        assert found["#ffffff", use] != found["#c00000", use]


def test_images_with_several_labels_are_measured_once_and_leave_the_test_set_as_support(
    targets: TextTargets, tiny_teacher: Teacher, tmp_path: Path, make_images: Callable[..., list[Path]]
) -> None:
    images = [path.name for path in make_images(tmp_path / "images", 16)]
    rows = [f"{name},{LABELS[at % 4]}|{LABELS[(at + 2) % 4]}" for at, name in enumerate(images[:8])]
    rows += [f"{name},{LABELS[at % 4]}" for at, name in enumerate(images[8:])]
    (tmp_path / "images" / "t.csv").write_text("image,label\n" + "\n".join(rows))
    source = ImageSource(label_separator="|", several_labels="each")
    split = SPLIT.validate_python({"by": "list", "id": LABELS[1::2], "ood": LABELS[::2], "held_out": 0.5})
    index = scan_dataset(tmp_path / "images", LABELS, split, None, source).image_index
    ood = [index.paths[row] for row in index.part("ood")]
    assert (len(ood), len(set(ood))) == (12, 8)
    measured = measure_teacher(tiny_teacher, index, targets, "names", cache=tmp_path / "cache")
    assert measured.ood is not None
    assert measured.ood.num_images == 12
    # The first image of each label shows both labels, so that three rows of three images are gone.
    few = measure_teacher(tiny_teacher, index, targets, "names", cache=tmp_path / "cache", shots=1)
    support = {index.paths[row] for row in support_rows(index, 1)}
    assert few.ood is not None
    assert few.ood.num_images == sum(path not in support for path in ood)
