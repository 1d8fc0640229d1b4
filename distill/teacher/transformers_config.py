"""The configs of a CLIP or SigLIP folder of transformers, as configs of open_clip.

Source of the defaults, which transformers leaves out of `config.json`, and of the meaning of each field: the modules
`configuration_clip`, `configuration_siglip`, `image_processing_clip` and `image_processing_siglip` of transformers 5.
What open_clip cannot express is refused, never approximated.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from distill.json_types import JSONObject
from distill.teacher.errors import TeacherError

CONFIG_FILE = "config.json"
PREPROCESS_FILES = ("preprocessor_config.json", "processor_config.json")
Kind = Literal["clip", "siglip"]

_TOWER = {"num_hidden_layers": 12, "num_channels": 3}
_CLIP = {**_TOWER, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5}
_SIGLIP = {**_TOWER, "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6, "hidden_size": 768}
_DEFAULTS: Mapping[Kind, Mapping[str, Mapping[str, Any]]] = {
    "clip": {
        "text": {
            **_CLIP,
            "vocab_size": 49408,
            "hidden_size": 512,
            "intermediate_size": 2048,
            "num_attention_heads": 8,
            "max_position_embeddings": 77,
            "eos_token_id": 49407,
        },
        "vision": {
            **_CLIP,
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_attention_heads": 12,
            "image_size": 224,
            "patch_size": 32,
        },
    },
    "siglip": {
        "text": {
            **_SIGLIP,
            "vocab_size": 32000,
            "intermediate_size": 3072,
            "num_attention_heads": 12,
            "max_position_embeddings": 64,
        },
        "vision": {
            **_SIGLIP,
            "intermediate_size": 3072,
            "num_attention_heads": 12,
            "image_size": 224,
            "patch_size": 16,
            "vision_use_head": True,
        },
    },
}
_PREPROCESS_DEFAULTS: Mapping[Kind, Mapping[str, Any]] = {
    "clip": {
        "size": {"shortest_edge": 224},
        "crop_size": {"height": 224, "width": 224},
        "do_center_crop": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    },
    "siglip": {
        "size": {"height": 224, "width": 224},
        "do_center_crop": False,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    },
}
_INTERPOLATIONS = {2: "bilinear", 3: "bicubic"}
# Activations of transformers: QuickGELU, and the approximation of torch's GELU.
_ACTIVATIONS = {
    "quick_gelu": (True, "none"),
    "gelu": (False, "none"),
    "gelu_pytorch_tanh": (False, "tanh"),
    "gelu_new": (False, "tanh"),
}


class TransformersConfig(NamedTuple):
    """A folder's configs. `model_cfg`, `preprocess_cfg`: open_clip's, with `image_size` as the model has it."""

    kind: Kind
    model_cfg: dict[str, Any]
    preprocess_cfg: dict[str, Any]
    pad_token_id: int


def read_transformers_config(ref: str, folder: Path) -> TransformersConfig:
    """The configs of a folder. Raises TeacherError for another kind of model and for what open_clip cannot express."""
    config = _read_json(ref, folder / CONFIG_FILE)
    if config.get("model_type") not in _DEFAULTS:
        raise _unsupported(ref, _why_no_teacher(config.get("model_type")))
    kind: Kind = config["model_type"]
    text, vision = _tower(kind, "text", config), _tower(kind, "vision", config)
    for name, tower in (("text", text), ("image", vision)):
        if tower["hidden_size"] % tower["num_attention_heads"]:
            raise _unsupported(
                ref,
                f"the {name} tower has width {tower['hidden_size']}, which {tower['num_attention_heads']} heads do not "
                f"divide",
            )
    if vision["num_channels"] != 3 or not isinstance(vision["image_size"], int):
        raise _unsupported(
            ref, f"the image tower reads {vision['num_channels']} channels of {vision['image_size']} px, not square RGB"
        )
    model_cfg = _clip(ref, config, text, vision) if kind == "clip" else _siglip(ref, text, vision)
    preprocess = _preprocess(ref, kind, folder, vision["image_size"])
    return TransformersConfig(kind, model_cfg, preprocess, int(text.get("pad_token_id", 1)))


def _unsupported(ref: str, reason: str) -> TeacherError:
    return TeacherError("teacher_unsupported", f"{ref} cannot be a teacher: {reason}")


def _why_no_teacher(kind: object) -> str:
    if kind == "siglip2":
        return (
            "it is a SigLIP 2 of variable resolution (NaFlex): choose one of a fixed size, whose model_type is siglip"
        )
    if kind is None:
        return f"its {CONFIG_FILE} names no model_type: a teacher needs open_clip_config.json, or a CLIP or SigLIP"
    return f"its {CONFIG_FILE} is of a model of type {kind}: only clip and siglip have both towers of a teacher"


def _read_json(ref: str, path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise TeacherError("teacher_incomplete", f"{path.name} of {ref} is damaged: copy it again") from error
    if not isinstance(value, dict):
        raise TeacherError("teacher_incomplete", f"{path.name} of {ref} is not an object: copy it again")
    return value


def _tower(kind: Kind, part: str, config: JSONObject) -> dict[str, Any]:
    """A tower's config with the defaults. transformers lets `text_config_dict` of old files replace `text_config`."""
    given, replacing = config.get(f"{part}_config"), config.get(f"{part}_config_dict")
    tower = {**_DEFAULTS[kind][part], **(given if isinstance(given, dict) else {})}
    return {**tower, **_DEFAULTS[kind][part], **replacing} if isinstance(replacing, dict) else tower


