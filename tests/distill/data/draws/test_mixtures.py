"""Mixtures: a function of seed and step alone, at most every second image, and true mixtures of pixels."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from distill.data.crops import Views
from distill.data.draws.mixtures import MixDraws, Mixture, draw_mixtures

LABELS = np.array([0, 1, -1, 2, 0, -1, 1, 2, -1, 0, 1, -1])


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_the_share_of_images_is_mixed_and_of_two_neighbours_one_stays(share: float) -> None:
    labels = np.arange(64) % 4
    counts = []
    for step in range(50):
        drawn = draw_mixtures("mixup", share, labels, seed=0, step=step)
        counts.append(len(drawn.at))
        assert (np.diff(drawn.at) >= 2).all()
        assert (drawn.partners != drawn.at).all()
        assert ((drawn.shares > 0) & (drawn.shares < 1)).all()
    assert np.mean(counts) == pytest.approx(64 * share, abs=0.5)
    assert max(counts) - min(counts) <= 1


def test_labelled_and_unlabelled_images_have_their_own_share() -> None:
    for step in range(20):
        at = draw_mixtures("mixup", 0.5, LABELS, seed=3, step=step).at
        assert (LABELS[at] >= 0).sum() == 4
        assert (LABELS[at] < 0).sum() == 2


def test_draws_are_a_function_of_seed_and_step() -> None:
    one, same = (draw_mixtures("cutmix", 0.5, LABELS, seed=1, step=2) for _ in range(2))
    np.testing.assert_array_equal(one.shares, same.shares)
    np.testing.assert_array_equal(one.boxes, same.boxes)
    others = [draw_mixtures("cutmix", 0.5, LABELS, seed=seed, step=step) for seed, step in ((1, 3), (2, 2))]
    assert all(not np.isin(other.shares, one.shares).any() for other in others)


def mixture_of(drawn: MixDraws, pixels: torch.Tensor) -> Mixture:
    views = Views(np.zeros((len(drawn.at), 4)), np.zeros(len(drawn.at), dtype=np.bool_))
    partners = pixels[torch.from_numpy(drawn.partners)]
    return Mixture(
        at=drawn.at,
        pixels=partners,
        teacher_pixels=partners,
        views=views,
        shares=drawn.shares,
        boxes=drawn.boxes,
    )


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_a_mixture_has_its_shares_of_both_images(kind: str) -> None:
    flat = torch.arange(12.0)[:, None, None, None].expand(-1, 3, 40, 40)
    drawn = draw_mixtures("mixup" if kind == "mixup" else "cutmix", 0.5, LABELS, seed=0, step=0)
    mixture = mixture_of(drawn, flat)
    mixed = mixture.mixed(flat, mixture.pixels)
    untouched = np.setdiff1d(np.arange(12), drawn.at)
    assert torch.equal(mixed[torch.from_numpy(untouched)], flat[torch.from_numpy(untouched)])
    for at, partner, share in zip(drawn.at, drawn.partners, drawn.shares, strict=True):
        expected = share * at + (1 - share) * partner
        assert float(mixed[at].mean()) == pytest.approx(expected, abs=1e-4 if kind == "mixup" else 0.6)
        if kind == "cutmix":
            assert set(mixed[at].unique().tolist()) <= {float(at), float(partner)}


def test_parts_of_a_mixture_make_the_same_images() -> None:
    pixels = torch.rand(12, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    mixture = mixture_of(draw_mixtures("cutmix", 0.5, LABELS, seed=5, step=1), pixels)
    whole = mixture.mixed(pixels, mixture.pixels)
    parts = [(mixture.part(start, start + 4), pixels[start : start + 4]) for start in (0, 4, 8)]
    assert torch.equal(torch.cat([part.mixed(own, part.pixels) for part, own in parts]), whole)
    nothing = replace(mixture, at=mixture.at + 100).part(0, 12)
    assert torch.equal(nothing.mixed(pixels, nothing.pixels), pixels)
