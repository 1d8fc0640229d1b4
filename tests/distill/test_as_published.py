"""`li2023_*` beside the published code (arXiv:2307.03135, its file and function after each test), by values.

The expected values come from torchvision, which the published code calls, or are written as that code computes them.
"""

import json
import math
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision import transforms

from distill.config.recipes import RECIPES, resolve_train_config
from distill.config.train_config import TrainConfig
from distill.data.crops import center_crop
from distill.data.decoded_images import decode_images, eval_size, squash, train_size
from distill.data.image_index import ImageIndex
from distill.evaluation.epochs import measure_epochs
from distill.pipeline import MeasureOptions, measure_student, training_data
from distill.student.model import build_student, configured_student
from distill.student.saved_student import load_student, save_student
from distill.student.torchvision_start import set_torchvision_start
from distill.teacher.teacher import Teacher
from distill.texts.prompt_learning import PromptedTexts
from distill.texts.student_texts import evaluation_inputs
from distill.texts.text_targets import TextTargets
from distill.texts.text_templates import without_prefix
from distill.training.loader import batches, plan_batches
from distill.training.loop import train
from distill.training.train_accuracy import TrainAccuracy
from distill.training.training_state import _digest
from tests.distill.helpers_train import SavedStates, hooks_stopping_after, run, small_config, small_data

WIDTH = 48
STARTS: tuple[Literal["timm", "torchvision"], ...] = ("timm", "torchvision")


def photo(size: tuple[int, int] = (90, 61), seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1] // 4, size[0] // 4, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)


def pair_of_vits() -> tuple[nn.Module, nn.Module]:
    """timm's ViT with torchvision's start, and torchvision's own, of the proportions of ViT-B/32."""
    torch.manual_seed(3)
    theirs = torchvision.models.VisionTransformer(
        image_size=32, patch_size=8, num_layers=2, num_heads=3, hidden_dim=192, mlp_dim=768, num_classes=WIDTH
    )
    ours = timm.models.VisionTransformer(
        img_size=32, patch_size=8, depth=2, num_heads=3, embed_dim=192, mlp_ratio=4, num_classes=WIDTH
    )
    assert set_torchvision_start(ours, seed=5)
    return ours, theirs


