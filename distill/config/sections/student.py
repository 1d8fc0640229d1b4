"""The student model. Imports no torch."""

import math
import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)

from distill.config.image_size import ImageSize
from distill.config.sections.base import ConfigSection

# Arguments of `timm.create_model` that Limbeck sets, or that give no classifier.
_RESERVED_ARGS = {
    "num_classes": "the width of the teacher sets it",
    "in_chans": "set student.in_chans",
    "img_size": "set student.image_px",
    "pretrained": "set student.pretrained",
    "checkpoint_path": "set student.weights",
    "pretrained_cfg": "give the tag in the name of the student",
    "pretrained_cfg_overlay": "give the tag in the name of the student",
    "pretrained_model_args": "give the tag in the name of the student",
    "cache_dir": "set HF_HOME",
    "features_only": "a student is a classifier",
    "device": "set system.device",
    "dtype": "set system.precision",
}


def _one_error(message: str) -> WrapValidator:
    """A validator that reports `message` instead of one error for each member of a union."""

    def validate(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError:
            raise ValueError(message) from None

    return WrapValidator(validate)


_Pixels = Annotated[int, Field(ge=16, le=1024)]
Side = Annotated[
    _Pixels | tuple[_Pixels, _Pixels],
    _one_error("give a whole number of pixels from 16 to 1024, or two of them: [height, width]"),
]
ModelArg = Annotated[
    bool | int | float | Annotated[str, Field(max_length=200)] | None,
    _one_error("give a number, a text of at most 200 characters, true, false or null"),
]


class StudentConfig(ConfigSection):
    """The student model."""

    architecture: str = Field(
        "resnet18",
        min_length=1,
        max_length=200,
        description="A timm model, with or without the tag of its weights (`resnet18`, `resnet18.a1_in1k`), or "
        "`hf-hub:org/name`. The tag sets mean and standard deviation of the input, and the weights of a pretrained "
        "start.",
    )
    pretrained: bool = Field(
        False,
        description="Start from the published weights: those of the tag, or timm's default. Without it, and without "
        "`weights`, the start is random.",
    )
    weights: str | None = Field(
        None,
        min_length=1,
        max_length=1000,
        description="Start from your own timm weights: a safetensors or .pth file, or a folder with `config.json` and "
        "weights, such as `image` of a bundle. In the service, a path below the data root.",
    )
    model_args: dict[str, ModelArg] = Field(
        {},
        max_length=50,
        description='Arguments of `timm.create_model`, such as `{"drop_path_rate": 0.1}`; recorded in the bundle.',
    )
    image_px: Side = Field(
        224, description="Side of the student's input in pixels, or its height and width. Images are squashed to it."
    )
    in_chans: Literal[1, 3] = Field(3, description="Channels of the student's input: 3 for RGB, 1 for grey.")
    init: Literal["timm", "torchvision"] = Field(
        "timm",
        description="Random start: timm's own, or torchvision's, as published. torchvision's differs for ResNets (each "
        "batch norm starts at 1) and ViTs (a head of zeros), and has ImageNet's mean and standard deviation; other "
        "models have timm's.",
    )
    resize: Literal["bicubic", "bilinear"] = Field(
        "bicubic", description="Interpolation by which images are resized for the student; bilinear as published."
    )
    test_crop: float = Field(
        1.0,
        gt=0.5,
        le=1.0,
        description="Side of the centre crop at evaluation, as a share of the resized image's side.",
    )

    @property
    def size(self) -> ImageSize:
        """The size of the student's input."""
        return ImageSize.of(self.image_px)

    @field_validator("image_px")
    @classmethod
    def _one_form_of_a_square(cls, image_px: int | tuple[int, int]) -> int | tuple[int, int]:
        size = ImageSize.of(image_px)
        return size.height if size.is_square else image_px

    @field_validator("model_args")
    @classmethod
    def _args_are_free(cls, args: dict[str, ModelArg]) -> dict[str, ModelArg]:
        for name, value in args.items():
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,99}", name):
                raise ValueError(f'model_args cannot have "{name}": it is not a name of an argument')
            if reason := _RESERVED_ARGS.get(name):
                raise ValueError(f"model_args cannot have {name}: {reason}")
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"model_args.{name} is {value}: give a finite number")
        return args

    @model_validator(mode="after")
    def _one_start(self) -> Self:
        if self.pretrained and self.weights is not None:
            raise ValueError("pretrained and weights are two starts: leave one of them out")
        return self