def _clip(ref: str, config: JSONObject, text: dict[str, Any], vision: dict[str, Any]) -> dict[str, Any]:
    quick, approximation = _activation(ref, text)
    if quick != _activation(ref, vision)[0]:
        raise _unsupported(ref, "one tower has QuickGELU, the other not")
    return {
        "embed_dim": config.get("projection_dim", 512),
        "quick_gelu": quick,
        "vision_cfg": {
            "image_size": vision["image_size"],
            "layers": vision["num_hidden_layers"],
            "width": vision["hidden_size"],
            "head_width": vision["hidden_size"] // vision["num_attention_heads"],
            "mlp_ratio": mlp_ratio(vision),
            "patch_size": vision["patch_size"],
            **_details(_activation(ref, vision)[1], vision),
        },
        "text_cfg": {
            **_text_sizes(text),
            **_end_token(ref, text["eos_token_id"]),
            **_details(approximation, text),
        },
    }


def _siglip(ref: str, text: dict[str, Any], vision: dict[str, Any]) -> dict[str, Any]:
    width = text.get("projection_size") or text["hidden_size"]
    if not vision["vision_use_head"] or width != vision["hidden_size"]:
        raise _unsupported(ref, f"its image tower gives no embedding of the text tower's width {width}")
    quick, approximation = _activation(ref, text)
    if quick or _activation(ref, vision)[0]:
        raise _unsupported(ref, "a SigLIP with QuickGELU is not known to open_clip")
    return {
        "embed_dim": width,
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": {  # of `distill.teacher.converted_model`, because open_clip names towers of timm only
            "image_size": vision["image_size"],
            "layers": vision["num_hidden_layers"],
            "width": vision["hidden_size"],
            "heads": vision["num_attention_heads"],
            "mlp_ratio": mlp_ratio(vision),
            "patch_size": vision["patch_size"],
            "approximate": _activation(ref, vision)[1],
            "eps": vision["layer_norm_eps"],
        },
        "text_cfg": {
            **_text_sizes(text),
            "no_causal_mask": True,
            "proj_bias": True,
            "pool_type": "last",
            "tokenizer_kwargs": {"clean": "canonicalize"},
            **_details(approximation, text),
        },
    }


def _text_sizes(text: dict[str, Any]) -> dict[str, Any]:
    return {
        "context_length": text["max_position_embeddings"],
        "vocab_size": text["vocab_size"],
        "width": text["hidden_size"],
        "heads": text["num_attention_heads"],
        "layers": text["num_hidden_layers"],
        "mlp_ratio": mlp_ratio(text),
    }


