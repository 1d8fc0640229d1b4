"""`limbeck publish`: uploads to a stand-in Hub through huggingface_hub, dry runs, and one-line errors."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import hf_hub_download

from limbeck.cli import main
from tests.limbeck.fake_hub import TOKEN, FakeHub, serving
from tests.limbeck.helpers import Capture
from tests.limbeck.scripted import Say, scripted

# huggingface_hub passes a file to httpx2 as `data`.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

FILES = {
    "README.md": b"---\nlibrary_name: timm\n---\n# A student\n",
    "image/config.json": b"{}",
    "image/model.safetensors": b"weights" * 1000,
    "onnx/image.onnx": b"graph",
    "pairing/open_clip_config.json": b'{"model_cfg": {}}',
    "pairing/open_clip_model.safetensors": b"text tower",
    "targets/labels.json": b"[]",
}
STUDENT = {
    "README.md",
    "config.json",
    "image/config.json",
    "image/model.safetensors",
    "manifest.json",
    "model.safetensors",
    "onnx/image.onnx",
    "targets/labels.json",
}
PAIRING = {"open_clip_config.json", "open_clip_model.safetensors"}


def write_bundle(folder: Path, files: dict[str, bytes]) -> Path:
    entries = []
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
        entries.append({"path": path, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()})
    (folder / "manifest.json").write_text(json.dumps({"format": "limbeck bundle 1", "files": entries}))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "student", FILES)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    """A Hub with a token that may write. The files go by LFS: the stand-in has no Xet."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with serving() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def error(capsys: Capture, *arguments: str | Path, code: int) -> str:
    """The one line on stderr of a command that fails with this code."""
    capsys.readouterr()
    assert main(["publish", *map(str, arguments)]) == code
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("limbeck: ")]
    assert len(lines) == 1
    return lines[0]


def test_a_bundle_is_uploaded_in_one_commit(hub: FakeHub, folder: Path, capsys: Capture) -> None:
    assert main(["publish", str(folder), "me/birds", "--private"]) == 0
    files = hub.files("me/birds")
    assert files.keys() == STUDENT | {".gitattributes"}
    assert files["model.safetensors"] == files["image/model.safetensors"] == FILES["image/model.safetensors"]
    assert hub.private == {"me/birds": True}
    assert [commit["branch"] for commit in hub.commits] == ["main"]
    out = capsys.readouterr().out
    assert hub.sha(files) in out
    assert 'timm.create_model("hf-hub:me/birds", pretrained=True)' in out
    assert "open_clip" not in out


def test_a_pairing_shares_the_repository(hub: FakeHub, folder: Path, tmp_path: Path, capsys: Capture) -> None:
    assert main(["publish", str(folder), "birds", "--pairing", "--json"]) == 0
    files = hub.files("me/birds")  # the owner of the token
    assert files.keys() == STUDENT | PAIRING | {".gitattributes"}
    printed = json.loads(capsys.readouterr().out)
    assert printed["repository"] == "me/birds"
    assert printed["revision"] == hub.sha(files)
    assert {file["path"] for file in printed["files"]} == STUDENT | PAIRING
    found = hf_hub_download("me/birds", "open_clip_config.json", endpoint=hub.url, cache_dir=tmp_path, token=TOKEN)
    assert Path(found).read_bytes() == FILES["pairing/open_clip_config.json"]


def test_files_of_an_earlier_bundle_are_deleted(hub: FakeHub, folder: Path, tmp_path: Path) -> None:
    assert main(["publish", str(folder), "me/birds", "--pairing"]) == 0
    hub.files("me/birds")["LICENSE"] = b"of the owner"
    fewer = {path: content for path, content in FILES.items() if not path.startswith(("onnx/", "pairing/"))}
    assert main(["publish", str(write_bundle(tmp_path / "fewer", fewer)), "me/birds"]) == 0
    assert hub.files("me/birds").keys() == STUDENT - {"onnx/image.onnx"} | {".gitattributes", "LICENSE"}
    assert len(hub.commits) == 2


def test_a_branch_is_created(hub: FakeHub, folder: Path) -> None:
    assert main(["publish", str(folder), "me/birds", "--revision", "v2"]) == 0
    assert hub.files("me/birds", "v2").keys() >= STUDENT
    assert hub.files("me/birds", "main").keys() == {".gitattributes"}


