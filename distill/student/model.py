"""A student: any timm image model whose classifier is a linear layer to the teacher's embedding width.

`build_student("resnet18", width=512, image_px=224, seed=0)`. The head follows arXiv:2307.03135. B images, D embedding
width, P pixels of a side.
"""

from dataclasses import dataclass, field
from typing import Any

import timm
import torch
from timm.models import PretrainedCfg
from torch import Tensor, nn


class StudentError(ValueError):
    """A student that cannot be built as asked; the message says why and what would do."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Student:
    """A model with what is needed to build it again in plain timm and to show it a picture as it expects.

    `timm.create_model(name, num_classes=width, **model_args)` builds the same model. `mean`, `std`: of values in 0..1.
    """

    name: str
    width: int
    image_px: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    model: nn.Module
    model_args: dict[str, Any] = field(default_factory=dict)
    test_crop: float = 1.0

    def preprocess(self) -> dict[str, Any]:
        """How a picture becomes an input at evaluation, JSON-able.

        The whole picture is squashed to a square of round(image_px / crop_pct) and its centre of `size` is cut out.
        """
        return {
            "size": [self.image_px, self.image_px],
            "mean": list(self.mean),
            "std": list(self.std),
            "interpolation": "bicubic",
            "resize_mode": "squash",
            "crop_pct": self.test_crop,
        }

    def normalise(self, pixels: Tensor) -> Tensor:
        """Pixels (B, 3, P, P) of values 0..255, uint8 or float32, as the model's input, float32."""
        mean = torch.tensor(self.mean, device=pixels.device).mul(255).view(1, 3, 1, 1)
        std = torch.tensor(self.std, device=pixels.device).mul(255).view(1, 3, 1, 1)
        # From bytes to numbers and less the mean in one pass; the division needs no memory of its own.
        return pixels.sub(mean).div_(std)

    def num_parameters(self) -> int:
        """Weights and biases, all of them trained."""
        return sum(parameter.numel() for parameter in self.model.parameters())


def build_student(
    name: str, *, width: int, image_px: int, seed: int, pretrained: bool = False, test_crop: float = 1.0
) -> Student:
    """A student with a head of `width`, initialised as a function of `seed`, in training mode on the CPU.

    `pretrained` starts from timm's published weights, which are fetched where they are not at hand.
    Raises StudentError for an unknown model, one that does not take pictures of `image_px`, or weights not to be had.
    """
    if not timm.is_model(name):
        raise StudentError(f'timm knows no model "{name}"')
    # The values are there for every model; which model takes other sizes only by an argument is told by the flag.
    published = timm.get_pretrained_cfg(name) or PretrainedCfg()
    fixed = published.fixed_input_size and published.input_size[-1] != image_px
    model_args: dict[str, Any] = {"img_size": image_px} if fixed else {}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            model = timm.create_model(name, num_classes=width, pretrained=pretrained, **model_args)
        except (OSError, RuntimeError) as error:
            # Fetching fails as one of these (offline, no such file, no weights published); building may fail too.
            raise StudentError(f"{name} cannot be built: {_first_line(error)}") from error
        except (AssertionError, TypeError, ValueError) as error:
            raise _unfit(name, image_px, published.input_size[-1], error) from error
    _try_out(model, name, width, image_px, published.input_size[-1])
    return Student(
        name=name,
        width=width,
        image_px=image_px,
        test_crop=test_crop,
        mean=tuple(published.mean),
        std=tuple(published.std),
        model=model,
        model_args=model_args,
    )


def _try_out(model: nn.Module, name: str, width: int, image_px: int, own_px: int) -> None:
    """One forward pass in evaluation mode, so that a wrong size is an error now and not after an hour of decoding."""
    model.eval()
    try:
        with torch.no_grad():
            given = model(torch.zeros(1, 3, image_px, image_px))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise _unfit(name, image_px, own_px, error) from error
    finally:
        model.train()
    if given.shape != (1, width):
        raise StudentError(f"{name} gives {tuple(given.shape[1:])} and not one row of {width}: it is no classifier")


def _unfit(name: str, image_px: int, own_px: int, error: Exception) -> StudentError:
    return StudentError(
        f"{name} does not take pictures of {image_px} px ({_first_line(error)}); its own size is {own_px}"
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
