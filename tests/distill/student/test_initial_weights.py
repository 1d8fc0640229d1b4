"""Starts of a student: published weights by tag, repositories of the Hub, own files and folders, and their refusals."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from timm.models._hub import save_for_hf
from torch import nn

from distill.bundle.verify import file_sha256
from distill.config.train_config import StudentConfig
from distill.student.initial_weights import StudentError
from distill.student.model import Student, build_student, configured_student

WIDTH = 5
REVISION = "1" * 40


def given(what: str, handling: str) -> pytest.MarkDecorator:
    return pytest.mark.image_input("Students", what, handling)


def source_model(name: str = "test_resnet", seed: int = 3, **given: Any) -> nn.Module:
    torch.manual_seed(seed)
    model: nn.Module = timm.create_model(name, **given)
    return model


def start(name: str = "test_resnet", *, image_px: int | tuple[int, int] = 32, **given: Any) -> Student:
    return build_student(name, width=WIDTH, image_px=image_px, seed=0, **given)


def differing(student: Student, source: nn.Module) -> set[str]:
    """The names of the tensors that are not those of `source`."""
    theirs = source.state_dict()
    return {
        name
        for name, tensor in student.model.state_dict().items()
        if name not in theirs or not torch.equal(tensor, theirs[name])
    }


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """`hub_cache(repository, model)` puts a model into the cache of an offline Hub, in the layout of its library."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    def put(repository: str, model: nn.Module, **config: Any) -> Path:
        folder = tmp_path / "hub" / f"models--{repository.replace('/', '--')}"
        snapshot = folder / "snapshots" / REVISION
        snapshot.parent.mkdir(parents=True)
        save_for_hf(model, str(snapshot), safe_serialization=True, model_config=config)
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text(REVISION)
        return snapshot

    return put


@given("a pretrained start", "the published weights of the tag with a new head; file, sha256 and licence are reported")
@pytest.mark.parametrize("name", ["test_resnet.r160_in1k", "test_resnet", "timm/test_resnet.r160_in1k"])
def test_pretrained_start_is_the_file_of_the_tag(hub_cache: Callable[..., Path], name: str) -> None:
    published = source_model()
    snapshot = hub_cache("timm/test_resnet.r160_in1k", published)
    student = start(name, pretrained=True)
    assert differing(student, published) == {"fc.weight", "fc.bias"}
    assert student.name == "test_resnet"
    assert student.initial == {
        "source": "timm/test_resnet.r160_in1k",
        "file": "model.safetensors",
        "sha256": file_sha256(snapshot / "model.safetensors"),
        "license": "apache-2.0",
        "head": "a new head of 5 outputs",
    }
    assert "starts from timm/test_resnet.r160_in1k (model.safetensors, sha256 " in student.description()
    assert "licence apache-2.0" in student.description()


def test_pretrained_start_adapts_the_image_size_and_the_channels(hub_cache: Callable[..., Path]) -> None:
    published = source_model("test_vit")
    hub_cache("timm/test_vit.r160_in1k", published)
    student = start("test_vit.r160_in1k", image_px=(64, 48), pretrained=True, in_chans=1)
    assert differing(student, published) == {"pos_embed", "patch_embed.proj.weight", "head.weight", "head.bias"}
    grey = student.model.state_dict()["patch_embed.proj.weight"]
    torch.testing.assert_close(grey, published.state_dict()["patch_embed.proj.weight"].sum(dim=1, keepdim=True))


def test_tag_sets_mean_and_std_whether_or_not_the_start_is_pretrained() -> None:
    default, tagged = (start(f"mobilenetv3_large_100{tag}") for tag in ("", ".miil_in21k"))
    assert (default.mean, tagged.mean) == ((0.485, 0.456, 0.406), (0.0, 0.0, 0.0))
    assert tagged.std == (1.0, 1.0, 1.0)
    assert tagged.name == "mobilenetv3_large_100"
    assert tagged.initial == {"source": "random"}
    assert tagged.description().endswith("32 px, random start")


