"""A teacher is found by tag, file, folder or repository; what cannot be found or read is refused with a reason."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import open_clip
import pytest
import torch
from huggingface_hub.errors import RemoteEntryNotFoundError
from safetensors.torch import load_file, save_file

from distill.teacher.sources import OPEN_CLIP_CONFIG
from distill.teacher.teacher import Teacher, TeacherError, load_teacher
from tests.distill.conftest import WIDTH, save_clip, tiny_clip_config

given = pytest.mark.image_input
WEIGHTS = "open_clip_model.safetensors"
OPENAI_NUMBERS = ("input_resolution", "context_length", "vocab_size")


@pytest.fixture
def tiny_vit_b_32(monkeypatch: pytest.MonkeyPatch) -> None:
    """open_clip's ViT-B-32 has the sizes of the tiny teacher."""
    original = open_clip.get_model_config

    def config(name: str) -> Any:
        return tiny_clip_config() if name == "ViT-B-32" else original(name)

    monkeypatch.setattr(open_clip, "get_model_config", config)


def _state(tiny_clip: Path) -> dict[str, torch.Tensor]:
    return load_file(tiny_clip / WEIGHTS)


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_vit_b_32")
@given("Teachers", "`ViT-B-32:FILE`, a file of weights for a model of open_clip", "loaded; the file is reported")
def test_file_of_weights_equals_the_folder(tmp_path: Path, tiny_clip: Path, tiny_teacher: Teacher) -> None:
    path = tmp_path / "my run" / "epoch_3.pt"
    path.parent.mkdir()
    state = {f"module.{name}": tensor for name, tensor in _state(tiny_clip).items()}
    torch.save({"epoch": 3, "name": "run", "state_dict": state, "optimizer": {"state": {}}}, path)
    teacher = load_teacher(f"ViT-B-32:{path}")
    assert teacher.digest == tiny_teacher.digest
    assert teacher.weights == {
        "file": "epoch_3.pt",
        "num_bytes": path.stat().st_size,
        "layout": "open_clip",
        "quick_gelu": False,
    }
    assert teacher.origin == f"weights epoch_3.pt ({path.stat().st_size / 1e6:.1f} MB)"
    assert teacher.notes == ()
    assert teacher.info()["weights"] == teacher.weights
    assert load_teacher("ViT-B-32:my run/epoch_3.pt", root=tmp_path).digest == tiny_teacher.digest