def named_as_timm(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of torchvision's ViT under timm's names."""
    replaced = (
        ("class_token", "cls_token"),
        ("conv_proj", "patch_embed.proj"),
        ("encoder.pos_embedding", "pos_embed"),
        ("encoder.ln.", "norm."),
        ("encoder.layers.encoder_layer_", "blocks."),
        ("self_attention.in_proj_", "attn.qkv."),
        ("self_attention.out_proj", "attn.proj"),
        ("ln_1", "norm1"),
        ("ln_2", "norm2"),
        ("mlp.0.", "mlp.fc1."),
        ("mlp.3.", "mlp.fc2."),
        ("heads.head.", "head."),
    )
    renamed = {}
    for name, tensor in state.items():
        for theirs, ours in replaced:
            name = name.replace(theirs, ours)
        renamed[name] = tensor
    return renamed


def assert_same_distributions(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    for name, tensor in theirs.items():
        if not tensor.is_floating_point():
            continue
        own, num = ours[name], tensor.numel()
        if num < 2 or float(tensor.std()) == 0:
            assert torch.equal(own, tensor), name  # a constant
        else:
            assert float(own.std()) == pytest.approx(float(tensor.std()), rel=6 / math.sqrt(num)), name
            assert float(own.mean()) == pytest.approx(
                float(tensor.mean()), abs=9 * float(tensor.std()) / math.sqrt(num)
            )
            tails = float(own.abs().max() / own.std()), float(tensor.abs().max() / tensor.std())
            assert num < 4000 or tails[0] == pytest.approx(tails[1], rel=0.35), name  # uniform, normal or truncated


@pytest.mark.slow
def test_resnet_is_the_published_model_with_its_start() -> None:
    """models/imagenet/resnet.py: ResNet.__init__, a copy of torchvision's."""
    torch.manual_seed(0)
    theirs = torchvision.models.resnet18(num_classes=WIDTH)
    config = RECIPES["li2023_resnet"]().student.model_copy(update={"image_px": 64})
    ours = configured_student(config, width=WIDTH, seed=1)
    assert_same_distributions(ours.model.state_dict(), theirs.state_dict())
    last_norm = "layer1.0.bn2.weight"
    assert ours.model.state_dict()[last_norm].unique().tolist() == [1.0]
    timms = build_student("resnet18", width=WIDTH, image_px=64, seed=1).model.state_dict()
    assert timms[last_norm].unique().tolist() == [0.0]
    ours.model.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(ours.model.eval()(images), theirs.eval()(images), atol=1e-5, rtol=1e-5)
    assert (ours.mean, ours.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_vit_is_the_published_model_with_its_start() -> None:
    """main_experiments.py: models.vit_b_32, torchvision's."""
    ours, theirs = pair_of_vits()
    assert_same_distributions(ours.state_dict(), named_as_timm(theirs.state_dict()))
    weights = theirs.state_dict() | {"heads.head.weight": torch.randn(WIDTH, 192)}
    theirs.load_state_dict(weights)
    ours.load_state_dict(named_as_timm(weights))
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(ours.eval()(images), theirs.eval()(images), atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_vit_has_the_mean_and_std_of_imagenet_which_timms_has_not() -> None:
    for init, mean in zip(STARTS, ((0.5, 0.5, 0.5), (0.485, 0.456, 0.406)), strict=True):
        student = build_student("vit_tiny_patch16_224", width=8, image_px=32, seed=0, init=init)
        assert student.mean == mean
    # Models that torchvision does not have keep timm's start.
    others = [build_student("test_efficientnet", width=8, image_px=32, seed=0, init=init) for init in STARTS]
    for name, tensor in others[0].model.state_dict().items():
        assert torch.equal(tensor, others[1].model.state_dict()[name])


@pytest.mark.slow
def test_a_head_of_zeros_has_a_huge_gradient_once_and_then_hardly_moves() -> None:
    """The published ViT: normalising a feature of zeros divides by 1e-12, and AdamW remembers that gradient."""
    published = small_config(student="test_vit", init="torchvision").student
    assert not any(p.any() for p in configured_student(published, width=WIDTH, seed=0).model.head.parameters())
    torch.manual_seed(0)
    body, targets, labels = torch.randn(32, 16), torch.randn(4, WIDTH), torch.arange(32) % 4
    gradients, moved = {}, {}
    for start in ("zeros", "usual"):
        head = nn.Linear(16, WIDTH)
        if start == "zeros":
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)
        optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3, weight_decay=0.01)
        for step in range(401):
            optimizer.zero_grad()
            unit = torch.nn.functional.normalize
            torch.nn.functional.cross_entropy(unit(head(body)) @ unit(targets).T / 0.07, labels).backward()
            assert head.weight.grad is not None
            if step == 0:
                gradients[start] = float(head.weight.grad.norm())
            if step == 200:
                before = head.weight.detach().clone()
            optimizer.step()
        moved[start] = float(
            (head.weight.detach() - before * (1 - 1e-3 * 0.01) ** 201).norm()
        )  # apart from the weight decay
    assert 1e11 < gradients["zeros"] < 1e14
    assert gradients["usual"] < 1e3
    assert moved["zeros"] < moved["usual"] / 1e4


def test_images_are_resized_bilinearly_by_way_of_256(tmp_path: Path, tiny_teacher: Teacher) -> None:
    """main_experiments.py: pre_train_transform, clip_preprocess, val_transform."""
    config = RECIPES["li2023_resnet"]()
    assert (train_size(config.student.size), eval_size(config.student.size, config.student.test_crop)) == (
        (256, 256),
        (256, 256),
    )
    image = photo((300, 200))
    published = transforms.Compose([transforms.Resize([256, 256]), transforms.ToTensor()])(image)
    stored = squash(image, train_size(config.student.size), config.student.resize)
    assert np.array_equal(stored, (published * 255).round().byte().permute(1, 2, 0).numpy())
    assert not np.array_equal(stored, squash(image, train_size(config.student.size)))

    side = tiny_teacher.preprocess["size"][0]
    mean, std = tiny_teacher.preprocess["mean"], tiny_teacher.preprocess["std"]
    of_teacher = transforms.Compose(
        [
            transforms.Resize(size=side, interpolation=transforms.InterpolationMode.BICUBIC, antialias=False),
            transforms.CenterCrop(size=(side, side)),
            transforms.Normalize(mean=mean, std=std),
        ]
    )
    assert config.data.view == "squash_256"
    torch.testing.assert_close(tiny_teacher.prepare(image, "squash_256"), of_teacher(published), atol=1e-5, rtol=1e-5)

    student = configured_student(config.student.model_copy(update={"architecture": "test_vit"}), width=8, seed=0)
    image.save(tmp_path / "photo.png")
    decoded = decode_images([tmp_path / "photo.png"], 256, cache=tmp_path, interpolation=student.interpolation)
    test = transforms.Compose(
        [transforms.CenterCrop(224), transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
    )
    own = student.normalise(center_crop(torch.from_numpy(decoded.pixels[np.arange(1)]), student.size))[0]
    torch.testing.assert_close(own, test(published), atol=1e-5, rtol=1e-5)
    assert student.preprocess()["interpolation"] == "bilinear"
    save_student(student, tmp_path / "student")
    again = load_student(tmp_path / "student", config.student, width=8, seed=0)
    assert (again.interpolation, again.mean) == ("bilinear", student.mean)


def test_the_last_partial_batch_is_used() -> None:
    """main_experiments.py: DataLoader(shuffle=True), whose drop_last is False."""
    config = small_config(batch_size=10, epochs=1, last_batch="keep")
    for number, sizes in ((24, [10, 10, 4]), (20, [10, 10]), (21, [10, 10]), (7, [7])):
        found = list(batches(small_data(number), config, 0, torch.device("cpu")))
        assert [len(batch.labels) for batch in found] == sizes  # one image has no statistics for batch norm
        used = torch.cat([batch.images for batch in found]).tolist()
        assert len(set(used)) == len(used) == sum(sizes)
    dropped = batches(small_data(24), small_config(batch_size=10, epochs=1), 0, torch.device("cpu"))
    assert [len(batch.labels) for batch in dropped] == [10, 10]
    published = RECIPES["li2023_resnet"]()
    assert plan_batches(published, 4122).steps_per_pass == math.ceil(4122 / 128)
    assert plan_batches(published, 4122).images_per_pass == 4122
    # Every rank and every part of a batch has an equal number of images.
    assert plan_batches(small_config(batch_size=12, accumulate=3, last_batch="keep"), 31).images_per_pass == 30


@pytest.mark.parametrize(("num_few", "of_batch"), [(9, 4), (3, 3)])
def test_the_last_partial_batch_of_fine_tuning_has_its_few_shot_images(num_few: int, of_batch: int) -> None:
    """custom_data_loader.py: FewShotSampler.__iter__."""
    config = small_config(batch_size=8, epochs=1, last_batch="keep", protocol="fine_tune", shots=3)
    num_others = 14
    found = list(batches(small_data(num_others + num_few, few=num_few), config, 0, torch.device("cpu")))
    sizes = [of_batch + min(8 - of_batch, num_others - at) for at in range(0, num_others, 8 - of_batch)]
    assert [len(batch.labels) for batch in found] == sizes
    for batch in found:
        assert sum(int(image) >= num_others for image in batch.images) == of_batch


def test_learned_context_texts_end_in_two_full_stops(tiny_teacher: Teacher, targets: TextTargets) -> None:
    """models/misc/prompt_learner.py: PromptLearner.__init__, `prompt_prefix + " " + name + "."`."""
    assert RECIPES["li2023_resnet"]().objective.second_stop
    names = {"a photo of crane": "crane.", "a photo of crane . It is grey.": "crane . It is grey.."}
    for text, expected in names.items():
        assert without_prefix(text, second_stop=True) == expected
    assert without_prefix("a photo of crane . It is grey.") == "crane . It is grey."
    context = torch.randn(2, 16)
    prompts = [["a photo of crane . It is grey."]]
    one, two = (PromptedTexts(tiny_teacher, prompts, 2, second_stop=stop)(context) for stop in (False, True))
    ids = tiny_teacher.tokenizer.ids(["crane . It is grey.."])
    expected = torch.nn.functional.normalize(tiny_teacher.encode_after(context, ids), dim=-1)
    torch.testing.assert_close(two, expected)
    assert not torch.allclose(one, two, atol=1e-4)


def test_two_full_stops_are_kept_with_the_targets(
    image_index: ImageIndex, tiny_teacher: Teacher, targets: TextTargets, tmp_path: Path
) -> None:
    config = small_config(context_tokens=2, second_stop=True)
    _, learned = evaluation_inputs(config, image_index, tiny_teacher, targets, torch.randn(2, 16))
    learned.save(tmp_path / "targets")
    assert TextTargets.load(tmp_path / "targets").second_stop
    targets.save(tmp_path / "plain")
    assert not TextTargets.load(tmp_path / "plain").second_stop


def test_few_shot_closed_set_baseline_classifies_unseen_labels_among_themselves(
    image_index: ImageIndex, targets: TextTargets, tiny_teacher: Teacher, tmp_path: Path
) -> None:
    """main_experiments.py: target_remap of a run without --use-clip, whose outputs are ID, then OOD labels."""
    config = small_config(protocol="closed_set", shots=1, epochs=1, batch_size=8)
    data = training_data(config, image_index, tiny_teacher, targets, cache=tmp_path)
    assert torch.equal(data.texts, torch.eye(4))
    assert len(data.few) == 2
    unseen = list(image_index.ood_labels)
    result = train(config, data)
    assert result.student.width == 4
    measured_index, classes = evaluation_inputs(config, image_index, None, targets, None)
    order = [*image_index.id_labels, *unseen]
    assert torch.equal(classes.features[order], torch.eye(4))
    options = MeasureOptions(temperature=0.07, shots=1)
    measured = measure_student(result.student, measured_index, classes, "names", options, cache=tmp_path)
    assert measured.ood is not None
    assert measured.ood.num_images == len(image_index.part("ood")) - 2
    assert set(measured.ood.per_label) == {image_index.labels[label] for label in unseen}
    few = resolve_train_config("li2023_resnet_5shot", {"protocol": "closed_set"})
    assert (few.data.shots, few.objective.losses.above_zero()) == (5, {"closed_set": 1.0})


def test_training_accuracy_is_the_mean_over_labels_of_one_pass() -> None:
    """main_experiments.py: avg_accuracy_per_class in train(), of which the last of `repeat_epochs` is logged."""
    accuracy = TrainAccuracy(3, torch.device("cpu"))
    accuracy.update(torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 1, 1]))
    again = TrainAccuracy(3, torch.device("cpu"), accuracy.counts())
    for one in (accuracy, again):
        one.update(torch.tensor([0, 1]), torch.tensor([2, 0]))
        assert one.mean() == pytest.approx((2 / 4 + 1 / 2) / 2)  # label 2 had no image
    accuracy.begin_pass()
    accuracy.update(torch.tensor([2]), torch.tensor([2]))
    assert accuracy.mean() == 1


