"""Text towers of Hugging Face inside open_clip, with the optional library transformers; a clear error without it."""

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import open_clip
import pytest
import tokenizers
import torch
from safetensors.torch import save_file
from tokenizers import models, pre_tokenizers, processors

from distill.teacher.teacher import TeacherError, load_teacher
from tests.distill.conftest import tiny_clip_config

given = pytest.mark.image_input
needs_transformers = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None, reason="the group `transformers` is not installed"
)
WORDS = ["<s>", "<pad>", "</s>", "<unk>", "a", "photo", "of", "crane", "with", "red", "cap", "."]
TEXTS = ["a crane", "a photo of a crane with a red cap .", ""]
CONTEXT = 20
_SMALL = {"vocab_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
_SMALL |= {"hidden_size": 16, "max_position_embeddings": 40, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
TOWERS: dict[str, dict[str, Any]] = {
    "roberta": _SMALL,
    "xlm-roberta": _SMALL,
    "mt5": {"vocab_size": 12, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2, "pad_token_id": 0},
    "m2m_100": {
        "vocab_size": 12,
        "d_model": 16,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 32,
        "decoder_ffn_dim": 32,
        "max_position_embeddings": 40,
        "pad_token_id": 1,
    },
}


def save_hugging_face(folder: Path, kind: str) -> Path:
    """Write a model of open_clip with random weights, whose text tower is described by `text/config.json` beside it."""
    (folder / "text").mkdir(parents=True)
    (folder / "text" / "config.json").write_text(json.dumps({"model_type": kind, **TOWERS[kind]}))
    _save_tokenizer(folder, pad="<s>" if kind == "mt5" else "<pad>")
    text_cfg = {"hf_tokenizer_name": "somebody/text", "hf_proj_type": "linear", "context_length": CONTEXT}
    text_cfg["hf_pooler_type"] = "cls_pooler" if kind == "m2m_100" else "mean_pooler"
    config = {**tiny_clip_config(), "text_cfg": {**text_cfg, "hf_model_name": "text"}}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    torch.manual_seed(0)
    own = {**text_cfg, "hf_model_name": str(folder / "text"), "hf_model_pretrained": False}
    model = open_clip.CustomTextCLIP(config["embed_dim"], config["vision_cfg"], own)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    return folder


def _save_tokenizer(folder: Path, *, pad: str) -> None:
    inner = tokenizers.Tokenizer(models.WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    inner.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": pad, "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


@needs_transformers
@pytest.mark.slow
@pytest.mark.parametrize("kind", TOWERS)
@given(
    "Teachers", "a text tower of Hugging Face inside open_clip, with transformers installed", "used as open_clip does"
)
def test_features_equal_open_clip(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_hugging_face(tmp_path / "teacher", kind)
    teacher = load_teacher("local-dir:teacher", root=tmp_path)
    monkeypatch.chdir(folder)  # open_clip looks for the folder `text` from here
    model = open_clip.create_model(f"local-dir:{folder}").eval()
    ids = open_clip.get_tokenizer(f"local-dir:{folder}")(TEXTS)
    with torch.no_grad():
        expected = model.encode_text(ids, normalize=True)
    torch.testing.assert_close(teacher.encode_text(TEXTS), expected, atol=1e-6, rtol=0)
    assert teacher.context_length == CONTEXT
    assert teacher.count_tokens(TEXTS) == [4, 12, 2]
    with pytest.raises(TeacherError, match="set context_tokens to 0"):
        _ = teacher.token_width


@needs_transformers
@pytest.mark.slow
def test_config_of_the_tower_is_part_of_the_digest(tmp_path: Path) -> None:
    folder = save_hugging_face(tmp_path / "one", "roberta")
    moved = shutil.copytree(folder, tmp_path / "moved")
    other = shutil.copytree(folder, tmp_path / "other")
    (other / "text" / "config.json").write_text(
        json.dumps({"model_type": "roberta", **_SMALL, "num_attention_heads": 4})
    )
    digests = [load_teacher(f"local-dir:{one}").digest for one in (folder, moved, other)]
    assert digests[0] == digests[1] != digests[2]


@needs_transformers
@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [
        pytest.param(
            "somebody/xlm-roberta",
            "teacher_unreachable",
            "the config of somebody/xlm-roberta, the text tower of",
            marks=given(
                "Teachers", "a text tower whose config is on a Hub that cannot be reached", "refused; it is named"
            ),
            id="hub",
        ),
        pytest.param("outside", "teacher_not_found", "lies outside the data root", id="outside"),
    ],
)
def test_config_of_the_tower_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: str, reason: str
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    folder = tmp_path / "root" / "teacher"
    folder.mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    config = tiny_clip_config()
    config["text_cfg"] = {"hf_model_name": str(tmp_path / name) if name == "outside" else name}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    save_file({"logit_scale": torch.ones(())}, folder / "open_clip_model.safetensors")
    error = _refused("local-dir:teacher", tmp_path / "root")
    assert (error.code, reason in error.message) == (code, True)


@given("Teachers", "a text tower of Hugging Face without transformers", "refused; the library is named")
def test_library_that_is_missing_is_named(tmp_path: Path, tiny_clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    shutil.copytree(tiny_clip, tmp_path / "teacher")
    config = {**tiny_clip_config(), "text_cfg": {"hf_model_name": "roberta-base"}}
    (tmp_path / "teacher" / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    error = _refused(f"local-dir:{tmp_path / 'teacher'}")
    assert error.code == "teacher_unsupported"
    assert "needs the transformers library" in error.message


def _refused(ref: str, root: Path | None = None) -> TeacherError:
    with pytest.raises(TeacherError) as caught:
        load_teacher(ref, root=root)
    assert "\n" not in caught.value.message
    return caught.value
