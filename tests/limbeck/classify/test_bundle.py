"""Files of a bundle that are missing, changed, or of another bundle or release are refused in one line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limbeck.classify import BundleError, load_student
from limbeck.classify.bundle import NoneOfThese, safetensors_array
from tests.limbeck.small_bundle import (
    PREPROCESS,
    WIDTH,
    change_config,
    image_graph,
    safetensors_of,
    text_graph,
    write_manifest,
)


@pytest.mark.parametrize(
    ("among", "labels"),
    [("all", ["red thing", "blue thing", "odd thing"]), ("seen", ["red thing"]), ("unseen", ["blue thing"])],
)
def test_candidate_labels_are_all_seen_or_unseen(bundle: Path, among: Any, labels: list[str]) -> None:
    student = load_student(bundle, among=among)
    assert list(student.labels) == labels
    assert student.targets.shape == (len(labels), WIDTH)


def test_labels_of_one_name_have_their_senses(bundle: Path) -> None:
    entries = [{"label": "crane", "sense": sense, "part": "id"} for sense in ("bird", "machine")]
    (bundle / "targets" / "labels.json").write_text(json.dumps({"labels": [*entries, {"label": "heron"}]}))
    write_manifest(bundle)
    assert load_student(bundle).labels == ("crane (bird)", "crane (machine)", "heron")


def test_threshold_is_that_of_the_evaluation(bundle: Path) -> None:
    assert load_student(bundle).none_of_these == NoneOfThese(0.5, 0.04, 1234)
    (bundle / "evaluation.json").write_text("{}")
    write_manifest(bundle)
    assert load_student(bundle).none_of_these is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("onnx/image.onnx", "lacks onnx/image.onnx: download it with `limbeck download CHECKPOINT --parts onnx --out"),
        ("targets/text_targets.safetensors", "--parts targets"),
        ("manifest.json", "holds no manifest.json"),
    ],
)
def test_missing_files_are_named_with_their_download(bundle: Path, name: str, message: str) -> None:
    (bundle / name).unlink()
    with pytest.raises(BundleError, match=message):
        load_student(bundle)


def test_bundle_without_onnx_names_the_command_that_adds_it(bundle: Path) -> None:
    for path in (bundle / "onnx").iterdir():
        path.unlink()
    write_manifest(bundle)
    with pytest.raises(BundleError, match=r"has no onnx/image\.onnx; add it in a checkout: python -m distill export"):
        load_student(bundle)
    write_manifest(bundle, left_out={"onnx": "torch cannot export it"})
    with pytest.raises(BundleError, match=r"has no onnx/image\.onnx \(torch cannot export it\); add it"):
        load_student(bundle)


def test_file_that_the_manifest_does_not_list_is_not_used(bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    files = [entry for entry in manifest["files"] if entry["path"] != "onnx/image.onnx"]
    (bundle / "manifest.json").write_text(json.dumps({**manifest, "files": files}))
    with pytest.raises(BundleError, match=r"onnx/image\.onnx is not in manifest\.json"):
        load_student(bundle)


@pytest.mark.parametrize(
    "name",
    [
        "onnx/image.onnx",
        "onnx/config.json",
        "targets/labels.json",
        "targets/text_targets.safetensors",
        "evaluation.json",
    ],
)
def test_changed_file_is_refused(bundle: Path, name: str) -> None:
    data = bytearray((bundle / name).read_bytes())
    data[-1] ^= 1
    (bundle / name).write_bytes(data)
    with pytest.raises(BundleError, match=f"{name} has a different sha256 than manifest.json"):
        load_student(bundle)
    (bundle / name).write_bytes(data[:-1])
    with pytest.raises(BundleError, match=f"{name} has {len(data) - 1} bytes, not {len(data)}"):
        load_student(bundle)


def test_newer_formats_are_named(bundle: Path) -> None:
    change_config(bundle, format="limbeck onnx 2")
    with pytest.raises(BundleError, match="'limbeck onnx 2', of a newer release; this one reads 'limbeck onnx 1'"):
        load_student(bundle)
    write_manifest(bundle, format="limbeck bundle 2")
    with pytest.raises(BundleError, match="'limbeck bundle 2', of a newer release"):
        load_student(bundle)


def test_path_outside_the_bundle_is_refused(bundle: Path) -> None:
    write_manifest(bundle, files=[{"path": "../secret", "sha256": "", "size": 1}])
    with pytest.raises(BundleError, match=r"names '\.\./secret', which is outside the bundle"):
        load_student(bundle)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"temperature": 0}, "temperature"),
        ({"temperature": None}, "cannot be used"),
        ({"preprocess": {**PREPROCESS, "background": "transparent-ish"}}, '"transparent-ish" is no colour'),
        (
            {"preprocess": {**PREPROCESS, "size": [64, 64]}},
            r"shape \[3, 32, 32\], but .* \[3, 64, 64\]",
        ),
    ],
)
def test_config_that_does_not_fit_is_refused(bundle: Path, fields: dict[str, Any], message: str) -> None:
    change_config(bundle, **fields)
    with pytest.raises(BundleError, match=message):
        load_student(bundle)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("onnx/image.onnx", b"no graph", r"image\.onnx cannot be loaded"),
        ("onnx/image.onnx", text_graph(), "needs the input image"),
        ("onnx/image.onnx", image_graph(channels=1), r"reads images of shape \[1, 32, 32\]"),
        ("onnx/config.json", b"[]", "must be a JSON object"),
        ("onnx/config.json", b"{", "is not JSON"),
        ("targets/labels.json", b'{"labels": []}', "has no labels"),
        ("targets/labels.json", b'{"labels": [1]}', "entries that are no labels"),
        ("targets/text_targets.safetensors", safetensors_of(np.ones((2, WIDTH), np.float32)), "of different bundles"),
        ("targets/text_targets.safetensors", safetensors_of(np.ones((3, 5), np.float32)), "of different bundles"),
        ("targets/text_targets.safetensors", b"", "is not a safetensors file with features"),
        ("evaluation.json", b'{"none_of_these": {"threshold": "low"}}', "none_of_these that is no threshold"),
    ],
)
def test_other_contents_are_refused(bundle: Path, name: str, data: bytes, message: str) -> None:
    (bundle / name).write_bytes(data)
    write_manifest(bundle)
    with pytest.raises(BundleError, match=message):
        load_student(bundle)


def test_safetensors_are_read_as_the_library_writes_them() -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    features = np.arange(6, dtype=np.float32).reshape(2, 3)
    data = safetensors.save({"context": features[:1], "features": features}, metadata={"limbeck text targets 1": "{}"})
    np.testing.assert_array_equal(safetensors_array(data, "features", "file"), features)
    with pytest.raises(BundleError, match="file is not a safetensors file with features"):
        safetensors_array(safetensors_of(features.astype(np.float16), dtype="F16"), "features", "file")