@pytest.mark.slow
def test_training_accuracy_is_logged_every_epoch_and_survives_a_resume(tmp_path: Path) -> None:
    config = small_config(student="test_vit", epochs=3, passes_per_epoch=2, lr=3e-3)
    whole, steps = run(config)
    assert whole is not None
    at_epochs = [metrics.train_accuracy for metrics in steps if metrics.step % 6 == 0]
    assert [metrics.step for metrics in steps if metrics.train_accuracy is not None] == [6, 12, 18]
    logged = [line["train_accuracy"] for line in whole.log if "train_accuracy" in line]
    assert logged == pytest.approx(at_epochs, abs=1e-5)
    assert 0 <= at_epochs[0] <= at_epochs[-1] <= 1  # type: ignore[operator]
    state = tmp_path / "state"
    with pytest.raises(Exception, match="of 18 steps"):
        train(config, small_data(), hooks=hooks_stopping_after(11, state))
    resumed, _ = run(config, resume=state)
    assert resumed is not None
    assert [line["train_accuracy"] for line in resumed.log if "train_accuracy" in line] == logged


def test_every_epoch_can_be_measured(
    image_index: ImageIndex, targets: TextTargets, tiny_teacher: Teacher, tmp_path: Path
) -> None:
    """main_experiments.py: test() after every epoch."""
    config = small_config(epochs=101, measured_epochs=101, batch_size=64, student="test_vit")
    on_epoch = measure_epochs(config, image_index, tiny_teacher, targets, "names", cache=tmp_path)
    student = configured_student(config.student, width=tiny_teacher.width, seed=0)
    lines = [on_epoch(epoch, student, None) for epoch in (1, 50, 101)]
    assert all(line is not None and line["accuracy"]["ood"] is not None for line in lines)


