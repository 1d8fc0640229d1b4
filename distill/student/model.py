"""The student model: any timm image model with a linear head of the teacher's embedding width.

`build_student("resnet18", width=512, image_px=224, seed=0)`. The head follows arXiv:2307.03135. B images, P pixels
of a side.
"""

from dataclasses import dataclass, field

import timm
import torch
from timm.models import PretrainedCfg
from torch import Tensor, nn

from distill.json_types import ModelArgs, StudentPreprocess
from limbeck.shared.images.background import WHITE
from limbeck.shared.images.decode import DECODER


class StudentError(ValueError):
    """A student cannot be built; the message names the reason."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Student:
    """A model, the arguments to rebuild it with timm, and its preprocessing.

    `timm.create_model(name, num_classes=width, **model_args)` builds the same model. `mean`, `std`: of pixel values in
    0..1. `test_crop`: side of the centre crop divided by side of the whole image, at evaluation. `background`: colour
    (`#rrggbb`) that transparent parts of images show.
    """

    name: str
    width: int
    image_px: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    model: nn.Module
    model_args: ModelArgs = field(default_factory=ModelArgs)
    test_crop: float = 1.0
    background: str = WHITE

    def preprocess(self) -> StudentPreprocess:
        """The preprocessing at evaluation, JSON-serialisable.

        The image is resized to a square of side round(image_px / crop_pct), whatever its aspect ratio, and cropped to
        `size` at its centre.
        """
        return {
            "size": [self.image_px, self.image_px],
            "mean": list(self.mean),
            "std": list(self.std),
            "interpolation": "bicubic",
            "resize_mode": "squash",
            "crop_pct": self.test_crop,
            "background": self.background,
            "decoder": DECODER,
        }

    def normalise(self, pixels: Tensor) -> Tensor:
        """The model's input (B, 3, P, P), float32, from pixels of the same shape, uint8 or float32, 0 to 255."""
        mean = torch.tensor(self.mean, device=pixels.device).mul(255).view(1, 3, 1, 1)
        std = torch.tensor(self.std, device=pixels.device).mul(255).view(1, 3, 1, 1)
        # The subtraction also converts bytes to floats; the division works in place.
        return pixels.sub(mean).div_(std)

    def num_parameters(self) -> int:
        """The number of weights and biases, all of which are trained."""
        return sum(parameter.numel() for parameter in self.model.parameters())


def build_student(
    name: str,
    *,
    width: int,
    image_px: int,
    seed: int,
    pretrained: bool = False,
    test_crop: float = 1.0,
    background: str = WHITE,
) -> Student:
    """A student with a head of `width`, initialised by `seed`, in training mode on the CPU.

    `pretrained`: start from timm's published weights, downloaded if not cached.
    Raises StudentError for an unknown model, an unsupported `image_px`, or weights that cannot be downloaded.
    """
    if not timm.is_model(name):
        raise StudentError(f'timm has no model "{name}"')
    # `fixed_input_size` marks the models that support other sizes only with the argument `img_size`.
    published = timm.get_pretrained_cfg(name) or PretrainedCfg()
    fixed = published.fixed_input_size and published.input_size[-1] != image_px
    model_args: ModelArgs = {"img_size": image_px} if fixed else {}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            model = timm.create_model(name, num_classes=width, pretrained=pretrained, **model_args)
        except (OSError, RuntimeError) as error:
            # Downloading raises one of these (offline, no such file, no published weights), and so may building.
            raise StudentError(f"{name} cannot be built: {_first_line(error)}") from error
        except (AssertionError, TypeError, ValueError) as error:
            raise _size_error(name, image_px, published.input_size[-1], error) from error
    _check_forward(model, name, width, image_px, published.input_size[-1])
    return Student(
        name=name,
        width=width,
        image_px=image_px,
        test_crop=test_crop,
        background=background,
        mean=tuple(published.mean),
        std=tuple(published.std),
        model=model,
        model_args=model_args,
    )


def _check_forward(model: nn.Module, name: str, width: int, image_px: int, default_px: int) -> None:
    """Make one forward pass in evaluation mode, so that a wrong size is an error now, not after an hour of decoding."""
    model.eval()
    try:
        with torch.no_grad():
            features = model(torch.zeros(1, 3, image_px, image_px))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise _size_error(name, image_px, default_px, error) from error
    finally:
        model.train()
    if features.shape != (1, width):
        raise StudentError(f"{name} returns shape {tuple(features.shape[1:])}, not {(width,)}: it is no classifier")


def _size_error(name: str, image_px: int, default_px: int, error: Exception) -> StudentError:
    return StudentError(
        f"{name} does not support images of {image_px} px ({_first_line(error)}); its default is {default_px} px"
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
