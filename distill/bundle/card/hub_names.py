"""Names on the Hugging Face Hub of the models that a student was made from."""

import timm
from open_clip.pretrained import get_pretrained_cfg

from distill.json_types import JSONObject


def hub_model(teacher: str) -> str | None:
    """The Hub's name of a teacher (`org/name`), from its reference; None if it is not on the Hub."""
    kind, _, name = teacher.partition(":")
    if kind == "hf-hub":
        return name.partition("@")[0]
    if kind == "local-dir":
        return None
    path = get_pretrained_cfg(kind, name).get("hf_hub", "")  # `org/name/` or `org/name/file`
    return "/".join(path.split("/")[:2]) or None


def initial_model(initial_weights: JSONObject) -> str | None:
    """The Hub's name of the weights before training (`InitialWeightsJSON`); None if they are not on the Hub."""
    kind, _, name = str(initial_weights.get("source", "")).partition(":")
    if kind == "hf-hub":
        return name.partition("@")[0]
    return kind if is_of_timm(kind) else None


def is_of_timm(hub_name: str) -> bool:
    """Whether timm lists these weights, and with them their licence."""
    owner, _, name = hub_name.partition("/")
    return owner == "timm" and timm.is_model_pretrained(name)
