"""Models of open_clip without weights, and the SigLIP of any size that transformers has and open_clip has not.

`open_clip.create_model` would download weights, look for files by its own preference and warn about random weights.
B images, D embedding width.
"""

import copy
from collections.abc import Mapping
from functools import partial
from typing import Any, cast

import open_clip
import torch
from open_clip.model import CLIPTextCfg, set_model_preprocess_cfg
from open_clip.transform import PreprocessCfg, merge_preprocess_dict
from open_clip.transformer import LayerNorm, TextTransformer
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from distill.json_types import ModelConfig
from distill.teacher.clip_model import ClipModel
from distill.teacher.transformers_config import Kind


def build_model(model_cfg: ModelConfig, preprocess: Mapping[str, Any], kind: Kind | None) -> ClipModel:
    """A model with random weights. `preprocess`: what differs from open_clip's; `kind`: of a converted model."""
    model = SiglipModel(model_cfg) if kind == "siglip" else _open_clip_model(model_cfg)
    size = {"size": model.visual.image_size}
    set_model_preprocess_cfg(model, merge_preprocess_dict(PreprocessCfg(), {**preprocess, **size}))
    return cast(ClipModel, model)


def _open_clip_model(model_cfg: ModelConfig) -> Any:
    """The model class that open_clip chooses for a config."""
    arguments: dict[str, Any] = {**copy.deepcopy(model_cfg)}
    is_custom_text = arguments.pop("custom_text", False)
    if "timm_model_name" in arguments["vision_cfg"]:
        arguments["vision_cfg"]["timm_model_pretrained"] = False
    if "hf_model_name" in arguments["text_cfg"]:
        arguments["text_cfg"]["hf_model_pretrained"] = False
        is_custom_text = True
    if is_custom_text:
        return (open_clip.CoCa if "multimodal_cfg" in arguments else open_clip.CustomTextCLIP)(**arguments)
    return open_clip.CLIP(**arguments)


class _SiglipImageTower(torch.nn.Module):
    """timm's vision transformer with SigLIP's pooling, of any size; open_clip builds only sizes that timm names."""

    def __init__(self, vision_cfg: Mapping[str, Any]) -> None:
        super().__init__()
        self.image_size = (vision_cfg["image_size"], vision_cfg["image_size"])
        self.trunk = VisionTransformer(
            img_size=vision_cfg["image_size"],
            patch_size=vision_cfg["patch_size"],
            embed_dim=vision_cfg["width"],
            depth=vision_cfg["layers"],
            num_heads=vision_cfg["heads"],
            mlp_ratio=vision_cfg["mlp_ratio"],
            num_classes=0,
            class_token=False,
            global_pool="map",
            norm_layer=partial(torch.nn.LayerNorm, eps=vision_cfg["eps"]),
            act_layer=partial(torch.nn.GELU, approximate=vision_cfg["approximate"]),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings (B, D) of images (B, 3, H, W)."""
        features: Tensor = self.trunk(images)
        return features


class SiglipModel(torch.nn.Module):
    """A SigLIP with the tensor names of open_clip's CustomTextCLIP, so that its text tower goes into a pairing."""

    def __init__(self, model_cfg: ModelConfig) -> None:
        super().__init__()
        self.visual = _SiglipImageTower(model_cfg["vision_cfg"])
        text = CLIPTextCfg(**model_cfg["text_cfg"])
        self.text = TextTransformer(
            context_length=text.context_length,
            vocab_size=text.vocab_size,
            width=text.width,
            heads=text.heads,
            layers=text.layers,
            mlp_ratio=text.mlp_ratio,
            output_dim=model_cfg["embed_dim"],
            no_causal_mask=text.no_causal_mask,
            pool_type=text.pool_type,
            proj_bias=text.proj_bias,
            act_layer=partial(torch.nn.GELU, **(text.act_kwargs or {})),
            norm_layer=partial(LayerNorm, **(text.norm_kwargs or {})),
        )
        self.logit_scale = torch.nn.Parameter(torch.zeros(()))
        self.logit_bias = torch.nn.Parameter(torch.zeros(()))

    def encode_image(self, image: Tensor, normalize: bool = False) -> Tensor:
        """Embeddings (B, D) of images (B, 3, H, W)."""
        features: Tensor = self.visual(image)
        return torch.nn.functional.normalize(features, dim=-1) if normalize else features

    def encode_text(self, text: Tensor, normalize: bool = False) -> Tensor:
        """Embeddings (N, D) of token ids (N, L)."""
        features: Tensor = self.text(text)
        return torch.nn.functional.normalize(features, dim=-1) if normalize else features
