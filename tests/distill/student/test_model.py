"""Student models: width of the head, supported image sizes, initialisation by seed."""

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from distill.student.model import StudentError, build_student


@pytest.mark.parametrize(
    ("name", "image_px"),
    [("resnet10t", 64), ("vit_tiny_patch16_224", 64), ("convnext_atto", 64), ("mobilenetv4_conv_small_050", 96)],
)
def test_features_have_the_width_and_timm_rebuilds_the_model(name: str, image_px: int) -> None:
    student = build_student(name, width=24, image_px=image_px, seed=1)
    assert student.model.training
    rebuilt = timm.create_model(student.name, num_classes=student.width, **student.model_args)
    rebuilt.load_state_dict(student.model.state_dict())
    images = student.normalise(torch.randint(0, 256, (2, 3, image_px, image_px)))
    with torch.no_grad():
        features = student.model.eval()(images)
        assert torch.equal(rebuilt.eval()(images), features)
    assert features.shape == (2, 24)


def test_initialisation_depends_on_the_seed_and_keeps_the_global_random_state() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, same, other = (build_student("resnet10t", width=8, image_px=64, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    weights = [student.model.state_dict()["conv1.0.weight"] for student in (one, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_normalise_uses_the_mean_and_std_of_timm() -> None:
    student = build_student("resnet10t", width=8, image_px=64, seed=0)
    black, white = torch.zeros(1, 3, 2, 2), torch.full((1, 3, 2, 2), 255.0)
    mean, std = torch.tensor(student.mean), torch.tensor(student.std)
    torch.testing.assert_close(student.normalise(black)[0, :, 0, 0], -mean / std)
    torch.testing.assert_close(student.normalise(white)[0, :, 0, 0], (1 - mean) / std)
    assert student.preprocess()["mean"] == [0.485, 0.456, 0.406]


def test_unknown_model_is_refused() -> None:
    with pytest.raises(StudentError, match='no student is called "resnet81"; closest: resnet18'):
        build_student("resnet81", width=8, image_px=64, seed=0)


def test_unsupported_size_is_refused_with_the_default_size() -> None:
    with pytest.raises(StudentError, match=r"edgenext_xx_small does not support images of 24 px .*256"):
        build_student("edgenext_xx_small", width=8, image_px=24, seed=0)


def test_unavailable_pretrained_weights_are_a_student_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(StudentError, match=r"resnet10t.c3_in1k is not on this machine .* check the network"):
        build_student("resnet10t", width=8, image_px=64, seed=0, pretrained=True)


def given(what: str, handling: str) -> pytest.MarkDecorator:
    return pytest.mark.image_input("Students", what, handling)


@given("`image_px` as height and width", "a non-square input; images are squashed to it")
@pytest.mark.parametrize(
    ("name", "size"),
    [("test_resnet", (64, 32)), ("test_vit", (64, 48)), ("test_vit", (160, 160)), ("levit_128s", (64, 96))],
)
def test_input_need_not_be_square(name: str, size: tuple[int, int]) -> None:
    student = build_student(name, width=7, image_px=size, seed=0)
    assert student.preprocess()["size"] == list(size)
    images = student.normalise(torch.randint(0, 256, (2, 3, *size)))
    rebuilt = timm.create_model(student.name, num_classes=7, **student.model_args)
    rebuilt.load_state_dict(student.model.state_dict())
    with torch.no_grad():
        assert torch.equal(rebuilt.eval()(images), student.model.eval()(images))


def test_unsupported_size_that_is_not_square_is_refused_with_the_default_size() -> None:
    with pytest.raises(StudentError, match=r"test_vit does not support images of 64x50 px .*; its default is 160 px"):
        build_student("test_vit", width=7, image_px=(64, 50), seed=0)


@given("`in_chans` 1", "grey input: luma of the decoded image, mean and std weighted alike, recorded for timm")
def test_grey_input_is_the_luma() -> None:
    student = build_student("test_efficientnet", width=7, image_px=32, seed=0, in_chans=1)
    assert student.model_args == {"in_chans": 1}
    assert student.preprocess()["mode"] == "L"
    assert student.mean == (pytest.approx(0.4589, abs=1e-3),)
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    grey = student.normalise(torch.from_numpy(noise).permute(2, 0, 1)[None])
    assert grey.shape == (1, 1, 32, 32)
    of_pillow = torch.from_numpy(np.array(Image.fromarray(noise).convert("L"))) / 255
    torch.testing.assert_close(grey[0, 0] * student.std[0] + student.mean[0], of_pillow, atol=0.51 / 255, rtol=0)
    # A grey image has the same normalised values with both normalisations.
    assert student.model.eval()(grey).shape == (1, 7)


@given("`model_args`", "passed to timm and recorded in the bundle")
def test_model_args_reach_the_model() -> None:
    plain = build_student("test_vit", width=7, image_px=64, seed=0)
    dropping = build_student(
        "test_vit", width=7, image_px=64, seed=0, model_args={"drop_path_rate": 0.5, "init_values": 0.1, "depth": None}
    )
    assert dropping.model_args == {"drop_path_rate": 0.5, "init_values": 0.1, "img_size": 64}
    assert "blocks.0.ls1.gamma" in dropping.model.state_dict()
    assert "blocks.0.ls1.gamma" not in plain.model.state_dict()
    assert any("DropPath" in type(module).__name__ for module in dropping.model.modules())


@given("`model_args` that the model does not have, or that leave no classifier", "refused before any work")
@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"no_such_arg": 1}, r"test_resnet cannot be built with model_args no_such_arg=1: .*unexpected keyword"),
        ({"block": "no_block"}, r"cannot be built with model_args block='no_block'"),
        ({"global_pool": ""}, r"model_args global_pool='': |returns shape .*change model_args"),
        ({"output_stride": 7}, r"cannot be built with model_args output_stride=7"),
    ],
)
def test_wrong_model_args_are_refused_in_one_line(args: dict[str, object], message: str) -> None:
    with pytest.raises(StudentError, match=message) as raised:
        build_student("test_resnet", width=7, image_px=32, seed=0, model_args=args)
    assert "\n" not in str(raised.value)
