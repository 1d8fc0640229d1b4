"""CLIP and SigLIP folders of transformers give the features that transformers gives, which were recorded with it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file

from distill.teacher.teacher import Teacher, TeacherError, load_teacher
from distill.teacher.tokenizer import BytePairTokenizer
from distill.teacher.transformers_config import mlp_ratio
from limbeck.shared.clip_tokenizer import clip_merges

MODELS = Path(__file__).with_name("transformers_models")
TOLERANCE = 1e-5
given = pytest.mark.image_input


def _copy(name: str, folder: Path) -> Path:
    shutil.copytree(MODELS / name, folder)
    return folder


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            "clip_of_openai",
            marks=given("Teachers", "a folder of a CLIP of transformers", "converted; features equal within 1e-5"),
        ),
        pytest.param("clip_with_end_token"),
        pytest.param(
            "siglip",
            marks=given("Teachers", "a folder of a SigLIP of transformers", "converted; features equal within 1e-5"),
        ),
    ],
)
def test_features_equal_those_of_transformers(name: str) -> None:
    teacher = load_teacher(f"local-dir:{MODELS / name}")
    expected = load_file(MODELS / name / "expected.safetensors")
    texts = json.loads((MODELS / name / "texts.json").read_text())
    wanted_texts = torch.nn.functional.normalize(expected["features_of_texts"], dim=-1)
    wanted_images = expected["features_of_images"]
    torch.testing.assert_close(teacher.encode_text(texts), wanted_texts, atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(teacher.encode_images(expected["images"]), wanted_images, atol=TOLERANCE, rtol=0)
    for ids, padded in zip(teacher.tokenizer.ids(texts), expected["ids"].tolist(), strict=True):
        assert padded == ids + [padded[-1]] * (len(padded) - len(ids))
    # What the tolerance tells apart: other texts, and the other activation.
    assert float((wanted_texts[0] - wanted_texts[1]).abs().max()) > 1000 * TOLERANCE
    assert teacher.weights["layout"] == "transformers"
    assert "converted from transformers" in teacher.origin
    state = load_file(MODELS / name / "model.safetensors")
    assert teacher.logit_scale == pytest.approx(float(state["logit_scale"].float().exp()))


@pytest.mark.parametrize("name", ["clip_of_openai", "siglip"])
def test_other_activation_is_told_apart(tmp_path: Path, name: str) -> None:
    def use_gelu(config: dict[str, Any]) -> None:
        config["text_config"]["hidden_act"] = config["vision_config"]["hidden_act"] = "gelu"

    folder = _changed(name, tmp_path / "gelu", use_gelu)
    images = load_file(MODELS / name / "expected.safetensors")["images"]
    features = (load_teacher(f"local-dir:{one}").encode_images(images) for one in (folder, MODELS / name))
    assert float(next(features).sub(next(features)).abs().max()) > 2 * TOLERANCE


def _changed(name: str, folder: Path, change: Callable[[dict[str, Any]], object], file: str = "config.json") -> Path:
    _copy(name, folder)
    config = json.loads((folder / file).read_text())
    change(config)
    (folder / file).write_text(json.dumps(config))
    return folder


def test_preprocessing_is_that_of_the_folder(tmp_path: Path) -> None:
    clip, siglip = (load_teacher(f"local-dir:{MODELS / name}") for name in ("clip_of_openai", "siglip"))
    assert (clip.preprocess["resize_mode"], siglip.preprocess["resize_mode"]) == ("shortest", "squash")
    assert siglip.preprocess["mean"] == [0.5, 0.5, 0.5]
    own = {"image_mean": [0.1, 0.2, 0.3], "resample": 2, "size": 16}
    folder = _changed("clip_of_openai", tmp_path / "own", lambda config: config.update(own), "preprocessor_config.json")
    teacher = load_teacher(f"local-dir:{folder}")
    assert (teacher.preprocess["mean"], teacher.preprocess["interpolation"]) == ([0.1, 0.2, 0.3], "bilinear")
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": {**own, "crop_size": 16}}))
    (folder / "preprocessor_config.json").unlink()
    assert load_teacher(f"local-dir:{folder}").preprocess == teacher.preprocess


@pytest.mark.parametrize("name", ["clip_of_openai", "clip_with_end_token", "siglip"])
def test_other_formats_of_weights_give_the_same_teacher(tmp_path: Path, name: str) -> None:
    folder = _copy(name, tmp_path / "bin")
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    positions = {"text_model.embeddings.position_ids": torch.arange(48)[None]}  # in files of older versions
    torch.save({**state, **positions}, folder / "pytorch_model.bin")
    assert load_teacher(f"local-dir:{folder}").digest == load_teacher(f"local-dir:{MODELS / name}").digest


def test_fields_that_older_versions_left_out_have_their_defaults(tmp_path: Path) -> None:
    def leave_out(config: dict[str, Any]) -> None:
        for name in ("layer_norm_eps", "hidden_act", "num_channels"):
            config["text_config"].pop(name, None)
            config["vision_config"].pop(name, None)
        config["text_config_dict"], config["text_config"] = config["text_config"], {"hidden_size": 999}

    folder = _changed("clip_of_openai", tmp_path / "old", leave_out)
    assert load_teacher(f"local-dir:{folder}").digest == load_teacher(f"local-dir:{MODELS / 'clip_of_openai'}").digest


@pytest.mark.slow
def test_openai_vocabulary_is_tokenized_by_open_clip(tmp_path: Path) -> None:
    folder = _copy("clip_of_openai", tmp_path / "openai")
    own = BytePairTokenizer(77, {})
    names = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {names.get(token, token): number for token, number in own.as_file().get_vocab().items()}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(pair) for pair in clip_merges()))
    state = load_file(folder / "model.safetensors")
    embedding = "text_model.embeddings.token_embedding.weight"
    save_file({**state, embedding: state[embedding][:1].repeat(49408, 1)}, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["vocab_size"] = 49408
    (folder / "config.json").write_text(json.dumps(config))
    teacher = load_teacher(f"local-dir:{folder}")
    assert isinstance(teacher.tokenizer, BytePairTokenizer)
    assert "hf_tokenizer_name" not in teacher.model_cfg["text_cfg"]


REFUSED: dict[str, tuple[str, Callable[[dict[str, Any]], object], str, str]] = {
    "naflex": (
        "siglip",
        lambda c: c.update(model_type="siglip2"),
        "NaFlex",
        "a SigLIP 2 of variable resolution (NaFlex)",
    ),
    "bert": (
        "siglip",
        lambda c: c.update(model_type="bert"),
        "model of type bert",
        "a folder of another kind of model",
    ),
    "timm": ("siglip", lambda c: c.pop("model_type"), "names no model_type", ""),
    "channels": ("siglip", lambda c: c["vision_config"].update(num_channels=1), "1 channels of 16 px", ""),
    "activation": ("siglip", lambda c: c["text_config"].update(hidden_act="silu"), "no activation silu", ""),
    "mixed": ("clip_of_openai", lambda c: c["text_config"].update(hidden_act="gelu"), "one tower has QuickGELU", ""),
    "heads": ("clip_of_openai", lambda c: c["text_config"].update(num_attention_heads=5), "5 heads do not divide", ""),
    "ends": ("clip_of_openai", lambda c: c["text_config"].update(eos_token_id=[1, 2]), "end tokens [1, 2]", ""),
    "no-head": ("siglip", lambda c: c["vision_config"].update(vision_use_head=False), "gives no embedding", ""),
}


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        pytest.param(
            name,
            change,
            reason,
            id=case,
            marks=given("Teachers", row, "refused, with the reason") if row else (),
        )
        for case, (name, change, reason, row) in REFUSED.items()
    ],
)
def test_what_open_clip_cannot_express_is_refused(
    tmp_path: Path, name: str, change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    error = _refused(_changed(name, tmp_path / "model", change))
    assert error.code == "teacher_unsupported"
    assert reason in error.message


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param({"crop_size": 8}, "images of (8, 8) px to a tower of 16 px", id="size"),
        pytest.param(
            {"size": {"shortest_edge": 20}},
            "resizes images to 20 px and cuts 16 px",
            id="crop",
            marks=given("Teachers", "a preprocessing that cuts a part of the resized image", "refused"),
        ),
        pytest.param({"resample": 0}, "asks for the resampling 0", id="nearest"),
        pytest.param({"do_center_crop": False}, "without a crop", id="no-crop"),
        pytest.param({"do_normalize": False}, "switches resizing or normalisation off", id="no-norm"),
        pytest.param({"rescale_factor": 1.0}, "scales pixels by 1.0", id="scale"),
    ],
)
def test_other_preprocessing_is_refused(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    folder = _changed("clip_of_openai", tmp_path / "m", lambda c: c.update(change), "preprocessor_config.json")
    error = _refused(folder)
    assert error.code == "teacher_unsupported"
    assert reason in error.message


@pytest.mark.parametrize(
    ("name", "damage", "reason"),
    [
        pytest.param("siglip", lambda f: (f / "tokenizer.json").unlink(), "copy tokenizer.json", id="no-tokenizer"),
        pytest.param(
            "siglip",
            lambda f: (f / "tokenizer.json").rename(f / "spiece.model"),
            "save_pretrained(FOLDER)",
            id="sentencepiece",
            marks=given(
                "Teachers", "a SigLIP with `spiece.model` but no `tokenizer.json`", "refused, with the command"
            ),
        ),
        pytest.param(
            "siglip", lambda f: (f / "preprocessor_config.json").unlink(), "preprocessor_config.json", id="pre"
        ),
        pytest.param("siglip", lambda f: (f / "config.json").write_text("{"), "config.json of local-dir", id="config"),
        pytest.param("clip_of_openai", lambda f: (f / "merges.txt").unlink(), "copy tokenizer.json", id="no-merges"),
        pytest.param("clip_of_openai", lambda f: (f / "vocab.json").write_text("[]"), "cannot be loaded", id="vocab"),
        pytest.param("clip_of_openai", lambda f: (f / "model.safetensors").unlink(), "no weights", id="no-weights"),
    ],
)
def test_incomplete_folder_is_refused(tmp_path: Path, name: str, damage: Callable[[Path], object], reason: str) -> None:
    folder = _copy(name, tmp_path / "model")
    damage(folder)
    error = _refused(folder)
    assert error.code == "teacher_incomplete"
    assert reason in error.message


@given("Teachers", "a tokenizer of a SigLIP that adds no end token", "refused")
def test_tokenizer_without_end_token_is_refused(tmp_path: Path) -> None:
    folder = _changed("siglip", tmp_path / "m", lambda c: c.update(post_processor=None), "tokenizer.json")
    assert "adds no end token" in _refused(folder).message


def test_missing_tensor_of_a_layer_is_named(tmp_path: Path) -> None:
    folder = _copy("siglip", tmp_path / "m")
    state = load_file(folder / "model.safetensors")
    del state["vision_model.encoder.layers.1.self_attn.k_proj.bias"]
    save_file(state, folder / "model.safetensors")
    assert "tensor visual.trunk.blocks.1.attn.qkv.bias is missing" in _refused(folder).message


def _refused(folder: Path) -> TeacherError:
    with pytest.raises(TeacherError) as caught:
        load_teacher(f"local-dir:{folder}")
    assert "\n" not in caught.value.message
    return caught.value


def test_ratio_gives_the_width_of_the_mlp() -> None:
    for width, inner in ((1152, 4304), (49, 61), (768, 3072), (7, 5)):
        assert int(width * mlp_ratio({"hidden_size": width, "intermediate_size": inner})) == inner


@pytest.mark.parametrize("name", ["clip_with_end_token", "siglip"])
@given(
    "Teachers", "the pairing of a student with a converted teacher", "loads in open_clip, with the same text features"
)
def test_text_tower_goes_into_a_pairing(name: str) -> None:
    """open_clip builds the text tower from the converted config, and finds the tensors of `text_state` in it."""
    teacher: Teacher = load_teacher(f"local-dir:{MODELS / name}")
    config = json.loads(json.dumps(teacher.model_cfg))
    config["vision_cfg"] = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}
    kind = open_clip.CustomTextCLIP if config.pop("custom_text", False) else open_clip.CLIP
    model = kind(**config)
    missing = model.load_state_dict(teacher.text_state(), strict=False)
    assert not missing.unexpected_keys
    assert all(key.startswith("visual.") for key in missing.missing_keys)
    assert config["text_cfg"]["hf_tokenizer_name"] == name
    expected = load_file(MODELS / name / "expected.safetensors")
    ids = torch.nn.functional.pad(expected["ids"], (0, 48 - expected["ids"].shape[1]), value=teacher.tokenizer.pad_id)
    with torch.no_grad():
        features = model.eval().encode_text(ids)
    torch.testing.assert_close(features, expected["features_of_texts"], atol=TOLERANCE, rtol=0)
