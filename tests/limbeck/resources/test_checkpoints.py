"""Download of a bundle."""

from pathlib import Path

import pytest

from limbeck.client import Limbeck
from tests.limbeck.helpers import bundle_script
from tests.limbeck.scripted import Say, scripted


def test_a_bundle_is_downloaded_without_unselected_parts(tmp_path: Path) -> None:
    names = [
        "README.md",
        "image/config.json",
        "onnx/image.onnx",
        "pairing/open_clip_config.json",
        "targets/labels.json",
    ]
    script, contents = bundle_script(names)
    selected = ["README.md", "image/config.json", "targets/labels.json"]
    progress: list[tuple[str, int, int]] = []
    with (
        scripted([*script, *(Say(200, contents[name]) for name in selected)]) as server,
        Limbeck(server.url) as limbeck,
    ):
        paths = limbeck.download_checkpoint("ckp_1", tmp_path, on_progress=lambda *update: progress.append(update))
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == ["manifest.json", *selected]
    assert all((tmp_path / name).read_bytes() == contents[name] for name in selected)
    assert progress[-1] == ("targets/labels.json", 950, 950)


def test_an_unknown_part_is_rejected_before_any_request(tmp_path: Path) -> None:
    with scripted([]) as server, Limbeck(server.url) as limbeck, pytest.raises(ValueError, match="unknown part imagge"):
        limbeck.download_checkpoint("ckp_1", tmp_path, parts=["imagge"])
    assert server.seen == []
