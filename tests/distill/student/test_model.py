"""Student models: width of the head, supported image sizes, initialisation by seed."""

import pytest
import timm
import torch

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
