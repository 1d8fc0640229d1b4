"""A frozen CLIP or SigLIP teacher from open_clip, with its own tokenizer and preprocessing.

A reference is `ViT-B-32:openai` (open_clip's model and tag), `ViT-B-32:PATH` (a file of weights for this model),
`hf-hub:org/name`, or `local-dir:PATH`, a folder in the layout of open_clip or of transformers
(`distill.teacher.sources`). Weights are safetensors, or are read by `torch.load(weights_only=True)`, and are converted
to float32. A missing or damaged part raises a `TeacherError` that names it.
B images, N texts, L tokens, M context vectors, W token embedding width, D embedding width.
"""

import copy
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

import torch
from open_clip.tokenizer import DEFAULT_CONTEXT_LENGTH
from open_clip.transform import PreprocessCfg, image_transform_v2
from open_clip.transformer import text_global_pool
from PIL import Image

from distill.config.image_size import ImageSize
from distill.config.model_names import UnknownName, check_teacher
from distill.data.decoded_images import squash
from distill.data.row_cache import key_of
from distill.json_types import JSONObject, ModelConfig, TeacherInfo, TeacherPreprocess, TeacherWeights
from distill.teacher.clip_model import ClipModel, TextTower
from distill.teacher.errors import TeacherError, check_preprocess, check_supported, check_vocabulary, teacher_errors
from distill.teacher.held_files import HeldFiles
from distill.teacher.hugging_face_text import resolve_text_config
from distill.teacher.load_model import load_model, tokenizer_of, weights_info
from distill.teacher.sources import find_teacher
from distill.teacher.tokenizer import NUM_CLIP_TOKENS, Tokenizer
from limbeck.shared.images.extreme_shapes import MAX_ASPECT, central_part, shortened

__all__ = ["Teacher", "TeacherError", "View", "load_teacher"]

View = Literal["center", "squash", "squash_256"]
"""Preprocessing of an image for a teacher: its own, the whole image squashed to its size, or `squash_256`, the same as
published (arXiv:2307.03135): squashed to 256 x 256 pixels bilinearly, and these bicubically without antialiasing."""

PUBLISHED_PX = 256

TRANSFORM_VERSION = "open_clip image_transform_v2"
MAX_TEXT_BATCH = 256


