"""Download of a bundle."""

import json
from pathlib import Path
from typing import Any

import pytest

from limbeck import Client
from limbeck.errors import MissingPart
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
    selected = ["README.md", "image/config.json", "onnx/image.onnx", "targets/labels.json"]
    progress: list[tuple[str, int, int]] = []
    with (
        scripted([*script, *(Say(200, contents[name]) for name in selected)]) as server,
        Client(server.url) as limbeck,
    ):
        paths = limbeck.checkpoints.download("ckp_1", tmp_path, on_progress=lambda *update: progress.append(update))
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == ["manifest.json", *selected]
    assert all((tmp_path / name).read_bytes() == contents[name] for name in selected)
    assert progress[-2] == ("targets/labels.json", 950, 950)


def test_a_bundle_of_an_earlier_release_is_downloaded_without_onnx(tmp_path: Path) -> None:
    script, contents = bundle_script(["image/config.json", "targets/labels.json"])
    with scripted([*script, *(Say(200, content) for content in contents.values())]) as server:
        with Client(server.url) as limbeck:
            assert len(limbeck.checkpoints.download("ckp_1", tmp_path / "default")) == 3
        with scripted(script) as other, Client(other.url) as limbeck, pytest.raises(MissingPart, match="no part onnx"):
            limbeck.checkpoints.download("ckp_1", tmp_path / "named", parts=["onnx"])


def test_an_unknown_part_is_rejected_before_any_request(tmp_path: Path) -> None:
    with scripted([]) as server, Client(server.url) as limbeck, pytest.raises(ValueError, match="unknown part imagge"):
        limbeck.checkpoints.download("ckp_1", tmp_path, parts=["imagge"])
    assert server.seen == []


@pytest.mark.image_input(
    "Students",
    "a download of the pairing of a student that has none",
    "an error with the reason, before any other file",
)
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"left_out": {"pairing": "open_clip cannot load swin"}},
            r"^the checkpoint has no part pairing \(open_clip cannot load swin\): download it without this part$",
        ),
        ({}, "^the checkpoint has no part pairing: download it without this part$"),
    ],
    ids=["with reason", "older bundle"],
)
def test_a_missing_part_is_an_error(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    script, _ = bundle_script(["README.md", "image/config.json"], **fields)
    with scripted(script) as server, Client(server.url) as limbeck, pytest.raises(MissingPart, match=message):
        limbeck.checkpoints.download("ckp_1", tmp_path, parts=["image", "pairing"])
    assert list(tmp_path.iterdir()) == []


def test_a_picture_is_sent_with_new_words() -> None:
    labels = [{"label": "heron", "confidence": 0.5, "is_new": True}]
    scores: dict[str, Any] = {"labels": labels, "cosine": 0.3, "none_of_these": None}
    scores |= {"score": "cosine", "score_value": 0.3}
    with scripted([Say(200, json.dumps(scores).encode())]) as server, Client(server.url) as limbeck:
        found = limbeck.checkpoints.classify("ckp_1", b"picture", words=["heron", "a stork"], top=2)
    assert (found.labels[0].label, found.labels[0].is_new) == ("heron", True)
    (seen,) = server.seen
    assert seen.path == "/v1/checkpoints/ckp_1/classify?top=2&word=heron&word=a+stork"
    assert (found.score, found.score_value) == ("cosine", 0.3)
    scores |= {"score": "energy", "score_value": 0.4, "none_of_these": True}
    with scripted([Say(200, json.dumps(scores).encode())]) as server, Client(server.url) as limbeck:
        found = limbeck.checkpoints.classify("ckp_1", b"picture", score="energy")
    assert (found.none_of_these, found.score, found.score_value) == (True, "energy", 0.4)
    (seen,) = server.seen
    assert seen.path == "/v1/checkpoints/ckp_1/classify?top=5&score=energy"
