"""Tensors of a CLIP or SigLIP of transformers, renamed and reshaped for a model of open_clip.

Source of the names: the modules `modeling_clip` and `modeling_siglip` of transformers 5. transformers keeps queries,
keys and values apart, open_clip and timm stack them; its projections are layers, those of open_clip's CLIP matrices.
W width of a tower, D embedding width.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from distill.teacher.transformers_config import Kind
from distill.teacher.weights.reading import State

_LAYER = re.compile(r"(text|vision)_model\.encoder\.layers\.(\d+)\.(.+)\.(weight|bias)")
_QKV = {"self_attn.q_proj": 0, "self_attn.k_proj": 1, "self_attn.v_proj": 2}

# transformers' part of a layer → the part of a block: of open_clip, and of timm.
_OPEN_CLIP_BLOCK = {
    "self_attn.out_proj": "attn.out_proj",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
_TIMM_BLOCK = {
    "self_attn.out_proj": "attn.proj",
    "layer_norm1": "norm1",
    "layer_norm2": "norm2",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
_CLIP_NAMES = {
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
    "text_projection.weight": "text_projection",
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.pre_layrnorm.weight": "visual.ln_pre.weight",
    "vision_model.pre_layrnorm.bias": "visual.ln_pre.bias",
    "vision_model.post_layernorm.weight": "visual.ln_post.weight",
    "vision_model.post_layernorm.bias": "visual.ln_post.bias",
    "visual_projection.weight": "visual.proj",
}
_TRANSPOSED = ("text_projection.weight", "visual_projection.weight")  # (D, W) → (W, D)
_SIGLIP_NAMES = {
    "text_model.embeddings.token_embedding.weight": "text.token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "text.positional_embedding",
    "text_model.final_layer_norm": "text.ln_final",
    "text_model.head": "text.text_projection",
    "vision_model.embeddings.patch_embedding": "visual.trunk.patch_embed.proj",
    "vision_model.embeddings.position_embedding.weight": "visual.trunk.pos_embed",
    "vision_model.post_layernorm": "visual.trunk.norm",
    "vision_model.head.probe": "visual.trunk.attn_pool.latent",
    "vision_model.head.attention.out_proj": "visual.trunk.attn_pool.proj",
    "vision_model.head.layernorm": "visual.trunk.attn_pool.norm",
    "vision_model.head.mlp.fc1": "visual.trunk.attn_pool.mlp.fc1",
    "vision_model.head.mlp.fc2": "visual.trunk.attn_pool.mlp.fc2",
}
_SIGLIP_POOL = re.compile(r"vision_model\.head\.attention\.in_proj_(weight|bias)")


def to_open_clip(kind: Kind, state: State) -> State:
    """The tensors by the names of open_clip. A name that transformers does not have stays, and will not fit."""
    state = {name: tensor for name, tensor in state.items() if not name.endswith(".position_ids")}
    return _with_stacked_heads(kind, state) | _renamed(kind, state)


def _renamed(kind: Kind, state: State) -> State:
    names = _CLIP_NAMES if kind == "clip" else _SIGLIP_NAMES
    renamed: State = {}
    for name, tensor in state.items():
        if _SIGLIP_POOL.fullmatch(name) and kind == "siglip":
            renamed |= _pool_heads(name, tensor)
        elif match := _LAYER.fullmatch(name):
            tower, layer, part, field = match.groups()
            if part not in _QKV:
                block = _TIMM_BLOCK if _is_timm(kind, tower) else _OPEN_CLIP_BLOCK
                renamed[f"{_blocks(kind, tower)}{layer}.{block.get(part, part)}.{field}"] = tensor
        else:
            renamed[_new_name(names, name)] = tensor.T if name in _TRANSPOSED and kind == "clip" else tensor
    if kind == "siglip" and "visual.trunk.pos_embed" in renamed:
        renamed["visual.trunk.pos_embed"] = renamed["visual.trunk.pos_embed"].unsqueeze(0)
    return renamed


def _new_name(names: Mapping[str, str], name: str) -> str:
    """By the whole name, or by that of its module."""
    module, _, field = name.rpartition(".")
    return names.get(name) or (f"{names[module]}.{field}" if module in names else name)


def _is_timm(kind: Kind, tower: str) -> bool:
    return kind == "siglip" and tower == "vision"


def _blocks(kind: Kind, tower: str) -> str:
    if _is_timm(kind, tower):
        return "visual.trunk.blocks."
    start = {"text": "text." if kind == "siglip" else "", "vision": "visual."}[tower]
    return f"{start}transformer.resblocks."


def _with_stacked_heads(kind: Kind, state: State) -> State:
    """Queries, keys and values (W, W) of each layer as one tensor (3 W, W); an incomplete layer stays missing."""
    parts: dict[str, dict[int, Tensor]] = {}
    for name, tensor in state.items():
        if (match := _LAYER.fullmatch(name)) and match[3] in _QKV:
            tower, layer, part, field = match.groups()
            stacked = f"attn.qkv.{field}" if _is_timm(kind, tower) else f"attn.in_proj_{field}"
            parts.setdefault(f"{_blocks(kind, tower)}{layer}.{stacked}", {})[_QKV[part]] = tensor
    return {name: torch.cat([found[at] for at in range(3)]) for name, found in parts.items() if len(found) == 3}


def _pool_heads(name: str, tensor: Tensor) -> State:
    """The pooling head's stacked query, key and value (3 W, …) as timm's query (W, …) and key with value (2 W, …)."""
    field, width = name.rpartition("_")[2], len(tensor) // 3
    pool = "visual.trunk.attn_pool"
    return {f"{pool}.q.{field}": tensor[:width], f"{pool}.kv.{field}": tensor[width:]}
