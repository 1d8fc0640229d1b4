"""The weights of a folder are chosen by a documented order; what is not in it is not guessed."""

import json
from pathlib import Path

import pytest

from distill.teacher.errors import TeacherError
from distill.teacher.weights.files import choose_weights

given = pytest.mark.image_input
INDEX = json.dumps({"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}})


def _folder(path: Path, names: str) -> Path:
    for name in names.split():
        (path / name).write_text(INDEX if name.endswith(".index.json") else name)
    return path


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        pytest.param(
            "pytorch_model.bin model.safetensors open_clip_pytorch_model.bin open_clip_model.safetensors",
            "open_clip_model.safetensors",
            id="all",
            marks=given(
                "Teachers", "a folder with several files of weights", "open_clip's names first, safetensors before .bin"
            ),
        ),
        pytest.param("model.safetensors open_clip_pytorch_model.bin", "open_clip_pytorch_model.bin", id="open-clip"),
        pytest.param("pytorch_model.bin model.safetensors", "model.safetensors", id="safetensors"),
        pytest.param("training_args.bin optimizer.pt scheduler.pt mine.pt", "mine.pt", id="other-state"),
        pytest.param(
            "epoch_1.pt epoch_2.pt epoch_10.pt",
            "epoch_10.pt",
            id="epochs",
            marks=given(
                "Teachers", "a folder of `epoch_1.pt` … `epoch_32.pt`", "the highest epoch is used and reported"
            ),
        ),
        pytest.param("epoch_10.pt epoch_latest.pt", "epoch_latest.pt", id="latest"),
        pytest.param(
            "model.safetensors.index.json model-00001-of-00002.safetensors model-00002-of-00002.safetensors",
            "model.safetensors.index.json",
            id="shards",
            marks=given("Teachers", "weights in shards with an index", "all shards are read"),
        ),
    ],
)
def test_preferred_weights(tmp_path: Path, names: str, chosen: str) -> None:
    found = choose_weights("local-dir:x", _folder(tmp_path, names), is_transformers=False)
    assert found.name == chosen
    assert len(found.paths) == (2 if chosen.endswith(".index.json") else 1)
    assert found.num_bytes == sum(len(path.name) for path in found.paths)


def test_folder_of_transformers_is_searched_for_its_names_only(tmp_path: Path) -> None:
    _folder(tmp_path, "flax_model.pt pytorch_model.bin")
    assert choose_weights("local-dir:x", tmp_path, is_transformers=True).name == "pytorch_model.bin"
    (tmp_path / "pytorch_model.bin").unlink()
    with pytest.raises(TeacherError, match=r"copy its weights there as model\.safetensors"):
        choose_weights("local-dir:x", tmp_path, is_transformers=True)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        pytest.param("", "holds a config but no weights", id="none"),
        pytest.param("training_args.bin optimizer.pt", "holds a config but no weights", id="other-state"),
        pytest.param(
            "best.pt last.pt",
            "several files of weights (best.pt, last.pt)",
            id="several",
            marks=given("Teachers", "several files that could be the weights", "refused; the candidates are named"),
        ),
        pytest.param("epoch_1.pt last.pt", "several files of weights (epoch_1.pt, last.pt)", id="epoch-and-other"),
        pytest.param(
            "model.safetensors.index.json model-00001-of-00002.safetensors",
            "lacks 1 of 2 shards of its weights, first model-00002-of-00002.safetensors",
            id="missing-shard",
            marks=given("Teachers", "a missing shard", "refused; the shard is named"),
        ),
        pytest.param("model-00001-of-00002.safetensors", "copy the .index.json of its shards", id="no-index"),
    ],
)
def test_folder_without_clear_weights_is_refused(tmp_path: Path, names: str, reason: str) -> None:
    with pytest.raises(TeacherError) as caught:
        choose_weights("local-dir:x", _folder(tmp_path, names), is_transformers=False)
    assert caught.value.code == "teacher_incomplete"
    assert reason in caught.value.message


@pytest.mark.parametrize("index", ["{", "[]", '{"weight_map": {}}', '{"weight_map": {"a": "../secret.safetensors"}}'])
def test_damaged_index_is_refused(tmp_path: Path, index: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(TeacherError, match=r"model\.safetensors\.index\.json of local-dir:x"):
        choose_weights("local-dir:x", tmp_path, is_transformers=False)