def test_a_dry_run_needs_no_hub(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("HF_TOKEN", "")
    assert main(["publish", str(folder), "me/birds", "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[1] for line in lines[:-1]} == STUDENT
    assert "         7,000  model.safetensors" in lines
    assert lines[-1] == "8 files, 0.0 MB would be uploaded to me/birds"
    assert main(["publish", str(folder), "me/birds", "--dry-run", "--json", "--pairing"]) == 0
    assert {file["path"] for file in json.loads(capsys.readouterr().out)["files"]} == STUDENT | PAIRING


def test_a_bundle_with_a_fault_is_not_uploaded(hub: FakeHub, folder: Path, tmp_path: Path, capsys: Capture) -> None:
    (folder / "image" / "model.safetensors").write_bytes(b"other")
    assert "image/model.safetensors has 5 bytes, not 7000" in error(capsys, folder, "me/birds", code=2)
    small = write_bundle(tmp_path / "small", {"README.md": b"# A student\n", "image/config.json": b"{}"})
    assert "no image/" in error(capsys, small, "me/birds", code=2)
    whole = {path: content for path, content in FILES.items() if not path.startswith("pairing/")}
    whole_folder = write_bundle(tmp_path / "whole", whole)
    assert "no pairing/" in error(capsys, whole_folder, "me/birds", "--pairing", code=2)
    assert "holds no manifest.json" in error(capsys, tmp_path, "me/birds", code=2)
    assert "neither a folder nor the id" in error(capsys, tmp_path / "nothing", "me/birds", code=2)
    assert "not the name of a repository" in error(capsys, folder, "me/birds/more", code=2)
    assert hub.requests == []


def test_a_token_is_required(hub: FakeHub, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setenv("HF_TOKEN", "lbk_of_the_service")
    assert "HF_TOKEN is a key of Limbeck" in error(capsys, folder, "me/birds", code=2)
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(folder / "no-token"))
    assert "run `hf auth login`" in error(capsys, folder, "me/birds", code=2)
    assert hub.requests == []


def test_refusals_of_the_hub_are_one_line(
    hub: FakeHub, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    for pattern, refusal, expected in (
        ("repos/create", (403, "no rights"), "the token may not write to me/birds: use a token with write access"),
        ("/commit/", (409, "changed"), "me/birds was changed during the upload: run the command again"),
        ("/objects/batch", (403, "no rights"), "the token may not write to me/birds"),
        ("/objects/[0-9a-f]", (413, "too large"), "failed with status 413"),
        ("validate-yaml", (400, "bad metadata"), "Invalid metadata in README.md"),
        ("repos/create", (404, "no such route"), "takes no uploads: unset HF_ENDPOINT"),
    ):
        hub.refuse = {pattern: refusal}
        assert expected in error(capsys, folder, "me/birds", code=1)
    assert hub.commits == []
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    hub.refuse = {}
    assert "does not accept the token" in error(capsys, folder, "me/birds", code=1)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    assert "http://127.0.0.1:1 cannot be reached" in error(capsys, folder, "me/birds", code=1)


def checkpoint(*paths: str) -> dict[str, object]:
    """A checkpoint of the service, with these files of `FILES`."""
    ids = ("dataset_id", "job_id", "vocabulary_id", "attribute_set_id", "text_targets_id", "teacher_id", "digest")
    files = [{"path": path, "size": len(FILES[path]), "sha256": "0" * 64, "url": "/"} for path in paths]
    return {
        **dict.fromkeys(ids, "x"),
        "id": "ckp_1",
        "student": "resnet18",
        "text": "names",
        "evaluation": {},
        "created_at": "2026-11-23T21:04:05.678Z",
        "files": files,
    }


def test_a_dry_run_of_a_checkpoint_asks_only_the_service(capsys: Capture) -> None:
    with scripted([Say(body=checkpoint(*FILES))]) as server:
        assert main(["publish", "ckp_1", "me/birds", "--pairing", "--dry-run", "--url", server.url]) == 0
        assert [request.path for request in server.seen] == ["/v1/checkpoints/ckp_1"]
    assert "7,000  model.safetensors" in capsys.readouterr().out


def test_a_checkpoint_without_a_pairing_is_refused_before_its_download(hub: FakeHub, capsys: Capture) -> None:
    with scripted([Say(body=checkpoint("image/config.json", "image/model.safetensors"))]) as server:
        assert "no pairing/" in error(capsys, "ckp_1", "me/birds", "--pairing", "--url", server.url, code=2)
        assert len(server.seen) == 1
    assert hub.requests == []
