"""Fixtures: a working directory without LIMBECK_* variables, two images, and a bundle that classifies them."""

from pathlib import Path

import pytest
from PIL import Image


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIMBECK_HOME", str(tmp_path / "home"))
    for name in ("LIMBECK_DATABASE_URL", "LIMBECK_REDIS_URL", "LIMBECK_HOST", "LIMBECK_URL", "LIMBECK_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def red(tmp_path: Path) -> Path:
    path = tmp_path / "red.png"
    Image.new("RGB", (80, 50), (200, 30, 30)).save(path)
    return path


@pytest.fixture
def blue(tmp_path: Path) -> Path:
    path = tmp_path / "blue.png"
    Image.new("RGB", (50, 80), (30, 30, 200)).save(path)
    return path


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle whose student classifies the two images correctly."""
    from tests.limbeck.small_bundle import write_bundle  # imports onnx, which most tests of the client do not need

    folder = tmp_path / "bundle"
    write_bundle(folder)
    return folder


@pytest.fixture
def bundle_with_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The bundle with a text tower, and a cache folder of its own."""
    from tests.limbeck.small_bundle import write_bundle

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "bundle-with-text"
    write_bundle(folder, with_text=True)
    return folder
