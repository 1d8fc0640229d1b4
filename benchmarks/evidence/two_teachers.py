"""Two teachers as one: the features of both side by side, so that the student has a head for each.

A student of D1 + D2 outputs learns both with the same loss terms: the cosine of two joined features is the mean of the
cosines of the parts. An experiment: a bundle has the text encoder of one teacher. B images, N texts, D1 and D2
embedding widths.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

from distill.data.row_cache import key_of
from distill.teacher.teacher import Teacher


class TwoTeachers(Teacher):
    """`first` and `second`, which prepare images and read texts alike; else raises ValueError."""

    def __init__(self, first: Teacher, second: Teacher) -> None:
        inputs = [(one.preprocess_digest, one.tokenizer.fingerprint, one.context_length) for one in (first, second)]
        if inputs[0] != inputs[1]:
            raise ValueError(f"{first.ref} and {second.ref} differ in their preprocessing or their tokenizer")
        vars(self).update(vars(first))
        self.ref = f"{first.ref} and {second.ref}"
        self.digest = key_of("two teachers", first.digest, second.digest).hex()
        self.width = first.width + second.width
        self._both = (first, second)

    def encode_images(self, images: Tensor) -> Tensor:
        """Features of both (B, D1 + D2), each part L2-normalised."""
        return torch.cat([normalize(one.encode_images(images), dim=-1) for one in self._both], dim=-1)

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """L2-normalised features of both (N, D1 + D2)."""
        return torch.cat([one.encode_text(texts) for one in self._both], dim=-1) / math.sqrt(2)
