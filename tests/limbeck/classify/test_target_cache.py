"""Text targets of own labels are encoded once, and kept for the same bundle, templates and labels."""

import os
from pathlib import Path

import numpy as np
import pytest

from limbeck.classify.bundle import Bundle, Floats
from limbeck.classify.target_cache import MAX_FILES, cache_folder, cached_targets
from tests.limbeck.small_bundle import CONTEXT_LENGTH, WIDTH, change_config


class Encoder:
    """Counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> Floats:
        self.calls += 1
        return np.full((2, WIDTH), self.calls, np.float32)


def test_labels_are_encoded_once(bundle_with_text: Path, tmp_path: Path) -> None:
    encode, cache = Encoder(), tmp_path / "cache"

    def targets(*labels: str) -> int:
        return int(cached_targets(cache, Bundle.open(bundle_with_text), labels, encode)[0, 0])

    assert [targets("a", "b"), targets("a", "b"), targets("b", "a"), targets("a", "b")] == [1, 1, 2, 1]
    change_config(bundle_with_text, text={"context_length": CONTEXT_LENGTH, "templates": ["{}"], "pad_id": 0})
    assert targets("a", "b") == 3
    (bundle_with_text / "onnx" / "text.onnx").unlink()  # the manifest has its digest
    assert targets("a", "b") == 3
    assert not list(cache.glob("*.part"))


def test_damaged_or_foreign_files_are_encoded_again(bundle_with_text: Path, tmp_path: Path) -> None:
    encode, bundle = Encoder(), Bundle.open(bundle_with_text)
    cached_targets(tmp_path, bundle, ["a", "b"], encode)
    (file,) = tmp_path.glob("*.npy")
    for data in (b"", b"damaged", file.read_bytes()[:-4]):
        file.write_bytes(data)
        assert cached_targets(tmp_path, bundle, ["a", "b"], encode)[0, 0] == encode.calls
    assert encode.calls == 4


def test_the_longest_unused_files_are_removed(bundle_with_text: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(bundle_with_text)
    for number in range(MAX_FILES):
        (tmp_path / f"{number}.npy").touch()
        os.utime(tmp_path / f"{number}.npy", (number, number))
    cached_targets(tmp_path, bundle, ["a", "b"], Encoder())
    assert len(list(tmp_path.glob("*.npy"))) == MAX_FILES
    assert not (tmp_path / "0.npy").exists()


def test_folder_that_cannot_be_written_is_ignored(bundle_with_text: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    encode = Encoder()
    for folder in (tmp_path / "file" / "below", None):
        cached_targets(folder, Bundle.open(bundle_with_text), ["a", "b"], encode)
    assert encode.calls == 2


def test_folder_follows_the_xdg_rules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "limbeck" / "label-targets"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "limbeck" / "label-targets"
