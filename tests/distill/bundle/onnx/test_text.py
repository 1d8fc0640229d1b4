"""The tokenizer file gives open_clip's tokens, the text graph the teacher's embeddings; a finished bundle gets both."""

import html
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import tokenizers
import torch

from distill.__main__ import main
from distill.bundle import add_files as adding
from distill.bundle.onnx import files as onnx_files
from distill.bundle.onnx import tokenizer as onnx_tokenizer
from distill.bundle.onnx.text import text_tower_of, write_text
from distill.bundle.onnx.tokenizer import AWKWARD_TEXTS, tokenizer_file
from distill.bundle.student_files import StudentWeights
from distill.bundle.verify import BundleError, verify_bundle
from distill.bundle.write import write_bundle
from distill.cli.commands import export_onnx
from distill.teacher.teacher import Teacher, load_teacher
from distill.teacher.tokenizer import BytePairTokenizer, Tokenizer
from distill.texts.text_targets import TextTargets
from tests.distill.bundle.onnx.encoders import mean_colour_encoder
from tests.distill.bundle.onnx.test_files import inputs, raising
from tests.distill.bundle.test_write import EVALUATION, LABELS, PROVENANCE, student_weights
from tests.distill.conftest import save_siglip

TEXTS = ["a photo of a crane", "a heron, which has long legs"]


@pytest.fixture(scope="module")
def siglip(tmp_path_factory: pytest.TempPathFactory) -> Teacher:
    return load_teacher(f"local-dir:{save_siglip(tmp_path_factory.mktemp('siglip') / 'teacher')}")


def split(tokenizer: tokenizers.Tokenizer, text: str) -> list[int]:
    """The tokens of a text as a program reads them with `unescape_html: 2`."""
    ids: list[int] = tokenizer.encode(html.unescape(html.unescape(text))).ids
    return ids


@pytest.mark.parametrize("clean", ["lower", "whitespace", "canonicalize"])
def test_the_file_gives_open_clips_tokens(clean: str) -> None:
    tokenizer = BytePairTokenizer(77, {"clean": clean})
    file = tokenizers.Tokenizer.from_buffer(tokenizer_file(tokenizer, 77))
    for text in (*AWKWARD_TEXTS, *TEXTS, "Bewick’s ﬁnch"):
        ids = split(file, text)
        (expected,) = tokenizer.ids([text])
        assert ids == expected[:76] + [49407] * (len(expected) > 76) + [0] * (77 - len(expected)), text


def test_the_tokenizer_of_a_siglip_is_cut_and_padded_as_by_its_teacher(siglip: Teacher) -> None:
    file = tokenizers.Tokenizer.from_buffer(tokenizer_file(siglip.tokenizer, siglip.context_length))
    for text in ("a photo of a CRANE, with a red-cap!", "crane"):
        (expected,) = siglip.tokenizer.ids([text])
        assert split(file, text) == expected + [siglip.tokenizer.pad_id] * (16 - len(expected))


def test_a_file_that_gives_other_tokens_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_tokenizer, "_repairs", lambda: iter(()))
    with pytest.raises(BundleError, match="a tokenizers file gives 'Bewick’s swan"):
        tokenizer_file(BytePairTokenizer(77, {}), 77)


def test_a_tokenizer_without_a_file_is_named() -> None:
    class Replacing(BytePairTokenizer):
        def as_file(self) -> tokenizers.Tokenizer:
            raise ValueError("open_clip replaces its separator token")

    tokenizer: Tokenizer = Replacing(77, {})
    with pytest.raises(BundleError, match="its tokenizer has no file: open_clip replaces its separator token"):
        tokenizer_file(tokenizer, 77)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_teacher: Teacher, encoder: onnx.ModelProto) -> Path:
    """A bundle with ONNX files, but without a text encoder."""
    folder, student = tmp_path_factory.mktemp("finished"), student_weights("test_resnet", 32)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(onnx_files, "image_encoder", lambda *_: encoder)
        monkeypatch.setattr(onnx_files, "check_cosine", lambda *_: None)
        left_out = {"plots": "", "card": "", "image-int8.onnx": "not for this test"}
        write(folder / "bundle", student, tiny_teacher, onnx=inputs(student, measure=None), left_out=left_out)
    return folder / "bundle"


