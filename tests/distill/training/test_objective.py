"""Objective: every loss term of the registry, weights, the queue, and equal values on two ranks and on one."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from distill.config.loss_registry import LOSS_TERMS
from distill.config.recipes import resolve_train_config
from distill.config.train_config import TrainConfig
from distill.training.objective import UNKNOWN_IMAGE, Objective, ObjectiveInputs, queue_size

B, K, D = 6, 4, 8


def config(**overrides: Any) -> TrainConfig:
    return resolve_train_config("limbeck-small", overrides)


def random_inputs(batch: int = B) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(0)
    normal = partial(torch.randn, generator=random)
    return {
        "student": normal(batch, D),
        "teacher": normal(batch, D),
        "labels": torch.arange(batch) % K,
        "images": torch.arange(batch),
        "texts": normal(K, D),
        "captions": normal(batch, D),
        "captioned": torch.arange(batch) != 2,
        "unseen": normal(3, D),
        "ema": normal(batch, D),
        "phrases": normal(5, D),
        "label_texts": normal(7, D),
        "text_labels": torch.tensor([0, 1, 1, 2, 2, 3, 3]),
    }


NOT_SPLIT = ("texts", "unseen", "phrases", "label_texts", "text_labels")


def objective_of(**overrides: Any) -> Objective:
    return Objective(config(**overrides), width=D, teacher_scale=1 / 0.07, label_offset=0.1)


def all_terms() -> dict[str, float]:
    return {name: float(name != "closed_set") for name in LOSS_TERMS}


def test_only_terms_with_a_weight_are_computed() -> None:
    objective = objective_of(losses={"cls": 0, "im_cst": 2.5})
    terms = objective(ObjectiveInputs(**random_inputs()))
    assert set(terms) == {"mse", "im_cst"}
    assert objective.total(terms).item() == pytest.approx(terms["mse"].item() + 2.5 * terms["im_cst"].item())


@pytest.mark.parametrize("name", list(LOSS_TERMS))
def test_every_term_works_alone_and_in_half_precision(name: str) -> None:
    alone = {other: float(other == name) for other in LOSS_TERMS}
    given = {key: t.bfloat16() if t.is_floating_point() else t for key, t in random_inputs().items()}
    student = given["student"].requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        protocol = "closed_set" if name == "closed_set" else "zero_shot"
        (value,) = objective_of(losses=alone, protocol=protocol)(ObjectiveInputs(**given)).values()
    assert value.dtype == torch.float32
    value.backward()
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()
    assert student.grad.abs().sum() > 0


def values_and_gradient(given: dict[str, Tensor], **overrides: Any) -> tuple[dict[str, float], Tensor]:
    given["student"].requires_grad_()
    objective = objective_of(losses=all_terms(), **overrides)
    terms = objective(ObjectiveInputs(**given))
    objective.total(terms).backward()
    assert given["student"].grad is not None
    return {name: value.item() for name, value in terms.items()}, given["student"].grad


def one_rank(rank: int, folder: Path, overrides: dict[str, Any]) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder / 'rendezvous'}", rank=rank, world_size=2)
    try:
        given = random_inputs()
        rows = slice(rank * B // 2, (rank + 1) * B // 2)
        own = {name: t if name in NOT_SPLIT else t[rows].clone() for name, t in given.items()}
        torch.save(values_and_gradient(own, **overrides), folder / f"{rank}.pt")
    finally:
        dist.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_equal_one_process_with_the_whole_batch(tmp_path: Path) -> None:
    # With the logarithm the term is no mean over images, so that averaging it over ranks would be wrong.
    overrides = {"mse_form": "unnormalised"}
    mp.spawn(one_rank, (tmp_path, overrides), nprocs=2)
    values, gradient = values_and_gradient(random_inputs(), **overrides)
    ranks = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    for rank_values, _ in ranks:
        assert rank_values == pytest.approx(values, abs=1e-5)
    # DDP averages the gradients over ranks.
    torch.testing.assert_close(torch.cat([g for _, g in ranks]) / 2, gradient, atol=1e-6, rtol=1e-5)


def test_queue_has_the_newest_first_and_is_part_of_the_state() -> None:
    objective = objective_of(losses={"queue_kl": 1}, queue_size=10)
    first, second = random_inputs(), {**random_inputs(), "teacher": torch.randn(B, D)}
    for given in (first, second):
        objective(ObjectiveInputs(**given))
    expected = torch.nn.functional.normalize(torch.cat([second["teacher"], first["teacher"][:4]]), dim=-1)
    torch.testing.assert_close(objective.get_buffer("queue"), expected)
    restored = objective_of(losses={"queue_kl": 1}, queue_size=10)
    restored.load_state_dict(objective.state_dict())
    assert (
        restored(ObjectiveInputs(**first))["queue_kl"].item() == objective(ObjectiveInputs(**first))["queue_kl"].item()
    )
    assert "queue" not in objective_of().state_dict()


def test_queue_shorter_than_the_batch_is_filled() -> None:
    objective = objective_of(losses={"queue_kl": 1}, queue_size=4)
    assert torch.isfinite(objective(ObjectiveInputs(**random_inputs()))["queue_kl"])
    assert int(objective.get_buffer("num_queued")) == 4


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("cap", "captions"),
        ("unseen", "unseen"),
        ("phrase_kl", "phrases"),
        ("cls_texts", "label_texts"),
        ("ema_mse", "ema"),
    ],
)
def test_missing_input_of_a_term_is_an_error(name: str, missing: str) -> None:
    given = {key: t for key, t in random_inputs().items() if key != missing}
    with pytest.raises(ValueError, match=f"needs {missing}"):
        objective_of(losses={name: 1})(ObjectiveInputs(**given))


def test_context_tokens_must_match_the_texts() -> None:
    with pytest.raises(ValueError, match="context_tokens is 4"):
        objective_of(context_tokens=4)


def test_neighbours_of_earlier_batches_are_those_of_other_images(monkeypatch: pytest.MonkeyPatch) -> None:
    objective = objective_of(losses={"neighbour": 1, "cls": 0, "mse": 0, "im_cst": 0}, queue_size=20)
    seen: list[tuple[Tensor, ...]] = []
    term = objective._terms["neighbour"]
    monkeypatch.setitem(
        objective._terms, "neighbour", lambda t: seen.append((t["images"], t["queue_images"].clone())) or term(t)
    )
    for images in (torch.arange(B), torch.arange(B) + 3):
        objective(ObjectiveInputs(**random_inputs() | {"images": images}))
    assert seen[1][0].tolist() == [3, 4, 5, 6, 7, 8]
    assert seen[1][1].tolist() == [3, 4, 5, 6, 7, 8, 0, 1, 2, 3, 4, 5]
    assert objective.get_buffer("queue_images").tolist()[12:] == [UNKNOWN_IMAGE] * 8
    assert "queue_images" not in objective_of(losses={"queue_kl": 1}).state_dict()


def test_queue_follows_the_number_of_images() -> None:
    follows = config(losses={"queue_kl": 1}, batch_size=64)
    assert follows.objective.queue_size is None
    assert [queue_size(follows, number) for number in (10, 500, 10**6)] == [64, 500, 65_536]
    assert queue_size(config(queue_size=4096), 10) == 4096
    assert len(Objective(follows, width=D, num_images=500).get_buffer("queue")) == 500


def test_affinities_have_the_scale_of_the_teacher_unless_a_temperature_is_asked_for() -> None:
    losses = {"affinity": 1, "cls": 0, "mse": 0, "im_cst": 0}
    given = ObjectiveInputs(**random_inputs())

    def value(scale: float | None, **settings: Any) -> float:
        return float(Objective(config(losses=losses, **settings), width=D, teacher_scale=scale)(given)["affinity"])

    assert config().objective.affinity_scale == "teacher"
    assert value(100.0) == pytest.approx(value(None, affinity_scale="temperature", temperature=0.01))
    assert value(100.0) != pytest.approx(value(1 / 0.07))
    with pytest.raises(ValueError, match="no logit scale"):
        value(None)


def test_predictions_are_those_of_the_nearest_text() -> None:
    given = random_inputs()
    objective = objective_of()
    objective(ObjectiveInputs(**given))
    unit = torch.nn.functional.normalize
    assert objective.predicted is not None
    expected = (unit(given["student"]) @ unit(given["texts"]).T).argmax(dim=1)
    assert torch.equal(objective.predicted.predicted, expected)
    assert torch.equal(objective.predicted.labels, given["labels"])


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_a_projector_starts_as_the_identity_and_serves_terms_of_images_alone(kind: str) -> None:
    plain, projected = objective_of(losses=all_terms()), objective_of(losses=all_terms(), projector=kind)
    given = random_inputs()
    before, after = (objective(ObjectiveInputs(**given)) for objective in (plain, projected))
    for name, value in before.items():
        assert after[name].item() == pytest.approx(value.item(), abs=1e-5)
    weights = list(projected.projector.parameters()) if projected.projector else []
    with torch.no_grad():
        for weight in weights:
            weight += 0.3
    changed = projected(ObjectiveInputs(**given))
    differs = {name for name, value in changed.items() if abs(value.item() - before[name].item()) > 1e-4}
    assert differs == {"mse", "im_cst", "queue_kl", "fd", "neighbour"}
    projected.total(changed).backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in weights)


def test_a_projector_without_a_term_is_refused() -> None:
    with pytest.raises(ValueError, match="projector is for the losses mse, im_cst, queue_kl, fd, neighbour"):
        config(losses={"mse": 0, "im_cst": 0}, projector="linear")
