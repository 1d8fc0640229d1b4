"""SigLIP's weights as big_vision writes them (`.npz`) give the same model as those of transformers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from distill.config.model_names import TeacherRef
from distill.teacher.errors import TeacherError
from distill.teacher.load_model import load_model
from distill.teacher.sources import TeacherSource, find_teacher
from distill.teacher.weights.files import WeightsFiles
from tests.distill.teacher.test_transformers import MODELS

State = dict[str, torch.Tensor]
NORMS = {"layer_norm1": "LayerNorm_0", "layer_norm2": "LayerNorm_1"}
HEADS = {"text": 2, "vision": 3}


def _dense(name: str, state: State, source: str) -> State:
    return {f"{name}/kernel": state[f"{source}.weight"].T, f"{name}/bias": state[f"{source}.bias"]}


def _norm(name: str, state: State, source: str) -> State:
    return {f"{name}/scale": state[f"{source}.weight"], f"{name}/bias": state[f"{source}.bias"]}


def _attention(name: str, projections: dict[str, tuple[torch.Tensor, torch.Tensor]], heads: int) -> State:
    """Kernels (W, heads, W / heads) of queries, keys and values, and (heads, W / heads, W) of the output."""
    out: State = {}
    for part, (weight, bias) in projections.items():
        width = len(bias)
        shape = (heads, -1, width) if part == "out" else (width, heads, -1)
        out[f"{name}/{part}/kernel"] = weight.T.reshape(shape)
        out[f"{name}/{part}/bias"] = bias if part == "out" else bias.reshape(heads, -1)
    return out


def _blocks(name: str, state: State, tower: str) -> State:
    out: State = {}
    for layer in range(2):
        source, block = f"{tower}_model.encoder.layers.{layer}", f"{name}/encoderblock_{layer}"
        for norm, to in NORMS.items():
            out |= _norm(f"{block}/{to}", state, f"{source}.{norm}")
        parts = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "out": "out_proj"}
        projections = {
            part: (state[f"{source}.self_attn.{one}.weight"], state[f"{source}.self_attn.{one}.bias"])
            for part, one in parts.items()
        }
        out |= _attention(f"{block}/MultiHeadDotProductAttention_0", projections, HEADS[tower])
        for number in range(2):
            out |= _dense(f"{block}/MlpBlock_0/Dense_{number}", state, f"{source}.mlp.fc{number + 1}")
    return out


def _pool(state: State) -> State:
    head = "vision_model.head"
    weights, biases = (state[f"{head}.attention.in_proj_{field}"].chunk(3) for field in ("weight", "bias"))
    projections = dict(zip(("query", "key", "value"), zip(weights, biases, strict=True), strict=True))
    projections["out"] = (state[f"{head}.attention.out_proj.weight"], state[f"{head}.attention.out_proj.bias"])
    out = {"img/MAPHead_0/probe": state[f"{head}.probe"]}
    out |= _attention("img/MAPHead_0/MultiHeadDotProductAttention_0", projections, HEADS["vision"])
    out |= _norm("img/MAPHead_0/LayerNorm_0", state, f"{head}.layernorm")
    for number in range(2):
        out |= _dense(f"img/MAPHead_0/MlpBlock_0/Dense_{number}", state, f"{head}.mlp.fc{number + 1}")
    return out


def _as_big_vision(state: State) -> State:
    image, text = "vision_model", "text_model"
    return {
        "img/embedding/kernel": state[f"{image}.embeddings.patch_embedding.weight"].permute(2, 3, 1, 0),
        "img/embedding/bias": state[f"{image}.embeddings.patch_embedding.bias"],
        "img/pos_embedding": state[f"{image}.embeddings.position_embedding.weight"][None],
        **_blocks("img/Transformer", state, "vision"),
        **_norm("img/Transformer/encoder_norm", state, f"{image}.post_layernorm"),
        **_pool(state),
        "txt/Embed_0/embedding": state[f"{text}.embeddings.token_embedding.weight"],
        "txt/pos_embedding": state[f"{text}.embeddings.position_embedding.weight"][None],
        **_blocks("txt/Encoder_0", state, "text"),
        **_norm("txt/Encoder_0/encoder_norm", state, f"{text}.final_layer_norm"),
        **_dense("txt/head", state, f"{text}.head"),
        "b": state["logit_bias"],
        "t": state["logit_scale"],
    }


def _source(path: Path) -> TeacherSource:
    """The recorded SigLIP with the weights of `path`."""
    found = find_teacher(TeacherRef("local-dir", str(MODELS / "siglip")), None)
    return TeacherSource(
        model_cfg=found.model_cfg, preprocess=found.preprocess, weights=WeightsFiles.of_file(path), kind=found.kind
    )


def _save(path: Path, state: State) -> Path:
    np.savez(path, **{name: tensor.float().numpy() for name, tensor in state.items()})
    return path


@pytest.mark.image_input("Teachers", "big_vision's `.npz` of a SigLIP", "converted by open_clip")
def test_weights_of_big_vision(tmp_path: Path) -> None:
    state = _as_big_vision(load_file(MODELS / "siglip" / "model.safetensors"))
    model, notes = load_model("x", _source(_save(tmp_path / "siglip.npz", state)))
    expected, _ = load_model("x", find_teacher(TeacherRef("local-dir", str(MODELS / "siglip")), None))
    wanted = expected.state_dict()
    assert notes == []
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in model.state_dict().items())


def test_weights_of_big_vision_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    state = _as_big_vision(load_file(MODELS / "siglip" / "model.safetensors"))
    del state["txt/head/bias"]
    for path, reason in (
        (_save(tmp_path / "lacking.npz", state), "txt/head/bias is not a file in the archive"),
        (tmp_path / "text.npz", "text.npz of x is a pointer of Git LFS"),
    ):
        if not path.exists():
            path.write_text("version https://git-lfs.github.com/spec/v1")
        with pytest.raises(TeacherError) as caught:
            load_model("x", _source(path))
        assert reason in caught.value.message
        assert "\n" not in caught.value.message


def test_weights_of_big_vision_for_another_model_are_refused(tmp_path: Path) -> None:
    _save(tmp_path / "w.npz", {"t": torch.ones(1)})
    source = find_teacher(TeacherRef("weights-file", "ViT-S-32-alt", str(tmp_path / "w.npz")), None)
    with pytest.raises(TeacherError, match="reads only for SigLIP"):
        load_model("x", source)