@pytest.fixture
def bundle(finished: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(finished, tmp_path / "home" / "bundle"))


def write(out: Path, student: StudentWeights, teacher: Teacher, **changes: Any) -> None:
    """A bundle of two labels."""
    log = out.with_name("log.jsonl")
    log.write_text('{"step": 1, "loss": 1.0}\n')
    features = torch.nn.functional.normalize(torch.randn(2, 32), dim=-1)
    write_bundle(
        out,
        student=student,
        teacher=teacher,
        targets=TextTargets(features=features, prompts=(("a",), ("b",)), truncated=(), teacher=teacher.info()),
        labels=LABELS,
        evaluation=EVALUATION,
        training_log=log,
        provenance=PROVENANCE,
        **changes,
    )


@pytest.fixture(scope="module")
def encoder() -> onnx.ModelProto:
    return mean_colour_encoder(width=32, px=32)


def encode(folder: Path, texts: list[str]) -> torch.Tensor:
    """The embeddings of texts, with nothing but ONNX Runtime and tokenizers."""
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokens = np.array([one.ids for one in tokenizer.encode_batch(texts)], np.int64)
    session = onnxruntime.InferenceSession(folder / "text.onnx", providers=["CPUExecutionProvider"])
    (embedding,) = session.run(["embedding"], {"tokens": tokens})
    return torch.from_numpy(embedding)