def mlp_ratio(tower: dict[str, Any]) -> float:
    """The ratio from which `int(width * ratio)` gives the width of the MLP also after rounding."""
    ratio: float = tower["intermediate_size"] / tower["hidden_size"]
    exact = int(tower["hidden_size"] * ratio) == tower["intermediate_size"]
    return ratio if exact else (tower["intermediate_size"] + 0.5) / tower["hidden_size"]


def _details(approximation: str, tower: dict[str, Any]) -> dict[str, Any]:
    """Fields of open_clip's towers that differ from its defaults."""
    eps = tower["layer_norm_eps"]
    return {
        **({} if eps == 1e-5 else {"norm_kwargs": {"eps": eps}}),
        **({} if approximation == "none" else {"act_kwargs": {"approximate": approximation}}),
    }


def _end_token(ref: str, token_id: object) -> dict[str, Any]:
    """The position whose feature is the text's: the highest id (transformers keeps this for the id 2), or an id."""
    if token_id == 2:
        return {"pool_type": "argmax"}
    if isinstance(token_id, list) and len(token_id) == 1:
        (token_id,) = token_id
    if not isinstance(token_id, int):
        raise _unsupported(ref, f"its text tower has the end tokens {token_id}, not one")
    return {"pool_type": "eos", "eos_id": token_id}


def _activation(ref: str, tower: dict[str, Any]) -> tuple[bool, str]:
    try:
        return _ACTIVATIONS[tower["hidden_act"]]
    except (KeyError, TypeError):
        raise _unsupported(ref, f"open_clip has no activation {tower['hidden_act']}") from None


def _preprocess(ref: str, kind: Kind, folder: Path, image_px: int) -> dict[str, Any]:
    path = next((folder / name for name in PREPROCESS_FILES if (folder / name).is_file()), None)
    if path is None:
        raise TeacherError("teacher_incomplete", f"{ref} holds no {PREPROCESS_FILES[0]}: copy it next to {CONFIG_FILE}")
    given = _read_json(ref, path)
    nested = given.get("image_processor")
    values = {**_PREPROCESS_DEFAULTS[kind], **(nested if isinstance(nested, dict) else given)}
    interpolation = _INTERPOLATIONS.get(values.get("resample", 3))
    resize, crop = _height_width(values["size"]), _height_width(values.get("crop_size"))
    shown = crop if values["do_center_crop"] else resize
    is_shortest = isinstance(values["size"], int) or "shortest_edge" in values["size"]
    if shown != (image_px, image_px):
        raise _unsupported(ref, f"{path.name} gives images of {shown} px to a tower of {image_px} px: correct its size")
    if values["do_center_crop"] and resize != crop:
        raise _unsupported(
            ref, f"it resizes images to {resize[0]} px and cuts {image_px} px, which open_clip cannot do"
        )
    if interpolation is None:
        raise _unsupported(ref, f"{path.name} asks for the resampling {values['resample']}, not bilinear or bicubic")
    if is_shortest and not values["do_center_crop"]:
        raise _unsupported(ref, f"{path.name} resizes the shorter side without a crop, so images are not square")
    if not all(values.get(name, True) for name in ("do_resize", "do_rescale", "do_normalize")):
        raise _unsupported(
            ref, f"{path.name} switches resizing or normalisation off: images are always normalised here"
        )
    if abs(values.get("rescale_factor", 1 / 255) - 1 / 255) > 1e-6:
        raise _unsupported(ref, f"{path.name} scales pixels by {values['rescale_factor']}, not by 1/255")
    return {
        "mean": values["image_mean"],
        "std": values["image_std"],
        "interpolation": interpolation,
        "resize_mode": "shortest" if is_shortest else "squash",
    }


def _height_width(size: object) -> tuple[int, int]:
    """Height and width of a size, which is a number, the shorter side, or both."""
    if isinstance(size, int):
        return size, size
    if isinstance(size, dict):
        side = size.get("shortest_edge")
        return (side, side) if isinstance(side, int) else (size.get("height", 0), size.get("width", 0))
    return 0, 0
