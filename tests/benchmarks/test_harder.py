"""The arms on the beetles: each is another training, the pool has no label, and the report has their figures."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import normalize

from benchmarks.evidence import beetle_world, harder, run
from benchmarks.evidence.arms import only_losses
from benchmarks.evidence.beetle_world import BeetleWorld, prepare_beetles
from benchmarks.evidence.harder import HARDER_ARMS, main, with_epochs
from benchmarks.evidence.two_teachers import TwoTeachers
from benchmarks.evidence.world import World
from distill.teacher.teacher import load_teacher
from examples.beetles import world as beetles


def test_every_arm_is_a_different_training_for_the_same_epochs() -> None:
    arms = [with_epochs(arm, 7) for arm in HARDER_ARMS.values()]
    different = {repr((one.config(0), one.text, one.num_pool, one.num_teachers, one.has_pairs)) for one in arms}
    assert len(different) == len(arms)
    assert {arm.config(3).schedule.epochs for arm in arms} == {7}
    assert {arm.config(3).system.seed for arm in arms} == {3}
    assert not any("," in name for name in HARDER_ARMS)


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BeetleWorld:
    """Three species of each group, and a pool of six images."""
    few = [one for group in beetles.GROUP_SIZES for one in beetles.species(group)[:3]]
    monkeypatch.setattr(beetles, "species", lambda group=None: [one for one in few if group in (None, one.group)])
    monkeypatch.setattr(beetle_world, "POOL", 6)
    monkeypatch.setattr(run, "DISTILL", Path(run.__file__).parent)  # hashing all of distill/ takes long
    return prepare_beetles(tmp_path / "out")


def test_three_images_are_trained_on_and_the_pool_has_no_label(small: BeetleWorld) -> None:
    counts = small.image_index("validation", num_pool=6).counts
    assert counts == {"train": 9, "held_out": 3, "ood": 12, "unlabelled": 6, "id_labels": 3, "ood_labels": 3}
    assert small.image_index("validation").counts.get("unlabelled", 0) == 0
    index = small.image_index("test", num_pool=6)
    assert all(index.file(row).is_file() for row in range(len(index)))
    with pytest.raises(ValueError, match="a species has three training images"):
        small.image_index("test", 4)


@pytest.mark.slow
def test_the_command_trains_reports_and_repeats_nothing(
    small: BeetleWorld, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(
        harder,
        "HARDER_ARMS",
        {
            "live": harder._arm("live", "a view", batch_size=4, tuned_teacher=5.0),
            "pool": harder._arm(
                "pool", "a pool", num_pool=6, batch_size=6, losses=only_losses("cls", "mse", "phrase_kl")
            ),
        },
    )
    command = ["--arms", "live,pool", "--epochs", "1", "--out", str(small.folder), "--write", str(tmp_path)]
    assert main(command) == 0
    printed = capsys.readouterr().out
    for text in (
        "| the teacher | | sentence |",
        "| live: a view | test_resnet, 32 px | sentence |",
        "| the teacher of live | | sentence |",
        "| pool: a pool | test_resnet, 32 px | sentence |",
    ):
        assert text in printed
    assert "## Students that generalise, 1 epoch" in (tmp_path / "evidence.md").read_text()

    def fail(*_arguments: Any, **_named: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(run, "train", fail)
    assert main(command) == 0
    assert capsys.readouterr().out == printed


def test_a_feature_of_two_teachers_has_the_mean_of_their_cosines(small: BeetleWorld) -> None:
    first, second = (load_teacher(f"local-dir:{beetle_world.TEACHER}") for _ in range(2))
    with torch.no_grad():
        for weight in second.text_tower().parameters():
            weight.mul_(1.1)
    both, images = TwoTeachers(first, second), torch.rand(3, 3, 64, 64)
    texts = ["a red beetle", "a blue beetle"]
    cosines = torch.stack(
        [normalize(one.encode_images(images)) @ one.encode_text(texts).T for one in (both, first, second)]
    )
    assert not torch.allclose(cosines[1], cosines[2], atol=0.01)
    torch.testing.assert_close(cosines[0], cosines[1:].mean(0))
    assert (both.width, len(both.encode_text(texts)[0])) == (2 * first.width, 2 * first.width)
    second.preprocess_digest = "other"
    with pytest.raises(ValueError, match="differ in their preprocessing"):
        TwoTeachers(first, second)


def test_pairs_of_phrases_are_a_larger_bank_with_its_own_records(small: BeetleWorld) -> None:
    pairs = small.for_arm(HARDER_ARMS["phrases in pairs"])
    assert {len(texts) for texts in small.phrases} == {7}
    assert {len(texts) for texts in pairs.phrases} == {21}
    assert pairs.digest != small.digest
    assert pairs.for_arm(HARDER_ARMS["phrases"]).digest == small.digest
    with pytest.raises(ValueError, match="the field guide has one teacher"):
        World(small.folder).for_arm(HARDER_ARMS["two teachers"])


def test_an_unknown_arm_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--arms", "live,nothing"])
    assert 'no arm is called "nothing"' in capsys.readouterr().err