class Teacher:
    """A loaded teacher, in evaluation mode, without gradients for its parameters.

    `digest`: sha256 over its config, its tokenizer and every tensor as float32 in order of name, so that it does not
    depend on the file format. `preprocess`: size [h, w] in pixels, mean and std of values in 0..1, interpolation,
    resize_mode (shortest, longest or squash), fill_color. `logit_scale`: the factor, not its logarithm. `model_cfg`:
    its open_clip config. `weights`: the file that was chosen. `notes`: what was adapted or cannot be known.
    """

    def __init__(
        self,
        ref: str,
        model: ClipModel,
        model_cfg: ModelConfig,
        tokenizer: Tokenizer,
        device: torch.device,
        *,
        weights: TeacherWeights,
        text_config: JSONObject,
        notes: Sequence[str] = (),
    ) -> None:
        """`text_config`: of a text tower of Hugging Face, else empty."""
        self.ref = ref
        self.model_cfg = model_cfg
        self.tokenizer = tokenizer
        self.device = device
        self.weights = weights
        self.notes = tuple(notes)
        self.width = int(model_cfg["embed_dim"])
        self.preprocess = _plain_preprocess(model)
        self.preprocess_digest = _digest_json({"transform": TRANSFORM_VERSION, **self.preprocess})
        self.digest = _digest_model(model, model_cfg, tokenizer, text_config)
        self._model = model.to(device).eval().requires_grad_(False)
        # The CLIP class holds the parts of the text tower directly; the other classes have a `text` module.
        self._text = cast(TextTower, getattr(model, "text", model))
        # A tower of Hugging Face reads more tokens than it was trained on, or names no limit.
        self.context_length = (
            int(model_cfg["text_cfg"].get("context_length", DEFAULT_CONTEXT_LENGTH))
            if text_config
            else int(self._text.context_length)
        )
        state = model.state_dict()
        self.logit_scale = float(state["logit_scale"].exp())
        self.logit_bias = float(state["logit_bias"]) if "logit_bias" in state else None
        self._transforms: dict[str, Callable[[Image.Image], torch.Tensor]] = {
            "center": _transform(self.preprocess),
            "squash": _transform({**self.preprocess, "resize_mode": "squash"}),
        }

    def prepare(self, image: Image.Image, view: View = "center") -> torch.Tensor:
        """An RGB image as input of the teacher: (3, H, W) float32, normalised by its mean and std.

        Extremely long images are reduced first, so that no resize needs gigabytes (`limbeck.shared.images`).
        """
        if view == "squash_256":
            return self._squashed_by_way_of_256(image)
        if view == "squash" or self.preprocess["resize_mode"] == "squash":
            image = shortened(image, self.preprocess["size"][0])
        else:
            image = central_part(image, min(MAX_ASPECT, *self.preprocess["size"]))
        return self._transforms[view](image)

    def _squashed_by_way_of_256(self, image: Image.Image) -> torch.Tensor:
        """The published input, with the teacher's own mean and std; (3, H, W) float32."""
        stored = squash(image, ImageSize.of(PUBLISHED_PX), "bilinear")  # (256, 256, 3)
        pixels = torch.tensor(stored).permute(2, 0, 1).float() / 255
        resized = torch.nn.functional.interpolate(pixels[None], size=tuple(self.preprocess["size"]), mode="bicubic")[0]
        mean, std = (torch.tensor(self.preprocess[name]).view(3, 1, 1) for name in ("mean", "std"))
        return (resized - mean) / std

    @torch.no_grad()
    def encode_images(self, images: torch.Tensor) -> torch.Tensor:
        """Unnormalised embeddings of prepared images: (B, 3, H, W) -> (B, D) float32 on the teacher's device."""
        features: torch.Tensor = self._model.encode_image(images.to(self.device), normalize=False)
        return self._checked(features)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Number of tokens of each text, special ones included, without truncation."""
        return [len(ids) for ids in self.tokenizer.ids(texts)]

    def encode_text(self, texts: Sequence[str]) -> torch.Tensor:
        """L2-normalised embeddings (N, D) float32 of texts. Raises ValueError for one longer than the context."""
        every_ids = self.tokenizer.ids(texts)
        for text, ids in zip(texts, every_ids, strict=True):
            if len(ids) > self.context_length:
                raise ValueError(
                    f"{text!r} has {len(ids)} tokens, {self.ref} reads {self.context_length}: shorten it, "
                    f"or use distill.texts.text_targets, which does"
                )
        batches = [
            self._encode_ids(every_ids[start : start + MAX_TEXT_BATCH])
            for start in range(0, len(every_ids), MAX_TEXT_BATCH)
        ]
        return torch.cat(batches) if batches else torch.zeros(0, self.width, device=self.device)

    @torch.no_grad()
    def _encode_ids(self, every_ids: list[list[int]]) -> torch.Tensor:
        return torch.nn.functional.normalize(self._text_features(every_ids), dim=-1)

    def encode_after(self, context: torch.Tensor, every_ids: list[list[int]]) -> torch.Tensor:
        """L2-normalised embeddings (N, D) of token ids with the vectors `context` (M, W) inserted before their words.

        The vectors follow the tokens that start every text, and carry gradient. Raises ValueError for a text that is
        too long with them, and TeacherError for a tower without a token embedding layer.
        """
        start, max_tokens = self._num_start_tokens, self.context_length - len(context)
        if max(map(len, every_ids)) > max_tokens:
            raise ValueError(f"{self.ref} reads {max_tokens} tokens after {len(context)} vectors: shorten the texts")
        # Placeholder tokens hold the positions; any token works that is neither padding nor the end of a text.
        with_placeholders = [ids[:start] + [self._placeholder] * len(context) + ids[start:] for ids in every_ids]

        def insert(_module: torch.nn.Module, _inputs: object, embedded: torch.Tensor) -> torch.Tensor:
            vectors = context.to(embedded.dtype).expand(len(embedded), -1, -1)
            return torch.cat([embedded[:, :start], vectors, embedded[:, start + len(context) :]], dim=1)

        hook = self._token_embedding().register_forward_hook(insert)
        try:
            return torch.nn.functional.normalize(self._text_features(with_placeholders), dim=-1)
        finally:
            hook.remove()

    @property
    def token_width(self) -> int:
        """W, the width of a token embedding. Raises TeacherError for a tower without a token embedding layer."""
        return int(self._token_embedding().weight.shape[1])

    def _token_embedding(self) -> torch.nn.Embedding:
        embedding = getattr(self._text, "token_embedding", None)
        if not isinstance(embedding, torch.nn.Embedding):
            raise TeacherError(
                "teacher_unsupported",
                f"the text tower of {self.ref} has no token embedding layer: set context_tokens to 0",
            )
        return embedding

    @cached_property
    def _num_start_tokens(self) -> int:
        """Number of tokens before the first word of every text."""
        empty, word = self.tokenizer.ids(["", "crane"])
        return next(at for at, token in enumerate(word) if token != empty[at])

    @cached_property
    def _placeholder(self) -> int:
        return self.tokenizer.ids(["crane"])[0][self._num_start_tokens]

    def move_to(self, device: torch.device) -> None:
        """Move the model to `device`."""
        if device != self.device:
            self._model.to(device)
            self.device = device

    def _text_features(self, every_ids: list[list[int]]) -> torch.Tensor:
        # A causal tower does not attend to tokens after the end token, so its padding need not be computed.
        causal = self._is_causal()
        length = max(map(len, every_ids)) if causal else self.context_length
        ids = torch.full((len(every_ids), length), self.tokenizer.pad_id, dtype=torch.long)  # (N, L)
        for row, text_ids in zip(ids, every_ids, strict=True):
            row[: len(text_ids)] = torch.tensor(text_ids)
        ids = ids.to(self.device)
        return self._checked(self._encode_causal(ids) if causal else self._model.encode_text(ids, normalize=False))

    def _is_causal(self) -> bool:
        pool = getattr(self._text, "pool_type", None) or getattr(self._text, "text_pool_type", None)
        masked = getattr(self._text, "attn_mask", None) is not None
        return masked and pool in ("argmax", "eos") and getattr(self._text, "cls_emb", None) is None

    def _encode_causal(self, ids: torch.Tensor) -> torch.Tensor:
        """open_clip's text forward pass on ids (N, L) with L <= context_length; its CLIP class requires equality."""
        tower = self._text
        length = ids.shape[1]
        hidden = tower.token_embedding(ids) + tower.positional_embedding[:length]
        hidden = tower.transformer(hidden, attn_mask=tower.attn_mask[:length, :length])  # (N, L, width)
        hidden = tower.ln_final(hidden)
        pool = getattr(tower, "pool_type", None) or tower.text_pool_type
        eos_id = getattr(tower, "eos_id", None) or getattr(tower, "text_eos_id", None)
        pooled: torch.Tensor = text_global_pool(hidden, ids, pool, eos_token_id=eos_id)
        projection = tower.text_projection
        if projection is not None:
            pooled = projection(pooled) if isinstance(projection, torch.nn.Linear) else pooled @ projection
        return pooled

    def _checked(self, features: torch.Tensor) -> torch.Tensor:
        if features.shape[-1] != self.width:
            raise TeacherError(
                "teacher_incomplete",
                f"{self.ref} has width {features.shape[-1]}, its config says {self.width}: correct embed_dim",
            )
        return features.float()

    def text_tower(self) -> torch.nn.Module:
        """The model; its `encode_text` gives unnormalised embeddings (N, D) of token ids (N, context_length)."""
        assert isinstance(self._model, torch.nn.Module)
        return self._model

    def text_state(self) -> dict[str, torch.Tensor]:
        """The teacher's tensors without image tower and caption decoder, on the CPU, by their open_clip names."""
        return {
            name: tensor.detach().cpu()
            for name, tensor in self._model.state_dict().items()
            if not name.startswith(("visual.", "text_decoder."))
        }

    def save_tokenizer(self, folder: Path) -> None:
        """Write `tokenizer.json` (a Hugging Face `tokenizers` file) and its settings into `folder`."""
        self.tokenizer.save(folder)

    @property
    def origin(self) -> str:
        """Where the weights come from, for messages: file, size, conversion and activation."""
        size = f"{self.weights['num_bytes'] / 1e6:,.1f} MB"
        converted = ", converted from transformers" if self.weights["layout"] == "transformers" else ""
        quick_gelu = ", QuickGELU" if self.weights["quick_gelu"] else ""
        return f"weights {self.weights['file']} ({size}{converted}{quick_gelu})"

    def info(self) -> TeacherInfo:
        """Description of the teacher for packages without torch; can be written as JSON."""
        return {
            "ref": self.ref,
            "digest": self.digest,
            "width": self.width,
            "context_length": self.context_length,
            "logit_scale": self.logit_scale,
            "logit_bias": self.logit_bias,
            "preprocess": self.preprocess,
            "preprocess_digest": self.preprocess_digest,
            "tokenizer_fingerprint": self.tokenizer.fingerprint,
            "num_parameters": sum(parameter.numel() for parameter in self._model.parameters()),
            "weights": self.weights,
            "notes": list(self.notes),
        }


