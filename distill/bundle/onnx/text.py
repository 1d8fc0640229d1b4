"""`onnx/text.onnx`: the text tower of a teacher for ONNX Runtime, with its tokenizer.

`tokens` int64 (N, L) -> `embedding` (N, D), L2-normalised. L is the context length; `tokenizer.json` cuts and pads to
it (`distill.bundle.onnx.tokenizer`). N texts, L tokens, D embedding width.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from distill.bundle.onnx.graphs import export, saved
from distill.bundle.onnx.runtime import check_cosine, session
from distill.bundle.onnx.tokenizer import AWKWARD_TEXTS, UNESCAPE_HTML, tokenizer_file
from distill.bundle.optional_parts import ONNX_TEXT
from distill.bundle.pairing import CONFIG_FILE, WEIGHTS_FILE
from distill.data.atomic_files import write_bytes
from distill.json_types import JSONObject
from distill.teacher.build_model import build_model
from distill.teacher.teacher import Teacher, load_teacher
from distill.teacher.tokenizer import FILES, TOKENIZER_FILE

# An image tower that costs nothing: a pairing has the student's, which its text tower does not need.
_SMALL_TOWER = {"image_size": 8, "patch_size": 8, "layers": 1, "width": 8, "head_width": 8}


class _TextEncoder(torch.nn.Module):
    """The text tower of a model, with L2-normalised output."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor) -> Tensor:
        features: Tensor = torch.nn.functional.normalize(self.model.encode_text(tokens), dim=-1)  # type: ignore[operator]
        return features


def write_text(folder: Path, teacher: Teacher, templates: tuple[str, ...], *, num_learned: int) -> JSONObject:
    """Write `text.onnx` and `tokenizer.json`; returns the facts for `config.json`, with the `templates` of a label.

    `num_learned`: vectors that prompt learning put before a label. Raises BundleError, OSError.
    """
    from tokenizers import Tokenizer

    tokenizer = tokenizer_file(teacher.tokenizer, teacher.context_length)
    ids = torch.zeros(2, teacher.context_length, dtype=torch.long)
    with _on_cpu(teacher):
        graph = export(_TextEncoder(teacher.text_tower()).eval(), ids, name="tokens")
        write_bytes(folder / ONNX_TEXT, saved(graph))
        write_bytes(folder / TOKENIZER_FILE, tokenizer)
        opened, split = session(folder / ONNX_TEXT), Tokenizer.from_buffer(tokenizer)
        texts = [text for text in AWKWARD_TEXTS if teacher.count_tokens([text])[0] <= teacher.context_length]
        texts = [text for text in texts if "&" not in text]  # these are for the caller of the tokenizer
        for some in (texts[:1], texts):
            tokens = [encoding.ids for encoding in split.encode_batch(some)]
            (found,) = opened.run(["embedding"], {"tokens": torch.tensor(tokens).numpy()})
            check_cosine(ONNX_TEXT, found, teacher.encode_text(some))
    return _facts(teacher, templates, num_learned)


def _facts(teacher: Teacher, templates: tuple[str, ...], num_learned: int) -> JSONObject:
    empty, word, capitals = teacher.tokenizer.ids(["", "crane", "CRANE"])
    num_start = next(at for at, token in enumerate(word) if at >= len(empty) or token != empty[at])
    return {
        "context_length": teacher.context_length,
        "templates": list(templates),
        "pad_id": teacher.tokenizer.pad_id,
        "start_id": word[0] if num_start else None,
        "end_id": word[-1],
        "lowercase": word == capitals,
        "unescape_html": UNESCAPE_HTML,
        "learned_vectors": num_learned,
    }


@contextmanager
def _on_cpu(teacher: Teacher) -> Iterator[None]:
    """The teacher on the CPU, where graphs are exported."""
    device = teacher.device
    teacher.move_to(torch.device("cpu"))
    try:
        yield
    finally:
        teacher.move_to(device)


def text_tower_of(pairing: Path, scratch: Path) -> Teacher:
    """The text tower of a pairing as a teacher with an image tower without meaning. `scratch`: an empty folder.

    Raises TeacherError, OSError, and ValueError for damaged files.
    """
    config = json.loads((pairing / CONFIG_FILE).read_text(encoding="utf-8"))
    config["model_cfg"]["vision_cfg"] = _SMALL_TOWER
    config["preprocess_cfg"] = {}
    (scratch / CONFIG_FILE).write_text(json.dumps(config), encoding="utf-8")
    small = build_model(config["model_cfg"], {}, None).state_dict()
    state = {name: tensor for name, tensor in load_file(pairing / WEIGHTS_FILE).items() if not _is_visual(name)}
    state |= {name: tensor.contiguous() for name, tensor in small.items() if _is_visual(name)}
    save_file(state, scratch / WEIGHTS_FILE)
    for name in FILES:
        if (pairing / name).is_file():
            shutil.copyfile(pairing / name, scratch / name)
    return load_teacher(f"local-dir:{scratch}")


def _is_visual(name: str) -> bool:
    return name.startswith("visual.")
