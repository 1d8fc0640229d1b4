"""The objective: each term of the register by name, weights, and the same numbers on two ranks as on one."""

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
from distill.training.objective import Objective, ObjectiveInputs

B, K, D = 6, 4, 8


def config(**overrides: Any) -> TrainConfig:
    return resolve_train_config("limbeck", overrides)


def inputs(batch: int = B) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(0)
    draw = partial(torch.randn, generator=random)
    return {
        "student": draw(batch, D),
        "teacher": draw(batch, D),
        "labels": torch.arange(batch) % K,
        "texts": draw(K, D),
        "captions": draw(batch, D),
        "captioned": torch.arange(batch) != 2,
        "unseen": draw(3, D),
    }


SHARED = ("texts", "unseen")


def objective_of(**overrides: Any) -> Objective:
    return Objective(config(**overrides), width=D)


def all_terms() -> dict[str, float]:
    return {name: float(name != "closed_set") for name in LOSS_TERMS}


def test_terms_come_by_name_and_only_those_with_a_weight() -> None:
    objective = objective_of(losses={"cls": 0, "im_cst": 2.5})
    terms = objective(ObjectiveInputs(**inputs()))
    assert set(terms) == {"mse", "im_cst"}
    assert objective.total(terms).item() == pytest.approx(terms["mse"].item() + 2.5 * terms["im_cst"].item())


@pytest.mark.parametrize("name", list(LOSS_TERMS))
def test_every_term_of_the_register_can_be_alone_and_in_half_precision(name: str) -> None:
    alone = {other: float(other == name) for other in LOSS_TERMS}
    given = {key: t.bfloat16() if t.is_floating_point() else t for key, t in inputs().items()}
    student = given["student"].requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        protocol = "closed_set" if name == "closed_set" else "zero_shot"
        (value,) = objective_of(losses=alone, protocol=protocol)(ObjectiveInputs(**given)).values()
    assert value.dtype == torch.float32
    value.backward()
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()
    assert student.grad.abs().sum() > 0


def worked_out(given: dict[str, Tensor], **overrides: Any) -> tuple[dict[str, float], Tensor]:
    given["student"].requires_grad_()
    objective = objective_of(losses=all_terms(), **overrides)
    terms = objective(ObjectiveInputs(**given))
    objective.total(terms).backward()
    assert given["student"].grad is not None
    return {name: value.item() for name, value in terms.items()}, given["student"].grad


def one_rank(rank: int, folder: Path, overrides: dict[str, Any]) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meet'}", rank=rank, world_size=2)
    try:
        given = inputs()
        mine = slice(rank * B // 2, (rank + 1) * B // 2)
        own = {name: t if name in SHARED else t[mine].clone() for name, t in given.items()}
        torch.save(worked_out(own, **overrides), folder / f"{rank}.pt")
    finally:
        dist.destroy_process_group()


def test_two_ranks_give_what_one_process_gives_on_the_joined_batch(tmp_path: Path) -> None:
    # The logarithm makes the term no mean over images, so that a mean over ranks would be another number.
    overrides = {"mse_form": "unnormalised"}
    mp.spawn(one_rank, (tmp_path, overrides), nprocs=2)
    values, gradient = worked_out(inputs(), **overrides)
    ranks = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    for its_values, _ in ranks:
        assert its_values == pytest.approx(values, abs=1e-5)
    # Averaged over ranks, as DDP averages what it carries on to the weights.
    torch.testing.assert_close(torch.cat([g for _, g in ranks]) / 2, gradient, atol=1e-6, rtol=1e-5)


def test_the_queue_remembers_the_newest_first_and_comes_back_with_the_state() -> None:
    objective = objective_of(losses={"queue_kl": 1}, queue_size=10)
    first, second = inputs(), {**inputs(), "teacher": torch.randn(B, D)}
    for given in (first, second):
        objective(ObjectiveInputs(**given))
    wanted = torch.nn.functional.normalize(torch.cat([second["teacher"], first["teacher"][:4]]), dim=-1)
    torch.testing.assert_close(objective.get_buffer("queue"), wanted)
    again = objective_of(losses={"queue_kl": 1}, queue_size=10)
    again.load_state_dict(objective.state_dict())
    assert again(ObjectiveInputs(**first))["queue_kl"].item() == objective(ObjectiveInputs(**first))["queue_kl"].item()
    assert "queue" not in objective_of().state_dict()


def test_a_queue_shorter_than_the_batch_holds_what_fits() -> None:
    objective = objective_of(losses={"queue_kl": 1}, queue_size=4)
    assert torch.isfinite(objective(ObjectiveInputs(**inputs()))["queue_kl"])
    assert int(objective.get_buffer("num_queued")) == 4


@pytest.mark.parametrize(("name", "missing"), [("cap", "captions"), ("unseen", "unseen")])
def test_a_term_without_what_it_needs_is_an_error(name: str, missing: str) -> None:
    given = {key: t for key, t in inputs().items() if key != missing}
    with pytest.raises(ValueError, match=f"needs {missing}"):
        objective_of(losses={name: 1})(ObjectiveInputs(**given))


def test_context_tokens_and_texts_made_for_them_go_together() -> None:
    with pytest.raises(ValueError, match="context_tokens is 4"):
        objective_of(context_tokens=4)