def load_teacher(ref: str, *, device: str = "cpu", root: Path | None = None) -> Teacher:
    """Load the teacher of a reference.

    `root`: folder that paths are relative to and must stay in, as the files that are opened; None allows any path.
    Raises TeacherError.
    """
    try:
        parsed = check_teacher(ref)
    except UnknownName as error:
        raise TeacherError("teacher_not_found", str(error)) from error
    with teacher_errors(ref), ExitStack() as stack:
        if root is not None and parsed.path is not None:
            held = stack.enter_context(HeldFiles(parsed, root))
            source = find_teacher(parsed, held.root)
            held.open(source.weights.paths)
        else:
            source = find_teacher(parsed, None)
        check_supported(ref, source.model_cfg)
        check_preprocess(ref, source.preprocess)
        text_config = resolve_text_config(ref, source.model_cfg, source.folder)
        model, notes = load_model(ref, source)
        tokenizer = tokenizer_of(ref, source)
        weights = weights_info(source)
        vocabulary: Mapping[str, Any] = text_config or source.model_cfg["text_cfg"]
        token_ids = [tokenizer.pad_id, *tokenizer.ids(["a photo of a crane"])[0]]
        end = int(vocabulary.get("eos_id", 2)) if vocabulary.get("pool_type") == "eos" else None
        check_vocabulary(ref, token_ids, int(vocabulary.get("vocab_size", NUM_CLIP_TOKENS)), end)
    return Teacher(
        ref,
        model,
        source.model_cfg,
        tokenizer,
        torch.device(device),
        weights=weights,
        text_config=text_config,
        notes=notes,
    )


