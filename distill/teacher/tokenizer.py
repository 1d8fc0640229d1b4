"""The tokenizer of a teacher, without truncation: open_clip's byte-pair one, or a Hugging Face `tokenizers` file.

open_clip's tokenizers silently truncate a long text, and its wrapper for Hugging Face ones needs `transformers`. These
return all tokens of a text, special ones included, and the caller handles texts that are too long. Both kinds can be
saved as `tokenizer.json`, so that packages without torch can count tokens.
"""

import json
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import open_clip
import tokenizers
from open_clip.tokenizer import SimpleTokenizer, get_clean_fn
from tokenizers import models, normalizers, pre_tokenizers, processors

from distill.data.atomic_files import write_bytes
from distill.data.row_cache import key_of
from distill.json_types import JSONObject, TextConfig
from limbeck.shared.clip_tokenizer import END, NUM_MERGES, START, cleaning_steps, clip_tokenizer

TOKENIZER_FILE = "tokenizer.json"
SETTINGS_FILES = ("tokenizer_config.json", "special_tokens_map.json")
CLIP_FILES = ("vocab.json", "merges.txt")
NUM_CLIP_TOKENS = 2 * 256 + NUM_MERGES + 2  # bytes in and at the end of a word, merges, start and end
FILES = (TOKENIZER_FILE, *SETTINGS_FILES, *CLIP_FILES)
"""The files of a tokenizer in a folder of transformers."""


