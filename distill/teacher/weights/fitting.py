"""Loads tensors of any of open_clip's layouts into a model of open_clip, and says how tensors do not fit.

The conversions are those of `open_clip.load_checkpoint`, which reads only whole files, reports a misfit over many
lines, and resizes position embeddings without a word.
"""

import math
from collections.abc import Sequence
from typing import Any, cast

import open_clip
import torch
from open_clip.convert import convert_state_dict
from open_clip.model import (
    CLIPTextCfg,
    CLIPVisionCfg,
    convert_to_custom_text_state_dict,
    resize_pos_embed,
    resize_text_pos_embed,
)
from torch import Tensor

from distill.state_dicts import not_plain, without_prefix
from distill.teacher.clip_model import ClipModel
from distill.teacher.errors import TeacherError
from distill.teacher.weights.reading import State

# Numbers in OpenAI's files; buffers of earlier versions of open_clip and transformers.
_OPENAI_NUMBERS = ("input_resolution", "context_length", "vocab_size")
_IGNORED = (*_OPENAI_NUMBERS, "attn_mask", "text.attn_mask", "text.transformer.embeddings.position_ids")
_TEXT_PARTS = ("text.", "token_embedding.", "positional_embedding", "transformer.", "ln_final.", "text_projection")
_MAX_SUGGESTIONS = 4


def load_tensors(ref: str, model: ClipModel, state: State) -> list[str]:
    """Load `state` into `model`. Returns notes on what was adapted. Raises TeacherError for a misfit."""
    if any(name.startswith("vision_model.") for name in state):
        raise TeacherError(
            "teacher_incomplete",
            f"the weights of {ref} are of transformers: give their folder, with its config.json, as local-dir:PATH",
        )
    expected = model.state_dict()
    fitting = _in_layout_of(model, expected, convert_state_dict(model, without_prefix(state, expected)))
    notes = _resize_positions(model, expected, fitting)
    if reason := _misfit(expected, fitting):
        likely = models_like(state)
        hint = f"; the weights look like {' or '.join(likely)}" if likely else ""
        raise TeacherError("teacher_incomplete", f"the weights of {ref} {reason}{hint}")
    cast(torch.nn.Module, model).load_state_dict(fitting)
    return notes


def has_openai_numbers(state: State) -> bool:
    """Whether the tensors hold the numbers that only OpenAI's published archives have."""
    return all(name in state for name in _OPENAI_NUMBERS)


def is_half_beside_norms(state: State) -> bool:
    """Whether weights are in half precision and norms in float32, as OpenAI's code keeps them."""
    weights, norm = state.get("visual.conv1.weight"), state.get("ln_final.weight")
    return weights is not None and norm is not None and (weights.dtype, norm.dtype) == (torch.float16, torch.float32)


def _in_layout_of(model: ClipModel, expected: State, state: State) -> State:
    is_custom_text = not hasattr(model, "positional_embedding")
    if is_custom_text and "positional_embedding" in state:
        state = convert_to_custom_text_state_dict(state)
    elif not is_custom_text and "text.positional_embedding" in state:
        state = {name.removeprefix("text."): tensor for name, tensor in state.items()}
    for name in ("logit_scale", "logit_bias"):  # a scalar, or one value in a vector
        if name in state and name in expected and state[name].numel() == expected[name].numel():
            state[name] = state[name].reshape(expected[name].shape)
    if "logit_bias" in expected and "logit_bias" not in state and "logit_scale" in state:
        state["logit_bias"] = torch.zeros_like(expected["logit_bias"])  # github.com/mlfoundations/open_clip/issues/712
    return {name: tensor for name, tensor in state.items() if name in expected or name not in _IGNORED}


