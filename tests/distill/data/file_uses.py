"""Counts how often each image is read, hashed and decoded, below the code under test."""

import builtins
import hashlib
import threading
from collections import Counter
from typing import Any

import PIL.Image
import pytest

from limbeck.shared.images.kinds import IMAGE_SUFFIXES


class FileUses:
    """Counts by kind (`read`, `hashed`, `decoded`) and content. `contents`: of the images that are counted."""

    def __init__(self, contents: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
        self._numbers = {content: number for number, content in enumerate(contents)}
        assert len(self._numbers) == len(contents)
        self._lock = threading.Lock()
        self.counts: dict[str, Counter[int]] = {kind: Counter() for kind in ("read", "hashed", "decoded")}
        open_file, sha256, open_image = builtins.open, hashlib.sha256, PIL.Image.open

        def counting_open(file: Any, *args: Any, **kwargs: Any) -> Any:
            opened = open_file(file, *args, **kwargs)
            if str(file).endswith((".tar", *IMAGE_SUFFIXES)):
                read = opened.read
                opened = _Opened(opened, lambda *size: self._count("read", read(*size)))
            return opened

        def counting_sha256(data: Any = b"", **kwargs: Any) -> Any:
            self._count("hashed", bytes(data))
            return sha256(data, **kwargs)

        def counting_open_image(file: Any, *args: Any, **kwargs: Any) -> Any:
            self._count("decoded", file.getvalue())
            return open_image(file, *args, **kwargs)

        monkeypatch.setattr(builtins, "open", counting_open)
        monkeypatch.setattr(hashlib, "sha256", counting_sha256)
        monkeypatch.setattr(PIL.Image, "open", counting_open_image)

    def _count(self, kind: str, content: bytes) -> bytes:
        if content in self._numbers:
            with self._lock:
                self.counts[kind][self._numbers[content]] += 1
        return content

    def take(self) -> dict[str, list[int]]:
        """How often each image was used since the last call, by kind."""
        taken = {kind: [uses[number] for number in self._numbers.values()] for kind, uses in self.counts.items()}
        for uses in self.counts.values():
            uses.clear()
        return taken


class _Opened:
    def __init__(self, opened: Any, read: Any) -> None:
        self._opened, self.read, self.seek = opened, read, opened.seek

    def __enter__(self) -> "_Opened":
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()