@given("`hf-hub:org/name`", "timm's config of the repository gives architecture, mean, std and arguments")
def test_repository_of_the_hub_gives_architecture_and_weights(hub_cache: Callable[..., Path]) -> None:
    published = source_model("test_resnet", block_args={"attn_layer": "se"}, num_classes=7)
    snapshot = hub_cache(
        "somebody/net", published, pretrained_cfg={"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6), "license": "mit"}
    )
    student = start("hf-hub:somebody/net", pretrained=True)
    assert student.name == "test_resnet"
    assert student.model_args["block_args"] == {"attn_layer": "se"}
    assert (student.mean, student.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert differing(student, published) == {"fc.weight", "fc.bias"}
    assert (student.initial["source"], student.initial["license"]) == ("hf-hub:somebody/net", "mit")
    rebuilt = timm.create_model(student.name, num_classes=WIDTH, **student.model_args)
    rebuilt.load_state_dict(student.model.state_dict())
    same_width = build_student("hf-hub:somebody/net", width=7, image_px=32, seed=0, pretrained=True)
    assert differing(same_width, published) == set()
    assert same_width.initial["head"] == "with its head of 7 outputs"
    assert start("hf-hub:somebody/net").initial == {"source": "random"}
    config = json.loads((snapshot / "config.json").read_text())
    (snapshot / "config.json").write_text(json.dumps({"model_type": "resnet", "architectures": ["ResNetModel"]}))
    with pytest.raises(StudentError, match=r"config.json of hf-hub:somebody/net is not one of timm: it lacks 'archi"):
        start("hf-hub:somebody/net")
    (snapshot / "config.json").write_text(json.dumps(config | {"architecture": "net_of_tomorrow"}))
    with pytest.raises(StudentError, match="is a net_of_tomorrow, which timm .* does not have"):
        start("hf-hub:somebody/net")


@given("published weights that are not on the machine, without a network", "refused in one line with the fix")
@pytest.mark.parametrize(
    ("name", "pretrained"),
    [
        ("resnet10t", True),
        ("resnet10t.c3_in1k", True),
        ("hf-hub:a/b", False),
        ("hf-hub:a/b", True),
        ("gcvit_tiny", True),
    ],
)
def test_unreachable_weights_are_refused_in_one_line(
    hub_cache: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, pretrained: bool
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def no_network(*_arguments: Any, **_given: Any) -> None:
        raise OSError("<urlopen error [Errno -2] Name or service not known>")

    monkeypatch.setattr("timm.models._hub.download_url_to_file", no_network)
    with pytest.raises(StudentError, match="cannot be downloaded: check the network and HF_ENDPOINT") as raised:
        start(name, pretrained=pretrained)
    assert "\n" not in str(raised.value)


@given("own timm weights with another head", "loaded, with a new head of the teacher's width, reported")
@pytest.mark.parametrize("prefix", ["", "module.", "model."])
def test_own_file_is_loaded_and_the_head_is_replaced(tmp_path: Path, prefix: str) -> None:
    own = source_model(num_classes=1000)
    torch.save({"state_dict": {prefix + k: v for k, v in own.state_dict().items()}}, tmp_path / "own.pth")
    student = start(weights=str(tmp_path / "own.pth"))
    assert differing(student, own) == {"fc.weight", "fc.bias"}
    fresh = start().model.state_dict()
    assert torch.equal(student.model.state_dict()["fc.weight"], fresh["fc.weight"])
    assert student.initial["head"] == "a new head of 5 outputs in place of 1000"
    assert student.initial["license"] is None
    assert student.initial["sha256"] == file_sha256(tmp_path / "own.pth")
    assert not any("state_dict" in cfg for cfg in (student.model.pretrained_cfg, student.model.default_cfg))


def test_own_head_of_the_same_width_is_kept_and_a_missing_one_is_new(tmp_path: Path) -> None:
    own = source_model(num_classes=WIDTH)
    save_file(own.state_dict(), tmp_path / "own.safetensors")
    student = start(weights=str(tmp_path / "own.safetensors"))
    assert differing(student, own) == set()
    assert student.initial["head"] == "with its head of 5 outputs"
    headless = source_model(num_classes=0)
    save_file(headless.state_dict(), tmp_path / "headless.safetensors")
    student = start(weights=str(tmp_path / "headless.safetensors"))
    assert differing(student, headless) == {"fc.weight", "fc.bias"}
    assert student.initial["head"] == "a new head of 5 outputs"


@given("own weights of other channels or of another image size", "converted by timm")
def test_own_weights_of_other_channels_and_sizes_are_converted(tmp_path: Path) -> None:
    grey, small = source_model(in_chans=1), source_model("test_vit", img_size=64)
    save_file(grey.state_dict(), tmp_path / "grey.safetensors")
    assert differing(start(weights=str(tmp_path / "grey.safetensors"), in_chans=1), grey) == {"fc.weight", "fc.bias"}
    coloured = start(weights=str(tmp_path / "grey.safetensors"))
    assert differing(coloured, grey) == {"conv1.0.weight", "fc.weight", "fc.bias"}
    save_file(small.state_dict(), tmp_path / "small.safetensors")
    assert differing(start("test_vit", image_px=64, weights=str(tmp_path / "small.safetensors")), small) == {
        "head.weight",
        "head.bias",
    }
    larger = start("test_vit", image_px=96, weights=str(tmp_path / "small.safetensors"))
    assert differing(larger, small) == {"pos_embed", "head.weight", "head.bias"}
    save_for_hf(small, str(tmp_path / "small"), safe_serialization=True)
    same = start("test_vit", image_px=64, weights=str(tmp_path / "small"))
    rebuilt = timm.create_model(same.name, num_classes=WIDTH, **same.model_args)
    rebuilt.load_state_dict(same.model.state_dict())


@given("own weights that do not fit the architecture", "refused in one line with the number of tensors and the first")
def test_weights_that_do_not_fit_are_refused_in_one_line(tmp_path: Path) -> None:
    own = source_model("test_vit")
    save_file(own.state_dict(), tmp_path / "own.safetensors")
    with pytest.raises(
        StudentError, match=r"own.safetensors does not fit test_resnet: \d+ tensors are missing"
    ) as raised:
        start(weights=str(tmp_path / "own.safetensors"))
    assert "\n" not in str(raised.value)
    partial = {name: tensor for name, tensor in own.state_dict().items() if not name.startswith("blocks.5.")}
    save_file(partial, tmp_path / "partial.safetensors")
    with pytest.raises(StudentError, match=r"\d+ tensors are missing \(first blocks.5.norm1.weight\)"):
        start("test_vit", weights=str(tmp_path / "partial.safetensors"))
    packed = {name: tensor.to(torch.int8) for name, tensor in own.state_dict().items()}
    save_file(packed, tmp_path / "packed.safetensors")
    with pytest.raises(StudentError, match=r"packed.safetensors cannot be used: tensor cls_token is int8"):
        start("test_vit", weights=str(tmp_path / "packed.safetensors"))
    (tmp_path / "damaged.safetensors").write_bytes(b"\xff" * 99)
    with pytest.raises(StudentError, match=r"^student.weights: .*damaged.safetensors is damaged or truncated"):
        start(weights=str(tmp_path / "damaged.safetensors"))
    with pytest.raises(StudentError, match="nowhere.pth does not exist"):
        start(weights=str(tmp_path / "nowhere.pth"))


@given("a folder with timm's config.json and weights", "weights, mean and std of the folder")
def test_folder_of_timm_gives_weights_mean_and_std(tmp_path: Path) -> None:
    own = source_model(num_classes=9)
    save_for_hf(
        own, str(tmp_path / "own"), safe_serialization=True, model_config={"pretrained_cfg": {"mean": (0.1, 0.2, 0.3)}}
    )
    student = start(weights=str(tmp_path / "own"))
    assert differing(student, own) == {"fc.weight", "fc.bias"}
    assert student.mean == (0.1, 0.2, 0.3)
    assert student.initial["file"] == "model.safetensors"
    with pytest.raises(StudentError, match="holds a test_resnet, but the student is a test_vit: set student.archi"):
        start("test_vit", weights=str(tmp_path / "own"))
    shutil.copytree(tmp_path / "own", tmp_path / "bare")
    (tmp_path / "bare" / "model.safetensors").unlink()
    with pytest.raises(StudentError, match="holds none of model.safetensors, pytorch_model.bin"):
        start(weights=str(tmp_path / "bare"))
    (tmp_path / "bare" / "config.json").write_text("[1, 2]")
    with pytest.raises(StudentError, match=r"config.json of .*bare is not one of timm"):
        start(weights=str(tmp_path / "bare"))
    (tmp_path / "bare" / "config.json").unlink()
    with pytest.raises(StudentError, match=r"bare is a folder without config.json"):
        start(weights=str(tmp_path / "bare"))


@given("a folder whose config.json has an unusable mean, std or input_size", "refused; the field and values are named")
@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"std": [0.2, 0.2, 0]}, "has the std .*0.2, 0.2, 0.*: give 1 or 3 positive numbers"),
        ({"mean": [float("nan")] * 3}, "has the mean .*: give 1 or 3 numbers"),
        ({"mean": "0.5"}, "has the mean .*: give 1 or 3 numbers"),
        ({"input_size": []}, "has the input_size .*: give 3 positive numbers"),
    ],
)
def test_unusable_numbers_of_a_folder_are_refused(tmp_path: Path, changed: dict[str, Any], reason: str) -> None:
    save_for_hf(source_model(), str(tmp_path / "own"), safe_serialization=True)
    config = json.loads((tmp_path / "own" / "config.json").read_text())
    config["pretrained_cfg"] |= changed
    (tmp_path / "own" / "config.json").write_text(json.dumps(config))
    with pytest.raises(StudentError, match=reason):
        start(weights=str(tmp_path / "own"))


