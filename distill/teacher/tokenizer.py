"""The tokenizer of a teacher, without truncation: open_clip's byte-pair one, or a Hugging Face `tokenizers` file.

open_clip's tokenizers silently truncate a long text, and its wrapper for Hugging Face ones needs `transformers`. These
return all tokens of a text, special ones included, and the caller handles texts that are too long. Both kinds can be
saved as `tokenizer.json`, so that packages without torch can count tokens.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import open_clip
import tokenizers
from open_clip.tokenizer import SimpleTokenizer, get_clean_fn

from distill.data.atomic_files import write_bytes
from distill.data.row_cache import key_of
from distill.json_types import JSONObject, TextConfig
from limbeck.shared.clip_tokenizer import END, START, clip_tokenizer

TOKENIZER_FILE = "tokenizer.json"
SETTINGS_FILES = ("tokenizer_config.json", "special_tokens_map.json")


class Tokenizer(Protocol):
    """Interface of a tokenizer: token ids, padding id, fingerprint, and saving to files."""

    pad_id: int
    fingerprint: str

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """All tokens of each text, special ones included, not truncated or padded."""

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json` and its settings into `folder`."""


class BytePairTokenizer:
    """open_clip's own CLIP tokenizer, with the settings of a model's `tokenizer_kwargs`."""

    pad_id = 0

    def __init__(self, context_length: int, settings: JSONObject) -> None:
        self._inner = SimpleTokenizer(context_length=context_length, **settings)
        self._settings = settings
        self._context_length = context_length
        self.fingerprint = key_of("open_clip", json.dumps(settings, sort_keys=True)).hex()

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        start, end = self._inner.sot_token_id, self._inner.eot_token_id
        return [[start, *self._inner.encode(text), end] for text in texts]

    def save(self, folder: Path) -> None:
        """Write an equivalent `tokenizers` file, except that it does not repair broken Unicode (ftfy)."""
        write_bytes(folder / TOKENIZER_FILE, self.as_file().to_str(pretty=True).encode())
        settings = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": START,
            "eos_token": END,
            "model_max_length": self._context_length,
        }
        write_bytes(folder / SETTINGS_FILES[0], (json.dumps(settings, indent=2) + "\n").encode())

    def as_file(self) -> tokenizers.Tokenizer:
        """A `tokenizers` object with the same vocabulary, merges and text cleaning."""
        merges = sorted(self._inner.bpe_ranks, key=self._inner.bpe_ranks.__getitem__)
        special_tokens = [self._inner.decoder[number] for number in self._inner.all_special_ids[2:]]  # after start, end
        return clip_tokenizer(merges, clean=str(self._settings.get("clean", "lower")), special_tokens=special_tokens)


class FileTokenizer:
    """A `tokenizer.json` used as open_clip does: text cleaned first by `clean`, padded with its padding token."""

    def __init__(self, folder: Path, context_length: int, settings: JSONObject) -> None:
        """Raises FileNotFoundError without a `tokenizer.json`, ValueError if it or its settings are unusable."""
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
            token_id = self._inner.token_to_id(token) if token else None
            if token_id is not None:
                return int(token_id)
        if default is None:
            raise ValueError(f"neither {SETTINGS_FILES[0]} nor {TOKENIZER_FILE} defines {name}: add it")
        return int(default)

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        encoded = self._inner.encode_batch([self._clean(text) for text in texts])
        if self._separator is None:
            return [list(item.ids) for item in encoded]
        return [[0 if token_id == self._separator else token_id for token_id in item.ids] for item in encoded]

    def save(self, folder: Path) -> None:
        for name, data in self._files.items():
            write_bytes(folder / name, data)


def load_tokenizer(open_clip_name: str, text_cfg: TextConfig) -> Tokenizer:
    """The tokenizer of an open_clip model (name, `hf-hub:…` or `local-dir:…`) according to its text config.

    A local folder has its own `tokenizer.json`; for other models it comes from the Hub or its cache. Raises the errors
    of the Hub client, FileNotFoundError, or ValueError for a `tokenizer_mode`, which a `tokenizers` file cannot hold.
    """
    context_length = int(text_cfg.get("context_length", open_clip.tokenizer.DEFAULT_CONTEXT_LENGTH))
    settings = dict(text_cfg.get("tokenizer_kwargs") or {})
    hub_name = text_cfg.get("hf_tokenizer_name")
    if not hub_name:
        return BytePairTokenizer(context_length, settings)
    if text_cfg.get("tokenizer_mode"):
        raise ValueError(f"tokenizer_mode {text_cfg['tokenizer_mode']!r} is not supported: choose another teacher")
    if open_clip_name.startswith("local-dir:"):
        return FileTokenizer(Path(open_clip_name.removeprefix("local-dir:")), context_length, settings)
    return FileTokenizer(_from_hub(hub_name), context_length, settings)


def _from_hub(hub_name: str) -> Path:
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(hub_name, allow_patterns=[TOKENIZER_FILE, *SETTINGS_FILES]))