@pytest.fixture
def no_export(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text encoder that is written without an export, which takes seconds."""

    def write_stub(folder: Path, _teacher: Teacher, templates: tuple[str, ...], *, num_learned: int) -> dict[str, Any]:
        folder.mkdir(parents=True)
        (folder / "text.onnx").write_bytes(b"graph")
        (folder / "tokenizer.json").write_bytes(b"{}")
        return {"context_length": 24, "templates": list(templates), "learned_vectors": num_learned}

    monkeypatch.setattr(export_onnx, "write_text", write_stub)
    monkeypatch.setattr(export_onnx, "text_tower_of", lambda *_: object())


@pytest.mark.slow
def test_an_existing_bundle_gets_a_text_encoder(
    bundle: Path, no_export: None, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    assert main(["export", str(bundle), "--text", "--template", "a drawing of {}"]) == 0
    manifest = verify_bundle(bundle)
    assert {"onnx/text.onnx", "onnx/tokenizer.json"} <= {file["path"] for file in manifest["files"]}
    changed = {path.relative_to(bundle).as_posix() for path, data in before.items() if path.read_bytes() != data}
    assert changed == {"onnx/config.json", "manifest.json"}
    config = json.loads((bundle / "onnx/config.json").read_text())
    assert config["text"] == {"context_length": 24, "templates": ["a drawing of {}"], "learned_vectors": 0}
    assert config["labels"] == [entry["label"] for entry in LABELS]
    assert main(["export", str(bundle), "--text"]) == 0
    assert "has these ONNX files already" in capsys.readouterr().err
    assert {path.name for path in bundle.parent.iterdir()} == {"bundle"}


@pytest.mark.nightly
def test_the_text_encoder_of_a_pairing_gives_the_teachers_embeddings(bundle: Path, tiny_teacher: Teacher) -> None:
    assert main(["export", str(bundle), "--text"]) == 0
    verify_bundle(bundle)
    torch.testing.assert_close(encode(bundle / "onnx", TEXTS), tiny_teacher.encode_text(TEXTS).cpu(), atol=1e-5, rtol=0)
    text = json.loads((bundle / "onnx/config.json").read_text())["text"]
    assert (text["context_length"], text["templates"]) == (24, ["a photo of {}"])
    assert (text["pad_id"], text["start_id"], text["end_id"], text["lowercase"]) == (0, 49406, 49407, True)


@pytest.mark.slow
def test_a_full_disk_leaves_the_bundle_as_it_was(
    bundle: Path, no_export: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    write_bytes: Callable[[Path, bytes], None] = adding.write_bytes

    def full_for_the_manifest(path: Path, data: bytes) -> None:
        if path.name == "manifest.json":
            raise OSError(28, "No space left on device", str(path))
        write_bytes(path, data)

    monkeypatch.setattr(adding, "write_bytes", full_for_the_manifest)
    assert main(["export", str(bundle), "--text"]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()} == before
    assert {path.name for path in bundle.parent.iterdir()} == {"bundle"}


@pytest.mark.slow
def test_a_bundle_without_its_pairing_gets_no_text_encoder(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(bundle / "pairing")
    assert main(["export", str(bundle), "--text"]) == 2
    assert "holds no pairing/, which has the text encoder: download that part" in capsys.readouterr().err


@pytest.mark.slow
def test_the_text_tower_of_a_pairing_is_the_teachers(bundle: Path, tiny_teacher: Teacher, tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    tower = text_tower_of(bundle / "pairing", tmp_path / "scratch")
    assert torch.equal(tower.encode_text(TEXTS), tiny_teacher.encode_text(TEXTS))


@pytest.mark.nightly
def test_the_text_tower_of_a_siglip_is_exported(siglip: Teacher, tmp_path: Path) -> None:
    facts = write_text(tmp_path, siglip, ("a photo of {}",), num_learned=0)
    assert (facts["start_id"], facts["end_id"], facts["pad_id"]) == (None, 1, 1)
    torch.testing.assert_close(encode(tmp_path, TEXTS), siglip.encode_text(TEXTS).cpu(), atol=1e-5, rtol=0)


@pytest.mark.nightly
def test_a_bundle_without_onnx_files_gets_all_but_the_int8(
    tmp_path: Path, tiny_teacher: Teacher, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "bundle", student_weights("test_resnet", 32), tiny_teacher)
    assert main(["export", str(tmp_path / "bundle"), "--text"]) == 0
    manifest = verify_bundle(tmp_path / "bundle")
    files = {file["path"] for file in manifest["files"] if file["path"].startswith("onnx/")}
    names = ("config.json", "image.onnx", "image-uint8.onnx", "text.onnx", "tokenizer.json")
    assert files == {f"onnx/{name}" for name in names}
    assert "its scales need training images" in manifest["left_out"]["image-int8.onnx"]
    assert "the bundle has no image-int8.onnx" in capsys.readouterr().err


def test_a_text_encoder_that_cannot_be_written_is_left_out_with_its_reason(
    tmp_path: Path, tiny_teacher: Teacher, monkeypatch: pytest.MonkeyPatch, encoder: onnx.ModelProto
) -> None:
    monkeypatch.setattr(onnx_files, "image_encoder", lambda *_: encoder)
    monkeypatch.setattr(onnx_files, "check_cosine", lambda *_: None)
    monkeypatch.setattr(onnx_files, "write_text", raising(BundleError("its tokenizer has no file")))
    student = student_weights("test_resnet", 32)
    parts = onnx_files.OptionalParts(tmp_path, {"image-int8.onnx": "", "image-uint8.onnx": ""})
    given = inputs(student, text=tiny_teacher)
    onnx_files.write_onnx(tmp_path / "onnx", parts, student, student.model(), torch.eye(2, 32), ["a", "b"], given)
    assert parts.left_out["text.onnx"] == "its tokenizer has no file"
    assert {path.name for path in (tmp_path / "onnx").iterdir()} == {"image.onnx", "config.json"}