@pytest.mark.usefixtures("tiny_vit_b_32")
def test_home_folder_is_expanded_outside_a_service(
    tmp_path: Path, tiny_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copy(tiny_clip / WEIGHTS, tmp_path / "w.safetensors")
    assert load_teacher("ViT-B-32:~/w.safetensors").width == WIDTH
    assert "is not a file" in _refused("ViT-B-32:~/w.safetensors", tmp_path)


@pytest.mark.usefixtures("tiny_vit_b_32")
@pytest.mark.parametrize(
    ("change", "quick_gelu", "note"),
    [
        pytest.param(
            lambda state: {
                **state,
                **dict.fromkeys(("input_resolution", "context_length", "vocab_size"), torch.ones(())),
            },
            True,
            "QuickGELU: it is used",
            id="openai",
            marks=given(
                "Teachers", "OpenAI's own state dict for a model without QuickGELU", "QuickGELU is used, and said"
            ),
        ),
        pytest.param(
            lambda state: {n: t if n.startswith("ln_") or ".ln_" in n else t.half() for n, t in state.items()},
            False,
            "name the model ending in -quickgelu",
            id="half",
            marks=given(
                "Teachers", "weights that look like OpenAI's, which need QuickGELU", "a warning names the model"
            ),
        ),
        pytest.param(lambda state: {n: t.half() for n, t in state.items()}, False, None, id="all-half"),
    ],
)
def test_activation_of_a_file_of_weights(
    tmp_path: Path, tiny_clip: Path, change: Callable[[Any], Any], quick_gelu: bool, note: str | None
) -> None:
    torch.save(change(_state(tiny_clip)), tmp_path / "weights.pt")
    teacher = load_teacher(f"ViT-B-32:{tmp_path / 'weights.pt'}")
    assert bool(teacher.model_cfg.get("quick_gelu")) is teacher.weights["quick_gelu"] is quick_gelu
    assert len(teacher.notes) == (note is not None)
    assert (note or "") in "".join(teacher.notes)


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_vit_b_32")
def test_activation_follows_the_pretrained_tag(monkeypatch: pytest.MonkeyPatch, tiny_clip: Path) -> None:
    """By default, open_clip builds `ViT-B-32:openai` with an activation that differs from its training, and warns."""
    monkeypatch.setattr(open_clip, "download_pretrained", lambda _tag: str(tiny_clip / WEIGHTS))
    openai, laion = (load_teacher(f"ViT-B-32:{tag}") for tag in ("openai", "laion2b_s34b_b79k"))
    assert openai.model_cfg["quick_gelu"] is True
    assert "quick_gelu" not in laion.model_cfg
    images = torch.randn(1, 3, 32, 32)
    assert not torch.equal(openai.encode_images(images), laion.encode_images(images))


@pytest.mark.parametrize(
    ("model", "mean"),
    [
        pytest.param(
            "ViT-B-16-SigLIP",
            [0.5, 0.5, 0.5],
            id="siglip",
            marks=given("Teachers", "a file of weights for a SigLIP", "mean, std and resizing are those of its tags"),
        ),
        pytest.param("ViT-S-32-alt", [0.48145466, 0.4578275, 0.40821073], id="no-tags"),
    ],
)
def test_preprocessing_of_a_file_of_weights(
    tmp_path: Path, tiny_clip: Path, monkeypatch: pytest.MonkeyPatch, model: str, mean: list[float]
) -> None:
    """open_clip gives every file of weights the preprocessing of OpenAI's CLIP."""
    monkeypatch.setattr(open_clip, "get_model_config", lambda _name: tiny_clip_config())
    shutil.copy(tiny_clip / WEIGHTS, tmp_path / "w.safetensors")
    teacher = load_teacher(f"{model}:{tmp_path / 'w.safetensors'}")
    assert teacher.preprocess["mean"] == pytest.approx(mean)
    assert teacher.preprocess["resize_mode"] == ("squash" if "SigLIP" in model else "shortest")


@pytest.mark.usefixtures("tiny_vit_b_32")
def test_different_preprocessing_of_tags_is_noted(
    tmp_path: Path, tiny_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_clip, "list_pretrained_tags_by_model", lambda _model: ["openai", "other"])
    monkeypatch.setattr(
        "distill.teacher.sources.get_pretrained_cfg",
        lambda _model, tag: {"mean": [0.5] * 3 if tag == "other" else None},
    )
    shutil.copy(tiny_clip / WEIGHTS, tmp_path / "w.safetensors")
    assert "differ in their preprocessing" in load_teacher(f"ViT-B-32:{tmp_path / 'w.safetensors'}").notes[0]


def _refused(ref: str, root: Path | None = None) -> str:
    with pytest.raises(TeacherError) as caught:
        load_teacher(ref, root=root)
    assert "\n" not in caught.value.message
    assert caught.value.code in ("teacher_not_found", "teacher_incomplete")
    return caught.value.message


def test_wrong_paths_are_refused_with_the_right_form(tmp_path: Path, tiny_clip: Path) -> None:
    (tmp_path / "run").mkdir()
    for name in ("epoch_1.pt", "epoch_2.pt"):
        (tmp_path / "run" / name).touch()
    assert "names a folder: name a file of weights in it, such as run/epoch_2.pt" in _refused(
        f"ViT-B-32:{tmp_path}/run"
    )
    assert "ViT-B-32:run/epoch_2.pt" in _refused(f"local-dir:{tmp_path}/run")
    assert "is a file: give its folder, or MODEL:PATH" in _refused(f"local-dir:{tiny_clip / WEIGHTS}")
    assert "is not a file: put the weights there" in _refused("ViT-B-32:nowhere/w.pt")
    assert "is not a file" in _refused("ViT-B-32:C:\\weights\\w.pt")
    assert "open_clip has no weights of it, write ViT-S-32-alt:path/to/weights.pt" in _refused("ViT-S-32-alt:openai")
    assert "is empty" in _refused(f"ViT-B-32:{tmp_path}/run/epoch_1.pt")


@given("Teachers", "a path or link that leaves the data root of the service", "refused")
def test_paths_stay_in_the_data_root(tmp_path: Path, tiny_clip: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(tiny_clip, root / "linked")
    (root / "linked" / WEIGHTS).unlink()
    (root / "linked" / WEIGHTS).symlink_to(tiny_clip / WEIGHTS)
    (root / "link.safetensors").symlink_to(tiny_clip / WEIGHTS)
    assert f"{WEIGHTS} of local-dir:linked is a link" in _refused("local-dir:linked", root)
    assert "is a link" in _refused("ViT-B-32:link.safetensors", root)
    for path in (str(tiny_clip / WEIGHTS), "../x.pt"):
        assert "lies outside the data root" in _refused(f"ViT-B-32:{path}", root)


@given("Teachers", "a config of open_clip without `model_cfg`, as its own files are", "read as the model's config")
def test_bare_config_of_open_clip(tmp_path: Path, tiny_clip: Path, tiny_teacher: Teacher) -> None:
    shutil.copy(tiny_clip / WEIGHTS, tmp_path)
    (tmp_path / OPEN_CLIP_CONFIG).write_text(json.dumps(tiny_clip_config()))
    assert load_teacher(f"local-dir:{tmp_path}").digest == tiny_teacher.digest


@given("Teachers", "a folder whose preprocessing cannot be applied", "refused; the field and its values are named")
@pytest.mark.parametrize(
    ("preprocess", "reason"),
    [
        ({"mean": [0.5]}, "has the mean [0.5]: give three numbers"),
        ({"mean": [float("nan")] * 3}, "has the mean [nan, nan, nan]: give three numbers"),
        ({"std": "0.5"}, "has the std '0.5': give three positive numbers"),
        ({"std": [0.5, 0.5, 0]}, "has the std [0.5, 0.5, 0]: give three positive numbers"),
        ({"resize_mode": "crop"}, "has the resize_mode 'crop': give one of shortest, longest, squash"),
        ({"interpolation": "lanczos"}, "has the interpolation 'lanczos': give one of bicubic, bilinear, random"),
    ],
)
def test_unusable_preprocessing_is_refused(
    tmp_path: Path, tiny_clip: Path, preprocess: dict[str, Any], reason: str
) -> None:
    config = json.loads((tiny_clip / "open_clip_config.json").read_text())
    (tmp_path / "open_clip_config.json").write_text(json.dumps({**config, "preprocess_cfg": preprocess}))
    shutil.copy(tiny_clip / WEIGHTS, tmp_path)
    assert reason in _refused(f"local-dir:{tmp_path}")


@given("Teachers", "a folder whose tokenizer has tokens that its text tower lacks", "refused; the tokenizer is named")
def test_tokenizer_of_a_larger_vocabulary_is_refused(tmp_path: Path) -> None:
    config = tiny_clip_config()
    folder = save_clip(tmp_path / "small", {**config, "text_cfg": {**config["text_cfg"], "vocab_size": 1000}})
    assert "gives token 49407, but its text tower has 1000 tokens" in _refused(f"local-dir:{folder}")


@given("Teachers", "a folder whose end token is not the one that its tokenizer adds", "refused; the token is named")
def test_end_token_that_the_tokenizer_does_not_add_is_refused(tmp_path: Path) -> None:
    config = tiny_clip_config()
    text = {**config["text_cfg"], "pool_type": "eos"}
    folder = save_clip(tmp_path / "right", {**config, "text_cfg": {**text, "eos_id": 49407}})
    features = load_teacher(f"local-dir:{folder}").encode_text(["a crane", "a heron"])
    assert not torch.equal(features[0], features[1])
    folder = save_clip(tmp_path / "wrong", {**config, "text_cfg": {**text, "eos_id": 5}})
    assert "ends a text with token 5, which its tokenizer does not add" in _refused(f"local-dir:{folder}")


def test_sharded_folder_equals_one_file(tmp_path: Path, tiny_clip: Path, tiny_teacher: Teacher) -> None:
    shutil.copy(tiny_clip / OPEN_CLIP_CONFIG, tmp_path)
    state = _state(tiny_clip)
    names = sorted(state)
    places = {name: f"part-{1 + at % 2:05d}-of-00002.safetensors" for at, name in enumerate(names)}
    for file in set(places.values()):
        save_file({name: state[name] for name in names if places[name] == file}, tmp_path / file)
    (tmp_path / f"{WEIGHTS}.index.json").write_text(json.dumps({"weight_map": places}))
    teacher = load_teacher(f"local-dir:{tmp_path}")
    assert (teacher.digest, teacher.weights["file"]) == (tiny_teacher.digest, f"{WEIGHTS}.index.json")


class _Repository:
    """`hf_hub_download` for one folder; remembers what was asked for."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.asked: list[str] = []
        monkeypatch.setattr("distill.teacher.sources.hf_hub_download", self)

    def __call__(self, repository: str, name: str, *, local_files_only: bool = False) -> str:
        self.asked.append(name)
        if not (self.folder / name).is_file():
            # Without the response that its constructor takes.
            raise RemoteEntryNotFoundError.__new__(RemoteEntryNotFoundError, f"{repository} has no {name}")
        return str(self.folder / name)


def test_repository_of_open_clip_is_downloaded(
    tiny_clip: Path, tiny_teacher: Teacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = _Repository(tiny_clip, monkeypatch)
    assert load_teacher("hf-hub:somebody/tiny").digest == tiny_teacher.digest
    assert repository.asked == [OPEN_CLIP_CONFIG, WEIGHTS]


@given("Teachers", "`hf-hub:` of a CLIP or SigLIP of transformers", "downloaded and converted")
def test_repository_of_transformers_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(__file__).with_name("transformers_models") / "clip_with_end_token"
    repository = _Repository(folder, monkeypatch)
    teacher = load_teacher("hf-hub:openai/clip-tiny")
    assert teacher.digest == load_teacher(f"local-dir:{folder}").digest
    assert {"config.json", "preprocessor_config.json", "tokenizer.json", "model.safetensors"} < set(repository.asked)


def test_repository_without_weights_is_refused(
    tmp_path: Path, tiny_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _Repository(tmp_path, monkeypatch)
    assert "the Hub has no hf-hub:somebody/tiny, or not all of its files" in _refused("hf-hub:somebody/tiny")
    shutil.copy(tiny_clip / OPEN_CLIP_CONFIG, tmp_path)
    assert "or not all of its files" in _refused("hf-hub:somebody/tiny")


def test_unreachable_repository_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(TeacherError) as caught:
        load_teacher("hf-hub:nobody/nothing")
    assert caught.value.code == "teacher_unreachable"