def test_states_of_earlier_releases_resume_with_the_settings_that_they_had(tmp_path: Path) -> None:
    defaults = TrainConfig()
    assert (defaults.student.init, defaults.student.resize, defaults.schedule.last_batch) == ("timm", "bicubic", "drop")
    objective = defaults.objective
    assert (objective.queue_size, objective.affinity_scale, objective.second_stop) == (4096, "temperature", False)
    losses = {"neighbour": 1, "queue_kl": 1}
    config = small_config(student="test_vit", losses=losses, queue_size=16, affinity_scale="temperature")
    saves = SavedStates(tmp_path)
    run(config, stop_at=3, save=saves)
    old = _as_of_an_earlier_release(saves.paths[-1])
    resumed, steps = run(config, resume=old)
    assert resumed is not None
    assert [metrics.step for metrics in steps] == [4, 5, 6]


def _as_of_an_earlier_release(state: Path) -> Path:
    """The state without the buffer and the settings that later releases added."""
    with safe_open(state, framework="pt") as opened:
        metadata = dict(opened.metadata())
        tensors = {name: opened.get_tensor(name) for name in opened.keys() if "queue_images" not in name}  # noqa: SIM118
    identity, position = json.loads(metadata["identity"]), json.loads(metadata["position"])
    for name in ("init", "resize", "last_batch", "affinity_scale", "second_stop"):
        del identity["config"][name]
    del position["train_counts"]
    metadata |= {"identity": json.dumps(identity, sort_keys=True), "position": json.dumps(position)}
    metadata["digest"] = _digest(metadata, tensors)
    save_file(tensors, state, metadata=metadata)
    return state
