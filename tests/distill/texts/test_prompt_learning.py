"""Prompt learning: vectors act like token embeddings, chunks do not change results, training learns and saves them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from distill import Stopped
from distill.config.recipes import resolve_train_config
from distill.teacher.teacher import Teacher, load_teacher
from distill.texts.prompt_learning import INITIAL_STD, PromptedTexts, with_context
from distill.texts.text_targets import TextTargets, encode_text_targets
from distill.texts.text_templates import LabelAttributes, render
from distill.training.loop import train
from distill.training.objective import Objective, ObjectiveInputs
from tests.distill.conftest import CONTEXT, WIDTH, save_clip, tiny_clip_config
from tests.distill.helpers_train import hooks_stopping_after, small_config, small_data

M = 3
LABELS = ("crane", "red finch", "heron", "blue jay", "kingfisher")
PROMPTS = [
    render("phrases", label, LabelAttributes(phrases=("long legs", "a grey body") if at % 2 else ("wings",)))
    for at, label in enumerate(LABELS)
]


@pytest.fixture(scope="module")
def siglip_like(tmp_path_factory: pytest.TempPathFactory) -> Teacher:
    """A text tower with bidirectional attention, last-token pooling and padding to the context, like SigLIP's."""
    config = tiny_clip_config(custom_text=True)
    config["text_cfg"] |= {"no_causal_mask": True, "pool_type": "last", "proj_bias": True}
    return load_teacher(f"local-dir:{save_clip(tmp_path_factory.mktemp('teachers') / 'both_ways', config)}")


@pytest.fixture(scope="module")
def custom(tmp_path_factory: pytest.TempPathFactory) -> Teacher:
    config = tiny_clip_config(custom_text=True)
    return load_teacher(f"local-dir:{save_clip(tmp_path_factory.mktemp('teachers') / 'custom', config)}")


@pytest.fixture(params=["plain", "custom", "siglip_like"])
def teacher(request: pytest.FixtureRequest, tiny_teacher: Teacher) -> Teacher:
    if request.param == "plain":
        return tiny_teacher
    found: Teacher = request.getfixturevalue(request.param)
    return found


def embeddings_of(teacher: Teacher, text: str, count: int) -> Tensor:
    """The token embeddings (count, W) of the first tokens of a text."""
    ids = torch.tensor(teacher.tokenizer.ids([text])[0][1 : 1 + count])
    embedded: Tensor = teacher._token_embedding()(ids)
    return embedded


def test_token_embeddings_as_vectors_give_the_embedding_of_the_text(teacher: Teacher) -> None:
    """The pooled position moves with the text, for every kind of pooling."""
    texts = PromptedTexts(teacher, [[f"a photo of {label}"] for label in LABELS], M)
    spelled = teacher.encode_text([f"a fine photo {label}." for label in LABELS])
    torch.testing.assert_close(texts(embeddings_of(teacher, "a fine photo", M)), spelled, atol=1e-5, rtol=1e-5)


def test_chunked_equals_whole_forward_and_backward(teacher: Teacher) -> None:
    weights = torch.randn(len(LABELS), WIDTH)

    def target_and_gradient(chunk: int) -> tuple[Tensor, Tensor]:
        texts = PromptedTexts(teacher, PROMPTS, M, chunk=chunk)
        context = texts.initial(0).requires_grad_()
        targets = texts(context)
        (targets * weights).sum().backward()
        assert context.grad is not None
        return targets.detach(), context.grad

    whole = target_and_gradient(1000)
    assert whole[1].abs().max() > 1e-4
    for chunk in (1, 2):
        for chunked, expected in zip(target_and_gradient(chunk), whole, strict=True):
            torch.testing.assert_close(chunked, expected, atol=1e-5, rtol=1e-4)


def test_gradient_equals_the_finite_difference_and_the_tower_stays_frozen(tiny_teacher: Teacher) -> None:
    texts = PromptedTexts(tiny_teacher, PROMPTS[:2], M)
    context = texts.initial(0).requires_grad_()
    direction, step = torch.randn(context.shape, generator=torch.Generator().manual_seed(1)), 1e-3
    loss = texts(context)[:, 0].sum()
    loss.backward()
    assert context.grad is not None
    with torch.no_grad():
        ahead, behind = (texts(context + sign * step * direction)[:, 0].sum() for sign in (1, -1))
    assert float((context.grad * direction).sum()) == pytest.approx(float(ahead - behind) / (2 * step), rel=0.02)
    assert all(not parameter.requires_grad for parameter in tiny_teacher._model.parameters())


