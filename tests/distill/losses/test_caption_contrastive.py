"""L-cap: images without captions."""

import torch

from distill.losses.caption_contrastive import caption_contrastive
from tests.distill.losses.references import CAPTIONED, CAPTIONS, D, features, labels


def test_images_without_a_caption_are_ignored() -> None:
    s = torch.tensor(features(9)[0], requires_grad=True)
    captions, captioned = torch.tensor(CAPTIONS), torch.from_numpy(CAPTIONED)
    usual = caption_contrastive(s, captions, captioned, labels(), temperature=1.0)
    with_nan = captions.masked_fill(~captioned[:, None], float("nan"))
    value = caption_contrastive(s, with_nan, captioned, labels(), temperature=1.0)
    assert value.item() == usual.item()
    value.backward()
    assert s.grad is not None
    assert torch.equal(s.grad[4], torch.zeros(D))
    assert torch.isfinite(s.grad).all()
    without_captions = caption_contrastive(s, with_nan, torch.zeros_like(captioned), labels(), temperature=1.0)
    s.grad = None
    without_captions.backward()
    assert without_captions.item() == 0
    assert torch.equal(s.grad, torch.zeros_like(s))
