"""Every architecture keeps its features through the bundle: built, written, loaded by timm and by open_clip.

The list has the smallest architecture of each module of timm, at 64 px and at its own size. The pairing is loaded by
the code of the model card.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor

from distill.bundle.pairing import PairingLoad
from distill.bundle.student_files import StudentWeights
from distill.bundle.write import write_bundle
from distill.pipeline import bundle_weights
from distill.student.model import StudentError, build_student
from distill.teacher.teacher import Teacher
from distill.texts.text_targets import encode_text_targets
from tests.distill.bundle.cards import programs
from tests.distill.conftest import WIDTH

OF_MODULE = {
    "byoanet": "halonet_h1",
    "byobnet": "test_byobnet",
    "cait": "cait_xxs24_224",
    "coat": "coat_tiny",
    "convit": "convit_tiny",
    "convmixer": "convmixer_768_32",
    "convnext": "test_convnext",
    "cpubone": "cpubone_nano",
    "crossvit": "crossvit_tiny_240",
    "csatv2": "csatv2",
    "cspnet": "cs3darknet_focus_s",
    "cspnext": "cspnext_tiny",
    "davit": "davit_tiny",
    "deit": "deit_tiny_patch16_224",
    "densenet": "densenet121",
    "dla": "dla46x_c",
    "dpn": "dpn48b",
    "edgenext": "edgenext_xx_small",
    "efficientformer": "efficientformer_l1",
    "efficientformer_v2": "efficientformerv2_s0",
    "efficientnet": "test_efficientnet",
    "efficientvim": "efficientvim_m1",
    "efficientvit_mit": "efficientvit_b0",
    "efficientvit_msra": "efficientvit_m0",
    "eva": "vit_tiny_patch16_dinov3_qkvb",
    "fasternet": "fasternet_t0",
    "fastvit": "fastvit_t8",
    "focalnet": "focalnet_tiny_srf",
    "gcvit": "gcvit_xxtiny",
    "ghostnet": "ghostnet_050",
    "hardcorenas": "hardcorenas_b",
    "hgnet": "hgnetv2_b0",
    "hiera": "hiera_tiny_224",
    "hieradet_sam2": "sam2_hiera_tiny",
    "hrnet": "hrnet_w18_small",
    "iformer": "iformer_t",
    "inception_next": "inception_next_atto",
    "inception_resnet_v2": "inception_resnet_v2",
    "inception_v3": "inception_v3",
    "inception_v4": "inception_v4",
    "lcnetv2": "lcnetv2_small",
    "levit": "levit_128s",
    "lowformer": "lowformer_b0",
    "mambaout": "test_mambaout",
    "maxxvit": "test_coatnet",
    "metaformer": "poolformerv2_s12",
    "mlp_mixer": "gmlp_ti16_224",
    "mobilenetv3": "lcnet_035",
    "mobilevit": "mobilevit_xxs",
    "mvitv2": "mvitv2_tiny",
    "nest": "nest_tiny",
    "nextvit": "nextvit_small",
    "nfnet": "test_nfnet",
    "pit": "pit_ti_224",
    "pvt_v2": "pvt_v2_b0",
    "rdnet": "rdnet_tiny",
    "regnet": "regnetx_002",
    "repghost": "repghostnet_050",
    "repvit": "repvit_m1",
    "res2net": "res2next50",
    "resnest": "resnest14d",
    "resnet": "test_resnet",
    "resnetv2": "resnetv2_18",
    "rexnet": "rexnet_100",
    "selecsls": "selecsls42",
    "senet": "legacy_seresnet18",
    "sequencer": "sequencer2d_s",
    "shvit": "shvit_s1",
    "sknet": "skresnet18",
    "starnet": "starnet_s050",
    "swiftformer": "swiftformer_xs",
    "swin_transformer": "swin_tiny_patch4_window7_224",
    "swin_transformer_v2": "swinv2_tiny_window16_256",
    "swin_transformer_v2_cr": "swinv2_cr_tiny_224",
    "tiny_vit": "tiny_vit_5m_224",
    "tnt": "tnt_s_legacy_patch16_224",
    "tresnet": "tresnet_m",
    "twins": "twins_svt_small",
    "visformer": "visformer_tiny",
    "vision_transformer": "test_vit",
    "vision_transformer_hybrid": "vit_tiny_r_s16_p8_224",
    "vision_transformer_relpos": "test_vit_relpos",
    "vitamin": "vitamin_small_224",
    "volo": "volo_d1_224",
    "vovnet": "ese_vovnet19b_slim_dw",
    "xception": "legacy_xception",
    "xception_aligned": "xception41p",
    "xcit": "xcit_nano_12_p8_224",
}
"""Module of timm -> its smallest architecture."""
TOO_LARGE = {
    "beit": "beit_base_patch16_224, 86 million parameters",
    "deepseek_vit": "deepseek_vit_412m, 412 million parameters",
    "gemma4_vit": "gemma4_vit_167m_enc, 167 million parameters",
    "mobilenetv5": "mobilenetv5_base, 81 million parameters",
    "naflexvit": "naflexvit_base_patch16_parfac_gap, 86 million parameters",
    "nasnet": "nasnetalarge, 85 million parameters",
    "pnasnet": "pnasnet5large, 82 million parameters",
    "qwen3_vit": "qwen3_vit_88m, 87 million parameters",
    "vgg": "vgg11, 129 million parameters",
    "vision_transformer_sam": "samvit_base_patch16_224, 86 million parameters",
}
"""Module of timm -> its smallest architecture, which is left out because it has more than 60 million parameters."""
NOT_AT_64_PX = {
    "crossvit_tiny_240",
    "efficientformer_l1",
    "halonet_h1",
    "inception_resnet_v2",
    "inception_v3",
    "inception_v4",
}
"""Architectures that cannot be built for images of 64 px."""
SMALL_PX = 64

QUICK: dict[str, PairingLoad] = {
    "resnet10t": "plain",
    "test_vit": "own_tower",
    "levit_128s": "own_tower",
    "pit_ti_224": "own_tower",
    "gmlp_ti16_224": "own_tower",
    "efficientvit_m0": "own_tower",
}
"""Architecture -> how open_clip loads it at 64 px."""


def with_random_weights(student: StudentWeights) -> StudentWeights:
    """The student with noise in all weights, so that no weight of zero hides another."""
    random = torch.Generator().manual_seed(1)

    def changed(name: str, tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point():
            return tensor
        noise = torch.randn(tensor.shape, generator=random)
        return tensor + 0.1 * noise.abs() if name.endswith("running_var") else tensor + 0.01 * noise

    state = {name: changed(name, tensor) for name, tensor in student.state.items()}
    return StudentWeights(
        name=student.name,
        width=student.width,
        state=state,
        preprocess=student.preprocess,
        model_args=student.model_args,
    )


def check_bundle(name: str, image_px: int, teacher: Teacher, out: Path, monkeypatch: pytest.MonkeyPatch) -> PairingLoad:
    """Write the bundle of a student, load it back, and compare features; returns how open_clip loads it."""
    built = build_student(name, width=WIDTH, image_px=image_px, seed=0)
    student = with_random_weights(bundle_weights(built))
    built.model.load_state_dict(dict(student.state))
    images = torch.randn(2, 3, image_px, image_px, generator=torch.Generator().manual_seed(2))
    (out.parent / "log.jsonl").write_text("")
    written = write_bundle(
        out,
        student=student,
        teacher=teacher,
        targets=encode_text_targets(teacher, [["a photo of a crane"]], cache=None),
        labels=[{"label": "crane"}],
        evaluation={"text": "names", "id": None, "ood": None},
        training_log=out.parent / "log.jsonl",
        provenance={},
        left_out={"plots": "they do not depend on the student"},
    )
    assert list(written.left_out) == ["plots"]
    code = code_of_the_card(out)
    monkeypatch.chdir(out)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - the code that the model card shows
    with torch.no_grad():
        expected = built.model.eval()(images)
        by_timm = timm.create_model("local-dir:image", pretrained=True).eval()(images)
        by_open_clip = names["model"].encode_image(images)
    assert expected.isfinite().all()
    atol = 1e-5 * float(expected.norm(dim=1).max())
    torch.testing.assert_close(by_timm, expected, rtol=0, atol=atol)
    torch.testing.assert_close(by_open_clip, expected, rtol=0, atol=atol)
    return "own_tower" if "visual.trunk" in code else "plain"


def code_of_the_card(bundle: Path) -> str:
    """The code that loads the pairing, without that which uses it."""
    return programs((bundle / "README.md").read_text(encoding="utf-8"))["open_clip"].partition("image = ")[0]


@pytest.mark.slow
@pytest.mark.image_input(
    "Students",
    "an architecture of timm at another size than its own",
    "its bundle loads in timm and, by the code of its model card, in open_clip",
)
@pytest.mark.parametrize("name", list(QUICK))
def test_small_architectures_keep_their_features(
    name: str, tiny_teacher: Teacher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check_bundle(name, SMALL_PX, tiny_teacher, tmp_path / "bundle", monkeypatch) == QUICK[name]


def test_every_module_of_timm_is_in_a_list() -> None:
    assert sorted(timm.list_modules()) == sorted({**OF_MODULE, **TOO_LARGE})
    assert all(name in timm.list_models(module=module) for module, name in OF_MODULE.items())


def sizes(lists: Mapping[str, str]) -> list[Any]:
    return [
        pytest.param(name, image_px, id=f"{module}-{name}-{image_px}")
        for module, name in lists.items()
        for image_px in (SMALL_PX, timm.get_pretrained_cfg(name).input_size[-1])
    ]


@pytest.mark.nightly
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("name", "image_px"), sizes(OF_MODULE))
def test_one_architecture_of_each_module_keeps_its_features(
    name: str, image_px: int, tiny_teacher: Teacher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if image_px == SMALL_PX and name in NOT_AT_64_PX:
        with pytest.raises(StudentError, match="does not support images of 64 px"):
            build_student(name, width=WIDTH, image_px=image_px, seed=0)
        return
    own_px = timm.get_pretrained_cfg(name).input_size[-1]
    loading = check_bundle(name, image_px, tiny_teacher, tmp_path / "bundle", monkeypatch)
    assert image_px != own_px or loading == "plain"
