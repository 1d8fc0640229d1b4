"""A teacher's own tokenizer, counted before it is cut: open_clip's byte-pair one, or a Hugging Face `tokenizers` file.

open_clip's tokenizers cut a long text without a word, and its wrapper for Hugging Face ones needs `transformers`.
Here a text becomes all of its tokens, with the special ones, and whoever asked decides what to do with too many.
Either kind can be written as `tokenizer.json`, so that rooms without torch count tokens too.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import open_clip
import tokenizers
from open_clip.tokenizer import SimpleTokenizer, get_clean_fn
from tokenizers import Regex, models, normalizers, pre_tokenizers, processors

from distill.data.atomic_files import write_bytes
from distill.data.row_cache import key_of

TOKENIZER_FILE = "tokenizer.json"
SETTINGS_FILES = ("tokenizer_config.json", "special_tokens_map.json")


class Tokenizer(Protocol):
    """What the rest of the room needs of a tokenizer: token ids, the padding, and a file of it."""

    pad_id: int
    fingerprint: str

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """All tokens of each text, special ones included, uncut and unpadded."""

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json` and its settings below `folder`."""


class BytePairTokenizer:
    """open_clip's own CLIP tokenizer, with the settings of a model's `tokenizer_kwargs`."""

    pad_id = 0

    def __init__(self, context_length: int, settings: dict[str, Any]) -> None:
        self._inner = SimpleTokenizer(context_length=context_length, **settings)
        self._settings = settings
        self._context_length = context_length
        self.fingerprint = key_of("open_clip", json.dumps(settings, sort_keys=True)).hex()

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        start, end = self._inner.sot_token_id, self._inner.eot_token_id
        return [[start, *self._inner.encode(text), end] for text in texts]

    def save(self, folder: Path) -> None:
        """Write the same tokens as a `tokenizers` file; only the mending of broken Unicode (ftfy) is not in it."""
        write_bytes(folder / TOKENIZER_FILE, self.as_file().to_str(pretty=True).encode())
        settings = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": "<start_of_text>",
            "eos_token": "<end_of_text>",
            "model_max_length": self._context_length,
        }
        write_bytes(folder / SETTINGS_FILES[0], (json.dumps(settings, indent=2) + "\n").encode())

    def as_file(self) -> tokenizers.Tokenizer:
        """The same vocabulary, merges and cleaning as a `tokenizers` object."""
        inner = self._inner
        merges = sorted(inner.bpe_ranks, key=inner.bpe_ranks.__getitem__)
        file = tokenizers.Tokenizer(
            models.BPE(vocab=inner.encoder, merges=merges, end_of_word_suffix="</w>", unk_token="<end_of_text>")
        )
        steps: list[normalizers.Normalizer] = [normalizers.NFC()]
        if self._settings.get("clean") == "canonicalize":
            steps += [normalizers.Replace("_", " "), normalizers.Replace(Regex(r"[!-/:-@\[-`{-~]"), "")]
        steps += [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
        if self._settings.get("clean", "lower") != "whitespace":
            steps.append(normalizers.Lowercase())
        file.normalizer = normalizers.Sequence(steps)
        words = Regex(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+")
        file.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(words, behavior="removed", invert=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        file.post_processor = processors.TemplateProcessing(
            single="<start_of_text> $A <end_of_text>",
            special_tokens=[("<start_of_text>", inner.sot_token_id), ("<end_of_text>", inner.eot_token_id)],
        )
        return file


class FileTokenizer:
    """A `tokenizer.json` used as open_clip uses it: its `clean` before, its padding token after."""

    def __init__(self, folder: Path, context_length: int, settings: dict[str, Any]) -> None:
        """Raises FileNotFoundError without a `tokenizer.json`, ValueError where it or its settings are unusable."""
        source = folder / TOKENIZER_FILE
        data = source.read_bytes()
        try:
            self._inner = tokenizers.Tokenizer.from_buffer(data)
        except Exception as error:  # the library raises bare Exception for a file it cannot parse
            raise ValueError(f"{source} is not a tokenizers file: {error}") from error
        self._files = {name: (folder / name).read_bytes() for name in SETTINGS_FILES if (folder / name).is_file()}
        self._files[TOKENIZER_FILE] = data
        self.pad_id = self._special("pad_token", default=(self._inner.padding or {}).get("pad_id"))
        self._separator = self._special("sep_token") if settings.get("strip_sep_token") else None
        self._inner.no_truncation()
        self._inner.no_padding()
        self._clean: Callable[[str], str] = get_clean_fn(settings.get("clean", "whitespace"))
        self.fingerprint = key_of(data, json.dumps(settings, sort_keys=True), str(self.pad_id)).hex()

    def _special(self, name: str, default: int | None = None) -> int:
        for settings_file in SETTINGS_FILES:
            entry = json.loads(self._files.get(settings_file, b"{}")).get(name)
            token = entry.get("content") if isinstance(entry, dict) else entry
            number = self._inner.token_to_id(token) if token else None
            if number is not None:
                return int(number)
        if default is None:
            raise ValueError(f"no {name} is named in {SETTINGS_FILES[0]} or {TOKENIZER_FILE}")
        return int(default)

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        encoded = self._inner.encode_batch([self._clean(text) for text in texts])
        if self._separator is None:
            return [list(item.ids) for item in encoded]
        return [[0 if number == self._separator else number for number in item.ids] for item in encoded]

    def save(self, folder: Path) -> None:
        for name, data in self._files.items():
            write_bytes(folder / name, data)


def load_tokenizer(open_clip_name: str, text_cfg: dict[str, Any]) -> Tokenizer:
    """The tokenizer of an open_clip model (name, `hf-hub:…` or `local-dir:…`), as its text config names it.

    A local folder holds its own `tokenizer.json`; another model's comes from the Hub or its cache. Raises what the
    Hub client raises, FileNotFoundError, or ValueError for a mode that needs more than a `tokenizers` file.
    """
    context_length = int(text_cfg.get("context_length", open_clip.tokenizer.DEFAULT_CONTEXT_LENGTH))
    settings = dict(text_cfg.get("tokenizer_kwargs") or {})
    hub_name = text_cfg.get("hf_tokenizer_name")
    if not hub_name:
        return BytePairTokenizer(context_length, settings)
    if text_cfg.get("tokenizer_mode"):
        raise ValueError(f"tokenizer mode {text_cfg['tokenizer_mode']!r} is not known here")
    if open_clip_name.startswith("local-dir:"):
        return FileTokenizer(Path(open_clip_name.removeprefix("local-dir:")), context_length, settings)
    return FileTokenizer(_from_hub(hub_name), context_length, settings)


def _from_hub(hub_name: str) -> Path:
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(hub_name, allow_patterns=[TOKENIZER_FILE, *SETTINGS_FILES]))