def _plain_preprocess(model: ClipModel) -> TeacherPreprocess:
    cfg = model.visual.preprocess_cfg
    size = cfg["size"]
    return {
        "size": [int(size), int(size)] if isinstance(size, int) else [int(side) for side in size],
        "mean": [float(value) for value in cfg["mean"]],
        "std": [float(value) for value in cfg["std"]],
        "interpolation": cfg["interpolation"],
        "resize_mode": cfg["resize_mode"],
        "fill_color": cfg["fill_color"],
    }


def _transform(preprocess: TeacherPreprocess) -> Callable[[Image.Image], torch.Tensor]:
    transform: Callable[[Image.Image], torch.Tensor] = image_transform_v2(
        PreprocessCfg(**{**preprocess, "size": tuple(preprocess["size"])}), is_train=False
    )
    return transform


def _digest_json(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _digest_model(model: ClipModel, model_cfg: ModelConfig, tokenizer: Tokenizer, text_config: JSONObject) -> str:
    architecture = _architecture(model_cfg)
    if text_config:
        architecture["text_cfg"]["hf_model_name"] = _digest_json(text_config)
    digest = hashlib.sha256(key_of(_digest_json(architecture), tokenizer.fingerprint))
    for name, tensor in sorted(model.state_dict().items()):
        plain = tensor.float().contiguous()
        if not bool(plain.isfinite().all()):
            raise TeacherError("teacher_incomplete", f"tensor {name} is not finite: copy the teacher's weights again")
        digest.update(f"{name} {list(plain.shape)}\n".encode())
        digest.update(plain.numpy().tobytes())
    return digest.hexdigest()


def _architecture(model_cfg: ModelConfig) -> ModelConfig:
    """The config without fields that do not change a loaded model: download sources of towers and tokenizers."""
    plain = copy.deepcopy(model_cfg)
    plain["vision_cfg"].pop("timm_model_pretrained", None)
    plain["text_cfg"].pop("hf_tokenizer_name", None)
    return plain