def test_only_one_chunk_of_activations_is_held(tiny_teacher: Teacher, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory of autograd grows with the labels' embeddings and not with the activations of the tower."""

    def saved_per_label() -> float:
        def saved(num_labels: int) -> int:
            prompts = [[f"a photo of {LABELS[0]} {at}"] for at in range(num_labels)]
            texts, sizes = PromptedTexts(tiny_teacher, prompts, M, chunk=4), list[int]()

            def pack(tensor: Tensor) -> Tensor:
                sizes.append(tensor.numel())
                return tensor

            with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
                texts(texts.initial(0).requires_grad_())
            return sum(sizes)

        return (saved(24) - saved(12)) / 12

    chunked = saved_per_label()
    monkeypatch.setattr("distill.texts.prompt_learning.checkpoint", lambda encode, *args, **_: encode(*args))
    assert chunked < 8 * WIDTH < 0.1 * saved_per_label()


def test_initial_vectors_are_small_and_determined_by_the_seed(tiny_teacher: Teacher) -> None:
    texts = PromptedTexts(tiny_teacher, PROMPTS, 16)
    assert torch.equal(texts.initial(3), texts.initial(3))
    assert not torch.equal(texts.initial(3), texts.initial(4))
    assert texts.initial(3).std().item() == pytest.approx(INITIAL_STD, rel=0.2)
    assert texts.initial(3).shape == (16, 16)


def test_texts_too_long_with_the_vectors_are_shortened_and_reported(tiny_teacher: Teacher) -> None:
    long = f"a photo of crane . {'grey wings, ' * 9}long legs"
    texts = PromptedTexts(tiny_teacher, [[long], ["a photo of heron"]], M)
    (shortened,) = texts.shortened
    assert shortened.label == 0
    assert shortened.used is not None
    assert tiny_teacher.count_tokens([shortened.used])[0] <= CONTEXT - M
    assert torch.isfinite(texts(texts.initial(0))).all()


def test_texts_without_prefix_and_too_many_vectors_are_refused(tiny_teacher: Teacher) -> None:
    with pytest.raises(ValueError, match='"a drawing of crane" does not begin with "a photo of "'):
        PromptedTexts(tiny_teacher, [["a drawing of crane"]], M)
    with pytest.raises(ValueError, match="context_tokens 22 leaves no tokens for words"):
        PromptedTexts(tiny_teacher, [["a photo of crane"]], 22)


def test_targets_with_context_are_saved_and_apply_to_unseen_labels(tiny_teacher: Teacher, tmp_path: Path) -> None:
    targets = encode_text_targets(tiny_teacher, PROMPTS, cache=None)
    context = torch.randn(M, 16) * INITIAL_STD
    learned = with_context(tiny_teacher, targets, context)
    assert not torch.allclose(learned.features, targets.features, atol=1e-3)
    learned.save(tmp_path / "targets")
    read = TextTargets.load(tmp_path / "targets")
    assert read.context is not None
    assert torch.equal(read.context, context)
    # The saved context gives the target of a new label, with or without other labels.
    alone = with_context(tiny_teacher, encode_text_targets(tiny_teacher, PROMPTS[2:3], cache=None), read.context)
    torch.testing.assert_close(alone.features, learned.features[2:3], atol=1e-5, rtol=1e-5)


def test_objective_learns_the_vectors_and_vlalign_sends_no_gradient_through_the_teacher(
    tiny_teacher: Teacher,
) -> None:
    config = resolve_train_config(
        "limbeck-small",
        {"context_tokens": M, "losses": {"cls": 0, "mse": 0, "im_cst": 0, "vlalign": 1}},
    )
    objective = Objective(config, width=WIDTH, prompted=PromptedTexts(tiny_teacher, PROMPTS, M))
    assert [name for name, _ in objective.named_parameters()] == ["context"]
    assert set(objective.state_dict()) == {"context"}
    features = torch.randn(4, WIDTH)
    inputs = {"labels": torch.arange(4), "texts": torch.zeros(len(LABELS), WIDTH)}

    def gradient(student: Tensor, teacher: Tensor) -> Tensor:
        objective.zero_grad()
        objective(ObjectiveInputs(student=student, teacher=teacher, **inputs))["vlalign"].backward()
        assert objective.context is not None
        assert objective.context.grad is not None
        return objective.context.grad.clone()

    # If student and teacher are equal, the student's gradient is 0; any other gradient would be the teacher's.
    assert gradient(features, features).abs().max() < 1e-5
    assert gradient(-features, features).abs().max() > 1e-3


@pytest.mark.slow
def test_learned_vectors_resume_exactly_and_are_averaged_like_the_student(
    tiny_teacher: Teacher, tmp_path: Path
) -> None:
    base = small_data(width=WIDTH)
    texts = PromptedTexts(tiny_teacher, [[f"a photo of {label}"] for label in LABELS[:3]], M)
    data = replace(base, prompted=texts)
    config = small_config(context_tokens=M, lr=1e-2)
    whole = train(config, data)
    assert whole.context is not None
    assert (whole.context - texts.initial(config.system.seed)).abs().max() > 1e-3
    state = tmp_path / "state"
    with pytest.raises(Stopped):
        train(config, data, hooks=hooks_stopping_after(2, state))
    resumed = train(config, data, resume=state)
    assert resumed.context is not None
    assert torch.equal(resumed.context, whole.context)
    averaged = train(small_config(context_tokens=M, lr=1e-2, average="mean"), data).context
    assert averaged is not None
    assert not torch.equal(averaged, whole.context)
