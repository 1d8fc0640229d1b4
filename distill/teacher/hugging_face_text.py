"""Text towers of Hugging Face inside a model of open_clip: RoBERTa, XLM-RoBERTa, mT5, NLLB.

The config of open_clip only names such a tower (`hf_model_name`); transformers reads its sizes from `config.json` of
that repository, or of a folder. The `transformers` library is needed; weights and tokenizer are the teacher's own.
"""

from pathlib import Path
from typing import Any

from distill.json_types import ModelConfig
from distill.teacher.errors import TeacherError, teacher_errors

# Fields of a config of transformers that do not change a tower.
_PROVENANCE = ("_name_or_path", "name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype")


def resolve_text_config(ref: str, model_cfg: ModelConfig, folder: Path | None, root: Path | None) -> dict[str, Any]:
    """The config of the text tower, without provenance; empty for a tower of open_clip.

    A folder named in `hf_model_name` is looked up beside the teacher, and its path replaces the name in `model_cfg`.
    With a `root` it must lie inside. Raises TeacherError.
    """
    text_cfg = model_cfg["text_cfg"]
    name = text_cfg.get("hf_model_name")
    if not name:
        return {}
    if folder is not None and (folder / name).is_dir():
        text_cfg["hf_model_name"] = name = str((folder / name).resolve())
    if root is not None and Path(name).is_dir() and not Path(name).resolve().is_relative_to(root.resolve()):
        raise TeacherError("teacher_not_found", f"the text tower {name} of {ref} lies outside the data root")
    from transformers import AutoConfig

    with teacher_errors(ref, needs=f"the config of {name}, the text tower of {ref} (hf_model_name),"):
        config: dict[str, Any] = AutoConfig.from_pretrained(name).to_dict()
    return {key: value for key, value in config.items() if key not in _PROVENANCE}
