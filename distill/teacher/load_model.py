"""Builds the model of a teacher's source, loads its weights, and loads its tokenizer."""

from open_clip.convert import load_big_vision_weights

from distill.json_types import TeacherWeights
from distill.teacher.build_model import build_model
from distill.teacher.clip_model import ClipModel
from distill.teacher.errors import TeacherError, teacher_errors
from distill.teacher.sources import TeacherSource
from distill.teacher.tokenizer import Tokenizer, clip_folder_tokenizer, load_tokenizer, siglip_folder_tokenizer
from distill.teacher.transformers_weights import to_open_clip
from distill.teacher.weights.fitting import has_openai_numbers, is_half_beside_norms, load_tensors
from distill.teacher.weights.reading import State, check_archive, read_weights
from limbeck.shared.text import first_line

_OPENAI_NOTE = "OpenAI's weights were trained with QuickGELU"


def load_model(ref: str, source: TeacherSource) -> tuple[ClipModel, list[str]]:
    """The model with its weights, in float32 on the CPU, and notes.

    Sets `quick_gelu` in the config for OpenAI's own files. Raises TeacherError for damaged weights and for a misfit.
    """
    notes = list(source.notes)
    if source.weights.name.endswith(".npz"):
        return _load_big_vision(ref, source), notes
    state = read_weights(ref, source.weights)
    if source.kind is None:
        notes += _activation_notes(source, state)
    else:
        state = to_open_clip(source.kind, state)
    model = build_model(source.model_cfg, source.preprocess, source.kind)
    notes += load_tensors(ref, model, state)
    return model, notes


def _activation_notes(source: TeacherSource, state: State) -> list[str]:
    """Weights do not tell their activation, except that OpenAI's own files have numbers that others lack."""
    if source.model_cfg.get("quick_gelu") or "timm_model_name" in source.model_cfg["vision_cfg"]:
        return []
    if has_openai_numbers(state):
        source.model_cfg["quick_gelu"] = True
        return [f"{_OPENAI_NOTE}: it is used, although the model's name says GELU"]
    if is_half_beside_norms(state):
        return [
            f"the weights look like OpenAI's (half precision, norms in float32). {_OPENAI_NOTE}, and the model uses "
            f"GELU: if they are, name the model ending in -quickgelu"
        ]
    return []


def _load_big_vision(ref: str, source: TeacherSource) -> ClipModel:
    """A SigLIP with weights as big_vision writes them, by open_clip's conversion."""
    (path,) = source.weights.paths
    if source.model_cfg.get("init_logit_bias") is None:
        raise TeacherError(
            "teacher_unsupported", f"{path.name} of {ref} is of big_vision, which open_clip reads only for SigLIP"
        )
    check_archive(ref, path)
    model = build_model(source.model_cfg, source.preprocess, source.kind)
    try:
        load_big_vision_weights(model, str(path))
    except Exception as error:  # numpy, zipfile and torch have many kinds for damaged and other files
        reason = first_line(error).strip("'\"")
        raise TeacherError("teacher_incomplete", f"{path.name} of {ref} does not fit the model: {reason}") from error
    return model


def tokenizer_of(ref: str, source: TeacherSource) -> Tokenizer:
    """The tokenizer; for a converted model also its name in the config, by which open_clip finds it in a pairing."""
    text_cfg = source.model_cfg["text_cfg"]
    if source.kind is None or source.folder is None:
        is_elsewhere = source.folder is None and text_cfg.get("hf_tokenizer_name")
        needs = f"the tokenizer {text_cfg['hf_tokenizer_name']} of {ref}" if is_elsewhere else ""
        with teacher_errors(ref, needs=needs):
            return load_tokenizer(text_cfg, source.folder)
    if source.kind == "siglip":
        tokenizer = siglip_folder_tokenizer(
            source.folder, text_cfg.get("tokenizer_kwargs") or {}, pad_id=source.pad_token_id
        )
    else:
        tokenizer = clip_folder_tokenizer(source.folder, text_cfg["context_length"], pad_id=source.pad_token_id)
    if tokenizer.needs_file:
        text_cfg["hf_tokenizer_name"] = source.folder.name
    return tokenizer


def weights_info(source: TeacherSource) -> TeacherWeights:
    """The weights that were chosen."""
    return {
        "file": source.weights.name,
        "num_bytes": source.weights.num_bytes,
        "layout": "open_clip" if source.kind is None else "transformers",
        "quick_gelu": bool(source.model_cfg.get("quick_gelu", False)),
    }