@given("`image/` of a bundle as a start", "its weights and its licence, with another teacher too")
def test_licence_of_a_bundle_follows_its_weights(tmp_path: Path) -> None:
    save_for_hf(source_model(), str(tmp_path / "image"), safe_serialization=True)
    config = json.loads((tmp_path / "image" / "config.json").read_text())
    config["pretrained_cfg"].pop("license")  # as in a bundle
    (tmp_path / "image" / "config.json").write_text(json.dumps(config))
    manifest = {"made_from": {"initial_weights": {"source": "timm/x", "license": "cc-by-nc-4.0"}}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert start(weights=str(tmp_path / "image")).initial["license"] == "cc-by-nc-4.0"


@given("own weights in the service", "a path below the data root; links out of it are refused")
def test_weights_stay_below_the_data_root(tmp_path: Path) -> None:
    root, outside = tmp_path / "data", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    for folder in (root, outside):
        save_file(source_model().state_dict(), folder / "own.safetensors")
    (root / "link.safetensors").symlink_to(outside / "own.safetensors")
    config = StudentConfig(architecture="test_resnet", image_px=32, weights="own.safetensors")
    student = configured_student(config, width=WIDTH, seed=0, root=root)
    assert student.initial["source"] == "own.safetensors"
    assert "fc.weight" in load_file(root / "own.safetensors")
    for path in ("../outside/own.safetensors", "link.safetensors", str(outside / "own.safetensors")):
        with pytest.raises(StudentError, match="lies outside the data root"):
            configured_student(config.model_copy(update={"weights": path}), width=WIDTH, seed=0, root=root)
    assert configured_student(config, width=WIDTH, seed=0, root=root, initialise=False).initial == {"source": "random"}
