"""Banks of texts: phrases of seen labels or of all, without names; each text of each label; encoded once."""

from pathlib import Path

import pytest
import torch

from distill.config.train_config import TrainConfig
from distill.data.image_index import ImageIndex
from distill.pipeline import training_data
from distill.teacher.teacher import Teacher
from distill.texts.text_targets import TextTargets, encode_text_targets
from distill.texts.text_templates import LabelAttributes, PromptOptions, TextsError, bank_texts
from distill.training.hooks import TrainHooks
from distill.training.loop import train
from distill.training.metrics import StepMetrics
from tests.distill.examples import LABELS
from tests.distill.helpers_train import small_config

PHRASES = [(f"a photo of an object, which has mark {at}", "a photo of an object, which has wings") for at in range(4)]


def config(**overrides: object) -> TrainConfig:
    return small_config(num_workers=2, epochs=1, **overrides)


def test_texts_of_a_bank_have_no_name() -> None:
    attributes = LabelAttributes("A crane.", ("a crane's crest.", "long legs"), ("An answer",), ("no blue as a jay",))
    assert bank_texts("crane", attributes, PromptOptions(concept="bird", templates=("a photo of {}", "a {}"))) == (
        "a photo of a bird, which has a bird's crest",
        "a photo of a bird, which has long legs",
        "a photo of a bird, which has no blue as a jay",
    )
    assert bank_texts("crane", LabelAttributes("A crane."), PromptOptions()) == ()


def test_phrases_of_unseen_labels_are_used_only_if_the_config_says_so(
    image_index: ImageIndex, targets: TextTargets, tiny_teacher: Teacher, tmp_path: Path
) -> None:
    cache = {"cache": tmp_path / "cache"}
    seen = config(losses={"phrase_kl": 1}, phrase_top_k=2)
    data = training_data(seen, image_index, tiny_teacher, targets, phrases=PHRASES, **cache)
    own = [PHRASES[at][0] for at in image_index.id_labels]
    expected = tiny_teacher.encode_text([own[0], PHRASES[0][1], own[1]])
    assert data.phrases is not None
    torch.testing.assert_close(data.phrases, expected, atol=1e-5, rtol=1e-5)
    # What other labels have does not matter, not even for the identity of the run.
    changed = [texts if at in image_index.id_labels else ("secret",) for at, texts in enumerate(PHRASES)]
    again = training_data(seen, image_index, tiny_teacher, targets, phrases=changed, **cache)
    assert again.digests == data.digests
    assert again.phrases is not None
    assert torch.equal(again.phrases, data.phrases)
    of_all = training_data(
        config(losses={"phrase_kl": 1}, phrases="all"), image_index, tiny_teacher, targets, phrases=PHRASES, **cache
    )
    assert of_all.phrases is not None
    assert len(of_all.phrases) == 5
    assert of_all.digests != data.digests
    steps: list[StepMetrics] = []
    train(seen, data, hooks=TrainHooks(on_step=steps.append))
    assert steps[-1].losses["phrase_kl"] > 0
    plain = training_data(config(), image_index, tiny_teacher, targets, phrases=PHRASES, **cache)
    assert plain.phrases is None
    assert "phrases" not in plain.digests


@pytest.mark.parametrize("of_unseen", [None, ("a crest",)])
def test_a_bank_without_phrases_is_an_error(
    image_index: ImageIndex,
    targets: TextTargets,
    tiny_teacher: Teacher,
    tmp_path: Path,
    of_unseen: tuple[str, ...] | None,
) -> None:
    phrases = of_unseen and [() if at in image_index.id_labels else of_unseen for at in range(4)]
    with pytest.raises(TextsError, match="none of the 2 labels has a phrase or a contrast"):
        training_data(
            config(losses={"phrase_kl": 1}), image_index, tiny_teacher, targets, phrases=phrases, cache=tmp_path / "c"
        )


def test_every_text_of_a_label_is_a_target(image_index: ImageIndex, tiny_teacher: Teacher, tmp_path: Path) -> None:
    prompts = [[f"a photo of {label}", f"a drawing of {label}"] for label in LABELS]
    targets = encode_text_targets(tiny_teacher, prompts, cache=None)
    train_config = config(losses={"cls": 0, "cls_texts": 1})
    data = training_data(train_config, image_index, tiny_teacher, targets, cache=tmp_path / "cache")
    assert data.label_texts is not None
    assert data.label_texts.labels.tolist() == [0, 0, 1, 1]
    means = data.label_texts.features.view(2, 2, -1).mean(dim=1)
    torch.testing.assert_close(torch.nn.functional.normalize(means, dim=-1), data.texts, atol=1e-5, rtol=1e-5)
    steps: list[StepMetrics] = []
    train(train_config, data, hooks=TrainHooks(on_step=steps.append))
    assert steps[-1].losses["cls_texts"] > 0


def test_texts_as_they_are_and_learned_vectors_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="loss cls_texts has each text as it is written"):
        config(losses={"cls_texts": 1}, context_tokens=2)
