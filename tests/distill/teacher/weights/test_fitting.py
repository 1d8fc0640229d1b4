"""Weights load as `open_clip.load_checkpoint` loads them; a misfit names the tensor and the likely model."""

from pathlib import Path
from typing import Any, cast

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from distill.teacher.build_model import build_model
from distill.teacher.clip_model import ClipModel
from distill.teacher.errors import TeacherError
from distill.teacher.weights.fitting import load_tensors, models_like
from tests.distill.conftest import CONTEXT, tiny_clip_config

given = pytest.mark.image_input
State = dict[str, torch.Tensor]


def _model(seed: int, **config: Any) -> ClipModel:
    torch.manual_seed(seed)
    return build_model(cast(Any, {**tiny_clip_config(), **config}), {}, None)


def _vectors(state: State) -> State:
    return {**state, "logit_scale": state["logit_scale"].reshape(1)}


def _with_old_buffers(state: State) -> State:
    return {
        **state,
        "attn_mask": torch.zeros(2, 2),
        "vocab_size": torch.tensor(49408),
        "context_length": torch.ones(()),
    }


@pytest.mark.parametrize(
    ("source", "target"),
    [
        pytest.param({}, {}, id="same"),
        pytest.param(
            {},
            {"custom_text": True},
            id="to-custom",
            marks=given("Teachers", "weights of open_clip's older or newer layout of text towers", "converted"),
        ),
        pytest.param({}, {"custom_text": True, "init_logit_bias": -10}, id="without-bias"),
        pytest.param({"text_cfg": {**tiny_clip_config()["text_cfg"], "context_length": 16}}, {}, id="tokens"),
        pytest.param({"vision_cfg": {**tiny_clip_config()["vision_cfg"], "image_size": 48}}, {}, id="patches"),
    ],
)
def test_tensors_equal_those_of_open_clip(tmp_path: Path, source: dict[str, Any], target: dict[str, Any]) -> None:
    state = _vectors(_model(1, **source).state_dict())
    save_file(state, tmp_path / "weights.safetensors")
    ours, theirs = _model(2, **target), _model(3, **target)
    load_tensors("x", ours, dict(state))
    open_clip.load_checkpoint(theirs, str(tmp_path / "weights.safetensors"))
    expected = theirs.state_dict()
    assert ours.state_dict().keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in ours.state_dict().items())


def test_common_prefix_is_removed() -> None:
    source, target = _model(1), _model(2)
    load_tensors("x", target, {f"net.teacher.{name}": tensor for name, tensor in source.state_dict().items()})
    assert torch.equal(target.state_dict()["visual.proj"], source.state_dict()["visual.proj"])


def test_text_tower_of_its_own_goes_into_a_clip() -> None:
    source, target = _model(1, custom_text=True), _model(2)
    assert load_tensors("x", target, _with_old_buffers(source.state_dict())) == []
    assert torch.equal(target.state_dict()["ln_final.weight"], source.state_dict()["text.ln_final.weight"])


@pytest.mark.image_input(
    "Teachers", "weights for another image size or number of tokens", "position embeddings are resized, and it is said"
)
def test_resized_positions_are_noted() -> None:
    vision, text = tiny_clip_config()["vision_cfg"], tiny_clip_config()["text_cfg"]
    source = _model(1, vision_cfg={**vision, "image_size": 48}, text_cfg={**text, "context_length": 16})
    assert load_tensors("x", _model(2), dict(source.state_dict())) == [
        "the weights are for a grid of 6 x 6 patches, and were resized to 4 x 4",
        f"the weights are for 16 tokens, and were resized to {CONTEXT}",
    ]


def _misfit(state: State, **config: Any) -> str:
    with pytest.raises(TeacherError) as caught:
        load_tensors("x", _model(2, **config), state)
    assert caught.value.code == "teacher_incomplete"
    assert "\n" not in caught.value.message
    return caught.value.message


def test_misfit_names_the_first_tensor() -> None:
    state = dict(_model(1).state_dict())
    assert "tensor visual.proj is missing" in _misfit({k: v for k, v in state.items() if k != "visual.proj"})
    renamed = {"visual.proj.base_layer" if name == "visual.proj" else name: tensor for name, tensor in state.items()}
    assert "tensor visual.proj is missing; the file has visual.proj.base_layer" in _misfit(renamed)
    assert "tensor other.weight has no place in the model" in _misfit({**state, "other.weight": torch.ones(1)})
    assert "tensor logit_scale is int8: give unquantised" in _misfit(
        {**state, "logit_scale": torch.ones((), dtype=torch.int8)}
    )
    wide = {**tiny_clip_config()["vision_cfg"], "width": 48}
    assert "tensor visual.class_embedding has shape (32,), not (48,)" in _misfit(state, vision_cfg=wide)
    assert "hold no complete text tower" in _misfit(
        {k: v for k, v in state.items() if k.startswith(("visual", "logit"))}
    )
    assert "are of transformers" in _misfit({"vision_model.embeddings.class_embedding": torch.ones(1)})


def _meta_state(name: str) -> State:
    config = open_clip.get_model_config(name)
    with torch.device("meta"):
        return dict(build_model(config, {}, None).state_dict())


@pytest.mark.slow
@pytest.mark.image_input(
    "Teachers", "weights of another model than the one named", "refused; the likely model is named"
)
def test_misfit_suggests_the_models_of_these_sizes() -> None:
    state = _meta_state("ViT-L-14")
    assert "ViT-L-14" in models_like(state)
    assert "ViT-L-14-quickgelu" in models_like(state)
    assert "the weights look like ViT-L-14 or" in _misfit(state)
    vision = {**tiny_clip_config()["vision_cfg"], "width": 1024}
    assert "the weights look like ViT-L-14 or" in _misfit(state, vision_cfg=vision)  # also where positions were resized
    assert models_like(dict(_model(1).state_dict())) == []
    assert models_like({"a": torch.ones(1)}) == []
