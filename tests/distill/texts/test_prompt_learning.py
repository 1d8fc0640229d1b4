"""Prompt learning: vectors stand where tokens would, chunked equals whole, and they are learned, kept and used."""

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
from tests.distill.helpers_train import small_config, small_data

M = 3
LABELS = ("crane", "red finch", "heron", "blue jay", "kingfisher")
PROMPTS = [
    render("phrases", label, LabelAttributes(phrases=("long legs", "a grey body") if at % 2 else ("wings",)))
    for at, label in enumerate(LABELS)
]


@pytest.fixture(scope="module")
def siglip_like(tmp_path_factory: pytest.TempPathFactory) -> Teacher:
    """A tower that reads both ways, pools its last place and has padding up to the context, as SigLIP's."""
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


def embeddings_of(teacher: Teacher, words: str, count: int) -> Tensor:
    """The tower's own embeddings of the first tokens of some words."""
    ids = torch.tensor(teacher.tokenizer.ids([words])[0][1 : 1 + count])
    embedded: Tensor = teacher._token_embedding()(ids)
    return embedded


def test_vectors_that_are_words_give_what_the_words_give(teacher: Teacher) -> None:
    """Embedded at the level of tokens: the pooled place moves with the text, whatever the tower pools."""
    texts = PromptedTexts(teacher, [[f"a photo of {label}"] for label in LABELS], M)
    spelled = teacher.encode_text([f"a fine photo {label}." for label in LABELS])
    torch.testing.assert_close(texts(embeddings_of(teacher, "a fine photo", M)), spelled, atol=1e-5, rtol=1e-5)