class Tokenizer(Protocol):
    """Interface of a tokenizer: token ids, padding id, fingerprint, and saving to files.

    `needs_file`: whether open_clip needs the saved file, or has this tokenizer itself.
    """

    pad_id: int
    fingerprint: str
    needs_file: bool

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """All tokens of each text, special ones included, not truncated or padded."""

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json` and its settings into `folder`."""

    def as_file(self) -> tokenizers.Tokenizer:
        """A `tokenizers` object with the same ids, except that it does not repair broken Unicode and HTML.

        Raises ValueError for a setting that such an object cannot hold.
        """


class BytePairTokenizer:
    """open_clip's own CLIP tokenizer, with the settings of a model's `tokenizer_kwargs`."""

    pad_id = 0
    needs_file = False

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

    def has_vocabulary_of(self, other: "FileTokenizer") -> bool:
        """Whether both give each token the same id. The names of the start and end tokens may differ."""
        names = {"<|startoftext|>": START, "<|endoftext|>": END}
        own: dict[str, int] = self._inner.encoder
        return {names.get(token, token): number for token, number in other.vocabulary().items()} == own

    def as_file(self) -> tokenizers.Tokenizer:
        """A `tokenizers` object with the same vocabulary, merges and text cleaning."""
        merges = sorted(self._inner.bpe_ranks, key=self._inner.bpe_ranks.__getitem__)
        special_tokens = [self._inner.decoder[number] for number in self._inner.all_special_ids[2:]]  # after start, end
        return clip_tokenizer(merges, clean=str(self._settings.get("clean", "lower")), special_tokens=special_tokens)


class FileTokenizer:
    """A `tokenizer.json` used as open_clip does: text cleaned first by `clean`, padded with its padding token."""

    needs_file = True

    def __init__(self, files: Mapping[str, bytes], settings: JSONObject, *, pad_id: int | None = None) -> None:
        """`files`: contents by name, as `tokenizer_files` reads them. `pad_id`: unless the files define it.

        Raises ValueError for files or settings that are unusable.
        """
        if unknown := settings.keys() - {"clean", "strip_sep_token"}:
            raise ValueError(f"the setting {min(unknown)} of its tokenizer needs the transformers library")
        data = files[TOKENIZER_FILE]
        try:
            self._inner = tokenizers.Tokenizer.from_buffer(data)
        except Exception as error:  # the library raises bare Exception for a file it cannot parse
            raise ValueError(f"{TOKENIZER_FILE} is not a tokenizers file: {error}") from error
        self._files = dict(files)
        default = (self._inner.padding or {}).get("pad_id", pad_id)
        self.pad_id = self._special("pad_token", default=default)
        self._separator = self._special("sep_token") if settings.get("strip_sep_token") else None
        self._inner.no_truncation()
        self._inner.no_padding()
        self._clean_name = str(settings.get("clean", "whitespace"))
        self._clean: Callable[[str], str] = get_clean_fn(self._clean_name)
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

    @property
    def num_tokens(self) -> int:
        """Size of the vocabulary, special tokens included."""
        return int(self._inner.get_vocab_size())

    def vocabulary(self) -> dict[str, int]:
        """Id of each token, special tokens included."""
        vocabulary: dict[str, int] = self._inner.get_vocab()
        return vocabulary

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        encoded = self._inner.encode_batch([self._clean(text) for text in texts])
        if self._separator is None:
            return [list(item.ids) for item in encoded]
        return [[0 if token_id == self._separator else token_id for token_id in item.ids] for item in encoded]

    def as_file(self) -> tokenizers.Tokenizer:
        """The tokenizer of the file, with the cleaning of texts before it. Raises ValueError."""
        if self._separator is not None:
            raise ValueError("open_clip replaces its separator token, which a tokenizers file cannot do")
        complete = tokenizers.Tokenizer.from_str(self._inner.to_str())
        steps = cleaning_steps(self._clean_name)
        own = complete.normalizer
        complete.normalizer = normalizers.Sequence(steps if own is None else [*steps, own])
        return complete

    def save(self, folder: Path) -> None:
        for name, data in self._files.items():
            write_bytes(folder / name, data)


def load_tokenizer(text_cfg: TextConfig, folder: Path | None) -> Tokenizer:
    """The tokenizer of an open_clip model according to its text config.

    A local folder has its own `tokenizer.json`; for other models (None) it comes from the Hub or its cache. Raises the
    errors of the Hub client, FileNotFoundError, or ValueError for what a `tokenizers` file cannot hold.
    """
    context_length = int(text_cfg.get("context_length", open_clip.tokenizer.DEFAULT_CONTEXT_LENGTH))
    settings = dict(text_cfg.get("tokenizer_kwargs") or {})
    hub_name = text_cfg.get("hf_tokenizer_name")
    if not hub_name:
        return BytePairTokenizer(context_length, settings)
    if text_cfg.get("tokenizer_mode"):
        raise ValueError(f"tokenizer_mode {text_cfg['tokenizer_mode']!r} is not supported: choose another teacher")
    if text_cfg.get("hf_model_name"):
        return _by_transformers(str(folder or hub_name), settings)
    return FileTokenizer(tokenizer_files(folder or _from_hub(hub_name)), settings)


def clip_folder_tokenizer(folder: Path, context_length: int, *, pad_id: int | None) -> Tokenizer:
    """The tokenizer of a CLIP folder of transformers.

    OpenAI's vocabulary is tokenized by open_clip; transformers' version of it does not repair broken Unicode and HTML.
    Raises FileNotFoundError without a `tokenizer.json` or `vocab.json` with `merges.txt`, and ValueError for damaged
    files.
    """
    files = _clip_files(folder)
    own = FileTokenizer(files, {}, pad_id=pad_id)
    if own.num_tokens != NUM_CLIP_TOKENS:
        return own
    openai = BytePairTokenizer(context_length, {})
    return openai if openai.has_vocabulary_of(own) else own


def siglip_folder_tokenizer(folder: Path, settings: JSONObject, *, pad_id: int | None) -> Tokenizer:
    """The tokenizer of a SigLIP folder of transformers.

    Raises FileNotFoundError without a `tokenizer.json`, and ValueError for one that adds no end token: it was saved for
    another use.
    """
    if not (folder / TOKENIZER_FILE).is_file() and (folder / "spiece.model").is_file():
        raise FileNotFoundError(
            f"it has spiece.model but no {TOKENIZER_FILE}: write one with "
            f"transformers.AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"
        )
    tokenizer = FileTokenizer(tokenizer_files(folder), settings, pad_id=pad_id)
    (empty,) = tokenizer.ids([""])
    if not empty:
        raise ValueError(f"its {TOKENIZER_FILE} adds no end token to a text: save it with add_eos_token=True")
    return tokenizer


def tokenizer_files(folder: Path) -> dict[str, bytes]:
    """Contents of `tokenizer.json` and its settings by name. Raises FileNotFoundError without a `tokenizer.json`."""
    if not (folder / TOKENIZER_FILE).is_file():
        raise FileNotFoundError(f"its tokenizer is missing: copy {TOKENIZER_FILE} next to the weights")
    names = [name for name in (TOKENIZER_FILE, *SETTINGS_FILES) if (folder / name).is_file()]
    return {name: (folder / name).read_bytes() for name in names}


def _clip_files(folder: Path) -> dict[str, bytes]:
    """The files of a CLIP's tokenizer; `tokenizer.json` is made as transformers makes it where only its parts exist."""
    if (folder / TOKENIZER_FILE).is_file() or not all((folder / name).is_file() for name in CLIP_FILES):
        return tokenizer_files(folder)
    inner = _clip_tokenizer_of_parts(folder)
    names = [name for name in SETTINGS_FILES if (folder / name).is_file()]
    return {TOKENIZER_FILE: inner.to_str().encode()} | {name: (folder / name).read_bytes() for name in names}


def _clip_tokenizer_of_parts(folder: Path) -> tokenizers.Tokenizer:
    """`CLIPTokenizer` of transformers 5, from `vocab.json` and `merges.txt`."""
    start, end = "<|startoftext|>", "<|endoftext|>"
    vocabulary, merges = (str(folder / name) for name in CLIP_FILES)
    inner = tokenizers.Tokenizer(models.BPE.from_file(vocabulary, merges, unk_token=end, end_of_word_suffix="</w>"))
    inner.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(tokenizers.Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    words = rf"{re.escape(start)}|{re.escape(end)}|'s|'t|'re|'ve|'m|'ll|'d|[\p{{L}}]+|[\p{{N}}]|[^\s\p{{L}}\p{{N}}]+"
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(words), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    special = [(token, inner.token_to_id(token)) for token in (start, end)]
    if any(number is None for _, number in special):
        raise ValueError(f"vocab.json has no {start} and {end}: copy the tokenizer of this model")
    inner.add_special_tokens([start, end])
    inner.post_processor = processors.TemplateProcessing(single=f"{start} $A {end}", special_tokens=special)
    return inner


def _by_transformers(source: str, settings: JSONObject) -> Tokenizer:
    """The tokenizer that open_clip gets from transformers for a folder or repository, as a `tokenizers` file.

    transformers adds what older files leave to its classes: the padding token, and the language before a text.
    """
    from transformers import AutoTokenizer

    options = {name: value for name, value in settings.items() if name not in ("clean", "strip_sep_token", "language")}
    tokenizer = AutoTokenizer.from_pretrained(source, **options)
    if language := settings.get("language"):
        tokenizer.set_src_lang_special_tokens(language)
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        files = tokenizer_files(Path(folder))
    own = {name: value for name, value in settings.items() if name in ("clean", "strip_sep_token")}
    return FileTokenizer(files, own, pad_id=tokenizer.pad_token_id)


def _from_hub(hub_name: str) -> Path:
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(hub_name, allow_patterns=[TOKENIZER_FILE, *SETTINGS_FILES]))