def _resize_positions(model: ClipModel, expected: State, state: State) -> list[str]:
    notes = []
    images, texts = "visual.positional_embedding", "positional_embedding"
    if _differ_in_length(images, expected, state) and math.isqrt(len(state[images]) - 1) ** 2 == len(state[images]) - 1:
        old, new = (math.isqrt(len(one[images]) - 1) for one in (state, expected))
        resize_pos_embed(state, model)
        notes.append(f"the weights are for a grid of {old} x {old} patches, and were resized to {new} x {new}")
    for name in (texts, f"text.{texts}"):
        if _differ_in_length(name, expected, state):
            old, new = len(state[name]), len(expected[name])
            resize_text_pos_embed(state, model)
            notes.append(f"the weights are for {old} tokens, and were resized to {new}")
    return notes


def _differ_in_length(name: str, expected: State, state: State) -> bool:
    if name not in expected or name not in state or state[name].ndim != 2:
        return False
    return len(state[name]) != len(expected[name]) and state[name].shape[1] == expected[name].shape[1]


def _misfit(expected: State, state: State) -> str:
    """How the tensors do not fit; empty if they do."""
    missing = [name for name in expected if name not in state]
    if missing and all(name.startswith(_TEXT_PARTS) for name in missing):
        return f"hold no complete text tower ({len(missing)} tensors missing, first {missing[0]}): export both towers"
    extra = [name for name in state if name not in expected]
    if reason := not_plain(expected, state):
        return f"cannot be used: {reason}"
    if missing:
        reason = f"tensor {missing[0]} is missing{_and_more(missing)}"
        reason += f"; the file has {extra[0]}{_and_more(extra)}" if extra else ""
    elif other := [name for name in expected if state[name].shape != expected[name].shape]:
        found, wanted = (tuple(one[other[0]].shape) for one in (state, expected))
        reason = f"tensor {other[0]} has shape {found}, not {wanted}"
    elif extra:
        reason = f"tensor {extra[0]} has no place in the model{_and_more(extra)}"
    return f"do not fit its config: {reason}" if reason else ""


def _and_more(names: Sequence[str]) -> str:
    return f", and {len(names) - 1} more" if len(names) > 1 else ""


def models_like(state: State) -> list[str]:
    """Names of open_clip's models whose towers have the sizes of these tensors; empty if there is none."""
    found = _sizes_of_state(state)
    if found is None:
        return []
    configs = ((name, open_clip.get_model_config(name)) for name in open_clip.list_models())
    return [name for name, config in configs if _sizes_of_config(config) == found][:_MAX_SUGGESTIONS]


def _sizes_of_state(state: State) -> tuple[int, ...] | None:
    """Sizes of a CLIP with a vision transformer of open_clip; None for other models."""
    prefix = "text." if "text.ln_final.weight" in state else ""
    try:
        patches: Tensor = state["visual.conv1.weight"]
        return (
            state["visual.proj"].shape[1],
            patches.shape[0],
            patches.shape[-1],
            _num_blocks("visual.transformer.resblocks.", state),
            state["visual.positional_embedding"].shape[0],
            state[f"{prefix}token_embedding.weight"].shape[0],
            state[f"{prefix}ln_final.weight"].shape[0],
            _num_blocks(f"{prefix}transformer.resblocks.", state),
            state[f"{prefix}positional_embedding"].shape[0],
        )
    except (KeyError, IndexError):
        return None


def _num_blocks(prefix: str, names: State) -> int:
    return len({name.removeprefix(prefix).partition(".")[0] for name in names if name.startswith(prefix)})


def _sizes_of_config(config: dict[str, Any]) -> Sequence[int | object]:
    image, text = CLIPVisionCfg(**config["vision_cfg"]), CLIPTextCfg(**config["text_cfg"])
    is_transformer = isinstance(image.layers, int) and not image.timm_model_name
    if not is_transformer or text.hf_model_name or not isinstance(image.image_size, int):
        return ()
    return (
        config["embed_dim"],
        image.width,
        image.patch_size,
        image.layers,
        (image.image_size // image.patch_size) ** 2 + 1,
        text.vocab_size,
        text.width,
        text.layers,
        text.context_length,
    )