def test_chunked_equals_whole_forward_and_backward(teacher: Teacher) -> None:
    weights = torch.randn(len(LABELS), WIDTH)

    def worked_out(chunk: int) -> tuple[Tensor, Tensor]:
        texts = PromptedTexts(teacher, PROMPTS, M, chunk=chunk)
        context = texts.initial(0).requires_grad_()
        given = texts(context)
        (given * weights).sum().backward()
        assert context.grad is not None
        return given.detach(), context.grad

    whole = worked_out(1000)
    assert whole[1].abs().max() > 1e-4
    for chunk in (1, 2):
        for ours, theirs in zip(worked_out(chunk), whole, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_the_gradient_is_the_slope_and_the_tower_stays_frozen(tiny_teacher: Teacher) -> None:
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


def test_only_a_chunk_is_kept_for_the_gradient(tiny_teacher: Teacher, monkeypatch: pytest.MonkeyPatch) -> None:
    """What autograd keeps grows by the labels' embeddings and not by what the tower works out for them."""

    def kept_a_label() -> float:
        def kept(num_labels: int) -> int:
            prompts = [[f"a photo of {LABELS[0]} {at}"] for at in range(num_labels)]
            texts, sizes = PromptedTexts(tiny_teacher, prompts, M, chunk=4), list[int]()

            def pack(tensor: Tensor) -> Tensor:
                sizes.append(tensor.numel())
                return tensor

            with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
                texts(texts.initial(0).requires_grad_())
            return sum(sizes)

        return (kept(24) - kept(12)) / 12

    chunked = kept_a_label()
    monkeypatch.setattr("distill.texts.prompt_learning.checkpoint", lambda encode, *given, **_: encode(*given))
    assert chunked < 8 * WIDTH < 0.1 * kept_a_label()


def test_vectors_begin_small_and_as_the_seed_says(tiny_teacher: Teacher) -> None:
    texts = PromptedTexts(tiny_teacher, PROMPTS, 16)
    assert torch.equal(texts.initial(3), texts.initial(3))
    assert not torch.equal(texts.initial(3), texts.initial(4))
    assert texts.initial(3).std().item() == pytest.approx(INITIAL_STD, rel=0.2)
    assert texts.initial(3).shape == (16, 16)


def test_texts_too_long_beside_the_vectors_are_shortened_and_told(tiny_teacher: Teacher) -> None:
    long = f"a photo of crane . {'grey wings, ' * 9}long legs"
    texts = PromptedTexts(tiny_teacher, [[long], ["a photo of heron"]], M)
    (shortened,) = texts.shortened
    assert shortened.label == 0
    assert shortened.used is not None
    assert tiny_teacher.count_tokens([shortened.used])[0] <= CONTEXT - M
    assert torch.isfinite(texts(texts.initial(0))).all()


def test_what_cannot_be_prompted_is_refused(tiny_teacher: Teacher) -> None:
    with pytest.raises(ValueError, match='"a drawing of crane" does not begin with "a photo of "'):
        PromptedTexts(tiny_teacher, [["a drawing of crane"]], M)
    with pytest.raises(ValueError, match="context_tokens 22 leaves no room for words"):
        PromptedTexts(tiny_teacher, [["a photo of crane"]], 22)


def test_targets_with_context_say_so_and_serve_labels_never_trained_on(tiny_teacher: Teacher, tmp_path: Path) -> None:
    targets = encode_text_targets(tiny_teacher, PROMPTS, cache=None)
    context = torch.randn(M, 16) * INITIAL_STD
    learned = with_context(tiny_teacher, targets, context)
    assert not torch.allclose(learned.features, targets.features, atol=1e-3)
    learned.save(tmp_path / "targets")
    read = TextTargets.load(tmp_path / "targets")
    assert read.context is not None
    assert torch.equal(read.context, context)
    # A new label's target is made from what the file holds, beside others or alone.
    alone = with_context(tiny_teacher, encode_text_targets(tiny_teacher, PROMPTS[2:3], cache=None), read.context)
    torch.testing.assert_close(alone.features, learned.features[2:3], atol=1e-5, rtol=1e-5)


def test_the_objective_learns_the_vectors_and_alignment_does_not_leak_through_the_teacher(
    tiny_teacher: Teacher,
) -> None:
    config = resolve_train_config(
        "limbeck",
        {"context_tokens": M, "losses": {"cls": 0, "mse": 0, "im_cst": 0, "vlalign": 1}},
    )
    objective = Objective(config, width=WIDTH, prompted=PromptedTexts(tiny_teacher, PROMPTS, M))
    assert [name for name, _ in objective.named_parameters()] == ["context"]
    assert set(objective.state_dict()) == {"context"}
    features = torch.randn(4, WIDTH)
    given = {"labels": torch.arange(4), "texts": torch.zeros(len(LABELS), WIDTH)}

    def slope(student: Tensor, teacher: Tensor) -> Tensor:
        objective.zero_grad()
        objective(ObjectiveInputs(student=student, teacher=teacher, **given))["vlalign"].backward()
        assert objective.context is not None
        assert objective.context.grad is not None
        return objective.context.grad.clone()

    # Where the student is the teacher its side is at a minimum: any slope would be the teacher's.
    assert slope(features, features).abs().max() < 1e-5
    assert slope(-features, features).abs().max() > 1e-3


def test_learned_vectors_resume_exactly_and_are_averaged_with_the_student(
    tiny_teacher: Teacher, tmp_path: Path
) -> None:
    base = small_data(width=WIDTH)
    texts = PromptedTexts(tiny_teacher, [[f"a photo of {label}"] for label in LABELS[:3]], M)
    data = replace(base, prompted=texts)
    config = small_config(context_tokens=M, lr=1e-2)
    whole = train(config, data)
    assert whole.context is not None
    assert (whole.context - texts.initial(config.system.seed)).abs().max() > 1e-3
    state, made = tmp_path / "state", list[int]()
    with pytest.raises(Stopped):
        train(
            config,
            data,
            save=lambda write: write(state),
            on_step=lambda m: made.append(m.step),
            should_stop=lambda: len(made) >= 2,
        )
    resumed = train(config, data, resume=state)
    assert resumed.context is not None
    assert torch.equal(resumed.context, whole.context)
    averaged = train(small_config(context_tokens=M, lr=1e-2, average="mean"), data).context
    assert averaged is not None
    assert not torch.equal(averaged, whole.context)
