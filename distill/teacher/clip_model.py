"""The parts of open_clip's models that this project uses, as protocols, because open_clip has no types.

B images, N texts, L tokens, D embedding width.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, Self, TypedDict

import torch
from torch import Tensor


class PreprocessFields(TypedDict):
    """The preprocessing of an image tower, as open_clip writes it."""

    size: int | Sequence[int]
    mean: Sequence[float]
    std: Sequence[float]
    interpolation: str
    resize_mode: str
    fill_color: int | list[int]


class ImageTower(Protocol):
    """The image tower of a model; a tower of timm has its model as `trunk`."""

    preprocess_cfg: PreprocessFields

    trunk: torch.nn.Module


class TextTower(Protocol):
    """The text tower of a model. Of `pool_type` and `text_pool_type`, a tower has one."""

    context_length: int
    token_embedding: torch.nn.Embedding
    positional_embedding: Tensor
    transformer: Callable[..., Tensor]
    attn_mask: Tensor
    ln_final: Callable[[Tensor], Tensor]
    text_pool_type: str
    text_projection: Tensor | torch.nn.Linear | None


class ClipModel(Protocol):
    """A model with an image tower and a text tower; a `torch.nn.Module`."""

    @property
    def visual(self) -> ImageTower: ...

    def encode_image(self, image: Tensor, normalize: bool = False) -> Tensor:
        """Embeddings (B, D) of images (B, 3, H, W)."""

    def encode_text(self, text: Tensor, normalize: bool = False) -> Tensor:
        """Embeddings (N, D) of token ids (N, L)."""

    def state_dict(self) -> dict[str, Tensor]: ...

    def parameters(self) -> Iterator[Tensor]: ...

    def to(self, device: torch.device) -> Self: ...

    def eval(self) -> Self: ...

    def requires_grad_(self, requires_grad: bool = True) -> Self: ...
