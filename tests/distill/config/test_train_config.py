"""Training config: wrong fields are named, and unknown names are reported with the closest ones."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from distill.config.loss_registry import LOSS_TERMS
from distill.config.model_names import UnknownName, check_student, check_teacher
from distill.config.recipes import resolve_train_config
from distill.config.train_config import LossWeights


@pytest.mark.parametrize(
    ("overrides", "field"),
    [
        ({"epoks": 3}, "epoks"),
        ({"epochs": 0}, "epochs"),
        ({"epochs": "ten"}, "epochs"),
        ({"lr": float("nan")}, "lr"),
        ({"losses": {"cls": -1}}, "losses.cls"),
        ({"losses": {"cls": 0, "mse": 0, "im_cst": 0}}, "losses"),
        ({"losses": {"im_cts": 1}}, "losses.im_cts"),
        ({"augmentation": {"crop_scale": [0.9, 0.1]}}, "augmentation.crop_scale"),
        ({"schedule": {"epochs": 0}}, "schedule.epochs"),
        ({"schedule": {"epoks": 3}}, "schedule.epoks"),
        ({"epochs": 0, "data": {"shots": -1}}, "data.shots"),
        ({"view": "other"}, "view"),
        ({"shots": 5}, ""),
        ({"protocol": "fine_tune"}, ""),
        ({"protocol": "closed_set", "losses": {"cls": 1}}, ""),
        ({"losses": {"closed_set": 1}}, ""),
        ({"protocol": "closed_set", "context_tokens": 8}, ""),
        ({"milestones": [60, 30]}, ""),
        ({"batch_size": 10, "accumulate": 3}, ""),
        ({"batch_size": 10, "accumulate": 10}, ""),
        ({"view": "same", "augmentation": {"per": "batch"}}, ""),
    ],
)
def test_wrong_field_is_named(overrides: dict[str, object], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        resolve_train_config("limbeck-small", overrides)
    assert ".".join(str(part) for part in caught.value.errors()[0]["loc"]) == field


def test_unknown_loss_is_reported_with_the_closest_and_fields_match_the_registry() -> None:
    with pytest.raises(ValidationError, match='no loss is called "im_cts"; closest: im_cst'):
        LossWeights.model_validate({"im_cts": 1})
    with pytest.raises(ValidationError, match='"zebra"; there are cls, mse, im_cst'):
        LossWeights.model_validate({"zebra": 1})
    assert list(LossWeights.model_fields) == list(LOSS_TERMS)


def test_unknown_student_is_reported_with_similar_names() -> None:
    with pytest.raises(UnknownName, match='no student is called "resnet81"') as caught:
        check_student("resnet81")
    assert caught.value.kind == "student"
    assert "resnet18" in caught.value.near


@pytest.mark.parametrize(
    ("ref", "path"),
    [
        ("ViT-B-32:openai", None),
        ("hf-hub:apple/MobileCLIP-S1-OpenCLIP", None),
        ("local-dir:teachers/field guide", "teachers/field guide"),
        ("ViT-B-32:my runs/epoch_32.pt", "my runs/epoch_32.pt"),
        ("ViT-B-32:~/w", "~/w"),
        ("ViT-B-32:C:\\w.pt", "C:\\w.pt"),
        ("ViT-B-32:weights.SAFETENSORS", "weights.SAFETENSORS"),
        ("ViT-S-32-alt:weights.npz", "weights.npz"),
        ("xlm-roberta-base-ViT-B-32:laion5b_s13b_b90k", None),
    ],
)
def test_teacher_reference_round_trips(ref: str, path: str | None) -> None:
    parsed = check_teacher(ref)
    assert (str(parsed), parsed.path) == (ref, path)


@pytest.mark.parametrize(
    ("ref", "near"),
    [
        ("ViT-B-32:opanai", "ViT-B-32:openai"),
        ("ViT-B-32", "ViT-B-32:openai"),
        ("ViT-B-23:openai", "ViT-B-32:openai"),
        ("hf-hub:../name", None),
        ("hf-hub:name", None),
        ("local-dir:", None),
        ("ViT-B-23:weights.pt", "ViT-B-32:openai"),
        ("ViT-B-32:a\nb.pt", None),
        ("ViT-S-32-alt:openai", None),
        ("/data/weights.pt", None),
    ],
)
def test_wrong_teacher_reference_is_refused(ref: str, near: str | None) -> None:
    with pytest.raises(UnknownName) as caught:
        check_teacher(ref)
    assert caught.value.kind == "teacher"
    assert near is None or near in caught.value.near


@pytest.mark.image_input(
    "Teachers", "a repository, a folder or a file named without its kind", "refused; the right form is shown"
)
@pytest.mark.parametrize(
    ("ref", "form"),
    [
        ("openai/clip-vit-base-patch32", "write hf-hub:openai/clip-vit-base-patch32"),
        ("tutorial/data/teacher", "write local-dir:tutorial/data/teacher"),
        ("HF_hub:laion/name", "write hf-hub:laion/name"),
        ("Local-Dir:/data/teacher", "write local-dir:/data/teacher"),
        ("/data/teacher", "write local-dir:/data/teacher"),
        ("runs/epoch_3.pt", "as in ViT-B-32:runs/epoch_3.pt"),
    ],
)
def test_teacher_reference_without_its_kind_shows_the_form(ref: str, form: str) -> None:
    with pytest.raises(UnknownName, match=form):
        check_teacher(ref)


@pytest.mark.slow
def test_config_and_image_index_import_without_torch() -> None:
    modules = "distill.config.recipes, distill.data.image_index, distill.cli.arguments"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_setting_hides_no_other_error() -> None:
    given = {"epochz": 2, "lr": -1, "losses": {"foo": 1, "mse": -2}}
    with pytest.raises(ValidationError) as error:
        resolve_train_config("limbeck-small", given)
    assert {one["loc"] for one in error.value.errors()} == {("epochz",), ("lr",), ("losses", "foo"), ("losses", "mse")}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"image_px": 8}, "a whole number of pixels from 16 to 1024, or two of them"),
        ({"image_px": [64]}, "a whole number of pixels from 16 to 1024, or two of them"),
        ({"image_px": [64, 2000]}, "a whole number of pixels from 16 to 1024, or two of them"),
        ({"model_args": {"depth": [1]}}, "give a number, a text of at most 200 characters, true, false or null"),
        ({"model_args": {"num_classes": 3}}, "model_args cannot have num_classes: the width of the teacher sets it"),
        ({"model_args": {"img_size": 64}}, "model_args cannot have img_size: set student.image_px"),
        ({"model_args": {"a b": 1}}, "not a name of an argument"),
        ({"model_args": {"depth": float("nan")}}, "give a finite number"),
        ({"pretrained": True, "weights": "own.pth"}, "are two starts: leave one of them out"),
        (
            {"weights": "own.pth", "protocol": "fine_tune", "shots": 1},
            "starts from a student: leave student.weights out",
        ),
        ({"class_weights": "inverse", "losses": {"cls": 0}}, "class_weights are for the losses cls and closed_set"),
    ],
)
def test_settings_of_the_student_that_do_not_fit_are_one_error(given: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message) as raised:
        resolve_train_config("limbeck-small", given)
    assert raised.value.error_count() == 1


def test_a_square_has_one_form_and_the_path_of_weights_is_no_part_of_the_identity() -> None:
    plain, same = (resolve_train_config("limbeck-small", {"image_px": px}) for px in (64, [64, 64]))
    assert plain == same
    assert resolve_train_config("limbeck-small", {"image_px": [64, 32]}).student.size == (64, 32)
    moved = resolve_train_config("limbeck-small", {"weights": "elsewhere/own.pth"})
    assert moved.identity() == plain.identity()
    assert resolve_train_config("limbeck-small", {"model_args": {"depth": 3}}).identity() != plain.identity()
