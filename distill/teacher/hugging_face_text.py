"""Text towers of Hugging Face inside a model of open_clip: RoBERTa, XLM-RoBERTa, mT5, NLLB.

The config of open_clip only names such a tower (`hf_model_name`); transformers reads its sizes from `config.json` of
that repository, or of a folder. The `transformers` library is needed; weights and tokenizer are the teacher's own.
"""

from pathlib import Path
from typing import Any

from distill.json_types import ModelConfig
from distill.teacher.errors import teacher_errors

# Fields of a config of transformers that do not change a tower.
_PROVENANCE = ("_name_or_path", "name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype")


def resolve_text_config(ref: str, model_cfg: ModelConfig, folder: Path | None) -> dict[str, Any]:
    """The config of the text tower, without provenance; empty for a tower of open_clip.

    `hf_model_name` is a repository of the Hub, or a folder in the teacher's, whose path then replaces the name in
    `model_cfg`. Raises TeacherError.
    """
    text_cfg = model_cfg["text_cfg"]
    name = text_cfg.get("hf_model_name")
    if not name:
        return {}
    if folder is not None and (folder / name).is_dir():
        text_cfg["hf_model_name"] = name = str((folder / name).resolve())
    from transformers import AutoConfig

    with teacher_errors(ref, needs=f"the config of {name}, the text tower of {ref} (hf_model_name),"):
        config: dict[str, Any] = AutoConfig.from_pretrained(name).to_dict()
    return {key: value for key, value in config.items() if key not in _PROVENANCE}
