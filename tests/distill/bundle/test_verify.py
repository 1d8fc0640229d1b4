"""Changed, added, missing and truncated files of a bundle are found."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from distill.bundle.verify import BundleError, verify_bundle


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    contents = {"README.md": b"card", "image/model.safetensors": b"weights"}
    files = []
    for name, data in contents.items():
        (tmp_path / "b" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "b" / name).write_bytes(data)
        files.append({"path": name, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)})
    manifest = {"format": "limbeck bundle 1", "made_from": {}, "files": files}
    (tmp_path / "b/manifest.json").write_text(json.dumps(manifest))
    return tmp_path / "b"


def test_unchanged_bundle_passes(folder: Path) -> None:
    assert len(verify_bundle(folder)["files"]) == 2


def test_every_fault_is_named(folder: Path) -> None:
    (folder / "README.md").write_bytes(b"cars")
    (folder / "image/model.safetensors").write_bytes(b"weight")
    (folder / "image/extra.py").write_text("")
    with pytest.raises(BundleError) as caught:
        verify_bundle(folder)
    for fault in ("README.md has a different sha256", "model.safetensors has 6 bytes, not 7", "extra.py is not in"):
        assert fault in str(caught.value)


def test_missing_file_is_a_fault_unless_partial(folder: Path) -> None:
    (folder / "image/model.safetensors").unlink()
    with pytest.raises(BundleError, match="model.safetensors is missing"):
        verify_bundle(folder)
    verify_bundle(folder, partial=True)
    (folder / "README.md").write_bytes(b"cars")
    with pytest.raises(BundleError, match="README.md"):
        verify_bundle(folder, partial=True)


@pytest.mark.parametrize(
    "manifest",
    [
        "",
        "[]",
        "{}",
        '{"format": "limbeck bundle 1", "files": [{}]}',
        '{"format": "limbeck bundle 1", "files": [{"path": "README.md"}]}',
        '{"format": "another", "files": []}',
        '{"format": "limbeck bundle 1", "files": [{"path": "../b/README.md", "sha256": "", "size": 4}]}',
        '{"format": "limbeck bundle 1", "files": [{"path": "/etc/passwd", "sha256": "", "size": 4}]}',
    ],
)
def test_invalid_manifests_are_refused(folder: Path, manifest: str) -> None:
    (folder / "manifest.json").write_text(manifest)
    with pytest.raises(BundleError, match="manifest"):
        verify_bundle(folder)


def test_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="holds no manifest.json"):
        verify_bundle(tmp_path)


def test_command_reports_faults_and_exit_code(folder: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "distill.bundle.verify", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert run().returncode == 0
    (folder / "README.md").unlink()
    assert run("--partial").returncode == 0
    broken = run()
    assert broken.returncode == 1
    assert "README.md is missing" in broken.stderr
