"""A teacher below the data root: only files in its own folder are opened, whatever links and names lead elsewhere."""

import json
from pathlib import Path

import pytest

from distill.config.model_names import check_teacher
from distill.teacher.errors import TeacherError
from distill.teacher.held_files import HeldFiles
from distill.teacher.sources import OPEN_CLIP_CONFIG, find_teacher
from distill.teacher.teacher import load_teacher
from tests.distill.conftest import save_clip, tiny_clip_config

WEIGHTS = "open_clip_model.safetensors"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "data" / "models").mkdir(parents=True)
    save_clip(tmp_path / "data" / "models" / "teacher", tiny_clip_config())
    save_clip(tmp_path / "data" / "other", tiny_clip_config(), seed=1)
    save_clip(tmp_path / "outside", tiny_clip_config(), seed=2)
    return tmp_path / "data"


@pytest.mark.parametrize("name", [WEIGHTS, OPEN_CLIP_CONFIG])
@pytest.mark.parametrize("target", ["../../other", "../../../outside"])
def test_a_link_to_a_file_of_another_folder_is_refused(root: Path, name: str, target: str) -> None:
    file = root / "models" / "teacher" / name
    file.unlink()
    file.symlink_to(Path(target) / name)
    assert file.is_file()
    with pytest.raises(TeacherError, match=f"{name} of local-dir:models/teacher is a link"):
        load_teacher("local-dir:models/teacher", root=root)


@pytest.mark.parametrize("step", ["models", "models/teacher"])
def test_a_folder_on_the_way_that_became_a_link_is_refused(root: Path, step: str) -> None:
    (root / step).rename(root / "moved")
    (root / step).symlink_to(root.parent / "outside" if step != "models" else root / "moved")
    for ref in ("local-dir:models/teacher", f"ViT-B-32:models/teacher/{WEIGHTS}"):
        with pytest.raises(TeacherError, match="is a link"):
            load_teacher(ref, root=root)


def test_a_folder_that_becomes_a_link_while_it_is_read_makes_no_difference(root: Path) -> None:
    expected = load_teacher("local-dir:models/teacher", root=root).digest
    parsed, folder = check_teacher("local-dir:models/teacher"), root / "models" / "teacher"
    with HeldFiles(parsed, root) as held:
        folder.rename(root / "moved")
        folder.symlink_to(root.parent / "outside")
        source = find_teacher(parsed, held.root)
        held.open(source.weights.paths)
        (path,) = source.weights.paths
        assert path.read_bytes() == (root / "moved" / WEIGHTS).read_bytes()
        assert path.read_bytes() != (root.parent / "outside" / WEIGHTS).read_bytes()
    assert not held.root.exists()
    folder.unlink()
    (root / "moved").rename(folder)
    assert load_teacher("local-dir:models/teacher", root=root).digest == expected


def test_a_file_of_weights_that_becomes_a_link_before_it_is_opened_is_refused(root: Path) -> None:
    parsed, file = check_teacher("local-dir:models/teacher"), root / "models" / "teacher" / WEIGHTS
    with HeldFiles(parsed, root) as held:
        source = find_teacher(parsed, held.root)
        file.unlink()
        file.symlink_to(root.parent / "outside" / WEIGHTS)
        with pytest.raises(TeacherError, match="is a link"):
            held.open(source.weights.paths)


@pytest.mark.parametrize("confined", [True, False])
@pytest.mark.parametrize(
    ("part", "field", "name"),
    [
        ("text_cfg", "hf_model_name", "../../other"),
        ("text_cfg", "hf_tokenizer_name", "/etc"),
        ("vision_cfg", "timm_model_name", "local-dir:/etc"),
    ],
)
def test_a_config_names_nothing_outside_the_folder(
    root: Path, part: str, field: str, name: str, confined: bool
) -> None:
    file = root / "models" / "teacher" / OPEN_CLIP_CONFIG
    config = json.loads(file.read_text())
    config["model_cfg"][part][field] = name
    file.write_text(json.dumps(config))
    ref = "models/teacher" if confined else str(file.parent)
    with pytest.raises(TeacherError, match=f"{field} {name} .* lies outside its folder"):
        load_teacher(f"local-dir:{ref}", root=root if confined else None)
