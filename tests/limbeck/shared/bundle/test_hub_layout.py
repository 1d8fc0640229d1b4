"""The layout of a bundle as a repository, and the verification of a bundle that a client of the Hub downloaded."""

import hashlib
import json
from pathlib import Path

import pytest

from limbeck.shared.bundle import hub_layout
from limbeck.shared.bundle.files import BundleError, verify_files

PATHS = ["README.md", "image/config.json", "pairing/open_clip_config.json", "targets/labels.json"]


def test_the_layout_of_both_repositories() -> None:
    assert hub_layout.student_files(PATHS) == {
        "README.md": "README.md",
        "config.json": "image/config.json",
        "image/config.json": "image/config.json",
        "targets/labels.json": "targets/labels.json",
    }
    pairing = {"README.md": "README.md", "open_clip_config.json": "pairing/open_clip_config.json"}
    assert hub_layout.pairing_files(PATHS) == pairing
    assert hub_layout.pairing_files(PATHS[:2]) == {}


def test_a_download_from_the_hub_is_a_bundle(tmp_path: Path) -> None:
    entries = [{"path": path, "size": len(path), "sha256": hashlib.sha256(path.encode()).hexdigest()} for path in PATHS]
    (tmp_path / "manifest.json").write_text(json.dumps({"format": "limbeck bundle 1", "files": entries}))
    for path, source in (hub_layout.student_files(PATHS) | hub_layout.pairing_files(PATHS)).items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(source)
    for path in (".gitattributes", ".cache/huggingface/download/config.json.metadata"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert verify_files(tmp_path, partial=True)["files"] == entries
    (tmp_path / "config.json").write_text("another")
    (tmp_path / "extra.json").touch()
    with pytest.raises(BundleError, match=r": config.json is not in the manifest; extra.json is not in the manifest$"):
        verify_files(tmp_path, partial=True)
