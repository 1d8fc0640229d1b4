"""The student model: any timm image model with a linear head of the teacher's embedding width.

`build_student("resnet18", width=512, image_px=224, seed=0)`. The head follows arXiv:2307.03135. B images, C channels,
P and Q height and width in pixels.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import timm
import torch
from timm.models import PretrainedCfg
from torch import Tensor, nn

from distill.config.image_size import ImageSize, Size
from distill.config.model_names import NoPublishedWeights, UnknownName, check_student
from distill.config.train_config import StudentConfig
from distill.json_types import InitialWeightsJSON, ModelArgs, StudentPreprocess
from distill.state_dicts import WeightsError, misfit, not_plain, read_weights, without_prefix
from distill.student.initial_weights import ModelSource, StudentError, WeightsFile, find_source, weights_path
from distill.student.torchvision_start import MEAN, STD, set_torchvision_start
from limbeck.shared.images.background import WHITE
from limbeck.shared.images.decode import DECODER
from limbeck.shared.text import first_line

__all__ = ["Student", "StudentError", "build_student", "configured_student"]

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601), as in Pillow's mode L."""
# Arguments of a saved model that the student sets anew, or that were for its training only.
_NOT_KEPT = ("num_classes", "in_chans", "img_size", "drop_rate", "drop_path_rate", "drop_block_rate")


@dataclass(frozen=True, eq=False, kw_only=True)
class Student:
    """A model, the arguments to rebuild it with timm, and its preprocessing.

    `timm.create_model(name, num_classes=width, **model_args)` builds the same model. `size`: of its input. `mean`,
    `std`: of pixel values in 0..1, one for each channel. `test_crop`: side of the centre crop divided by side of the
    whole image, at evaluation. `interpolation`: by which images are resized. `background`: colour (`#rrggbb`) that
    transparent parts of images show. `initial`: where the weights came from.
    """

    name: str
    width: int
    size: ImageSize
    mean: tuple[float, ...]
    std: tuple[float, ...]
    model: nn.Module
    model_args: ModelArgs = field(default_factory=ModelArgs)
    test_crop: float = 1.0
    interpolation: str = "bicubic"
    background: str = WHITE
    initial: InitialWeightsJSON = field(default_factory=lambda: InitialWeightsJSON(source="random"))

    @property
    def num_channels(self) -> int:
        """Channels of the input: 3, or 1 for grey."""
        return len(self.mean)

    def preprocess(self) -> StudentPreprocess:
        """The preprocessing at evaluation, JSON-serialisable.

        The image is resized to the size floor(size / crop_pct), whatever its aspect ratio, and cropped to `size` at its
        centre.
        """
        return {
            "size": list(self.size),
            "mean": list(self.mean),
            "std": list(self.std),
            "interpolation": self.interpolation,
            "resize_mode": "squash",
            "crop_pct": self.test_crop,
            "mode": "L" if self.num_channels == 1 else "RGB",
            "background": self.background,
            "decoder": DECODER,
        }

    def normalise(self, pixels: Tensor) -> Tensor:
        """The model's input (B, C, P, Q), float32, from RGB pixels (B, 3, P, Q), uint8 or float32, 0 to 255."""
        if self.num_channels == 1:
            luma = torch.tensor(LUMA, device=pixels.device).view(1, 3, 1, 1)
            pixels = pixels.mul(luma).sum(dim=1, keepdim=True)
        mean = torch.tensor(self.mean, device=pixels.device).mul(255).view(1, -1, 1, 1)
        std = torch.tensor(self.std, device=pixels.device).mul(255).view(1, -1, 1, 1)
        # The subtraction also converts bytes to floats; the division works in place.
        return pixels.sub(mean).div_(std)

    def num_parameters(self) -> int:
        """The number of weights and biases, all of which are trained."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def description(self) -> str:
        """Name, size and start of the student, for the log of a run."""
        what = f"student {self.name}: {self.num_parameters():,} parameters, {self.size} px, "
        start = self.initial
        if "file" not in start:
            return what + f"{start['source']} start"
        licence = f", licence {start.get('license') or 'unknown'}"
        digest = f", sha256 {start.get('sha256', '')[:12]}"
        return what + f"starts from {start['source']} ({start['file']}{digest}{licence}), {start.get('head', '')}"


def configured_student(
    config: StudentConfig,
    *,
    width: int,
    seed: int,
    root: Path | None = None,
    initialise: bool = True,
    background: str = WHITE,
) -> Student:
    """The student of a config. `root`: the folder below which `config.weights` must lie.

    Without `initialise` the weights are random whatever the config says, because others are loaded into the model.
    Raises StudentError.
    """
    return build_student(
        config.architecture,
        width=width,
        image_px=config.image_px,
        seed=seed,
        pretrained=config.pretrained and initialise,
        weights=config.weights,
        root=root,
        load_weights=initialise,
        in_chans=config.in_chans,
        model_args=config.model_args,
        init=config.init,
        test_crop=config.test_crop,
        interpolation=config.resize,
        background=background,
    )


def build_student(
    name: str,
    *,
    width: int,
    image_px: Size,
    seed: int,
    pretrained: bool = False,
    weights: str | None = None,
    root: Path | None = None,
    load_weights: bool = True,
    in_chans: int = 3,
    model_args: Mapping[str, Any] | None = None,
    init: Literal["timm", "torchvision"] = "timm",
    test_crop: float = 1.0,
    interpolation: str = "bicubic",
    background: str = WHITE,
) -> Student:
    """A student with a head of `width`, initialised by `seed`, in training mode on the CPU.

    `name`: as of `distill.config.model_names.check_student`; a tag sets mean and std. `pretrained`: start from the
    published weights, downloaded if not cached. `weights`: a file or folder to start from, below `root` if given; a
    folder sets mean and std, also if `load_weights` is false. `in_chans`: 3, or 1 for grey. `model_args`: further
    arguments of `timm.create_model`. `init`: whose random start, and whose mean and std, a student without weights has.
    Raises StudentError for an unknown model, an unsupported `image_px` or argument, or weights that cannot be
    downloaded or do not fit.
    """
    try:
        ref = check_student(name, pretrained=pretrained)
    except (UnknownName, NoPublishedWeights) as error:
        raise StudentError(str(error)) from error
    own = None if weights is None else weights_path(weights, root)
    source = find_source(ref, pretrained=pretrained, weights=own, shown=weights or "")
    size, given = ImageSize.of(image_px), dict(model_args or {})
    args = _model_args(source, size, in_chans, given)
    builder = _Builder(source, width, args, given, size, seed)
    initial: InitialWeightsJSON = {"source": "random"}
    if source.published is not None:
        overlay = {"file": str(source.published.path), "custom_load": bool(source.cfg.custom_load)}
        model = builder.build(pretrained=True, overlay=overlay)
        is_kept = source.cfg.num_classes == width  # else timm leaves it out
        initial = _initial(source.published, f"{'with its' if is_kept else 'a new'} head of {width} outputs")
    else:
        model = builder.build()
        if source.own is not None and load_weights:
            model, head = _with_own_weights(builder, model, source.own, in_chans)
            initial = _initial(source.own, head)
        elif source.own is None and init == "torchvision" and set_torchvision_start(model, seed):
            source = replace(source, cfg=replace(source.cfg, mean=MEAN, std=STD))
    _check_forward(model, builder, in_chans)
    mean, std = _channel_statistics(source, in_chans)
    return Student(
        name=source.architecture,
        width=width,
        size=size,
        test_crop=test_crop,
        interpolation=interpolation,
        background=background,
        mean=mean,
        std=std,
        model=model,
        model_args=args,
        initial=initial,
    )


def _model_args(source: ModelSource, size: ImageSize, in_chans: int, given: Mapping[str, Any]) -> ModelArgs:
    """The arguments that rebuild the model, besides name and number of outputs."""
    args = {name: value for name, value in source.model_args.items() if name not in _NOT_KEPT}
    args |= {name: value for name, value in given.items() if value is not None}
    # The model is rebuilt without the tag, so that it must differ from neither description without an argument.
    described = (source.cfg, timm.get_pretrained_cfg(source.architecture) or PretrainedCfg())
    # `fixed_input_size` marks the models that support other sizes only with the argument `img_size`.
    if any(cfg.fixed_input_size for cfg in described) and any(tuple(cfg.input_size[1:]) != size for cfg in described):
        args["img_size"] = size.as_json()
    if any(cfg.input_size[0] != in_chans for cfg in described):
        args["in_chans"] = in_chans
    return args


def _channel_statistics(source: ModelSource, in_chans: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std of each channel; those of grey are the means over the channels of RGB, weighted as its pixels."""
    mean, std = tuple(source.cfg.mean), tuple(source.cfg.std)
    if len(mean) == in_chans:
        return mean, std
    if in_chans == 1:
        grey = [sum(weight * value for weight, value in zip(LUMA, values, strict=True)) for values in (mean, std)]
        return (grey[0],), (grey[1],)
    return mean * in_chans, std * in_chans


@dataclass(frozen=True, eq=False)
class _Builder:
    """Builds the model of a source; `args`: all arguments of timm, `given`: those of the user."""

    source: ModelSource
    width: int
    args: ModelArgs
    given: Mapping[str, Any]
    size: ImageSize
    seed: int

    @property
    def name(self) -> str:
        return self.source.cfg_name or self.source.architecture

    def build(self, *, pretrained: bool = False, overlay: Mapping[str, Any] | None = None) -> nn.Module:
        """The model; `overlay`: changes of timm's description of the weights. Raises StudentError."""
        try:
            return self.create(self.args, pretrained=pretrained, overlay=overlay)
        except MemoryError:
            raise
        except Exception as error:  # timm's models raise any exception for arguments that they do not support
            raise self.explained(error, reads_weights=pretrained) from error

    def create(
        self, args: ModelArgs, *, pretrained: bool = False, overlay: Mapping[str, Any] | None = None
    ) -> nn.Module:
        """The model with these arguments; raises any exception of timm."""
        timm_args: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in args.items()
        }
        cfg = None if self.source.cfg_name else self.source.cfg.to_dict()  # type: ignore[no-untyped-call]
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            model: nn.Module = timm.create_model(
                self.name,
                num_classes=self.width,
                pretrained=pretrained,
                pretrained_cfg=cfg,
                pretrained_cfg_overlay=None if overlay is None else dict(overlay),
                **timm_args,
            )
        return model

    def explained(self, error: Exception, *, reads_weights: bool) -> StudentError:
        """The error for an exception of timm or of a forward pass; `reads_weights`: while weights were loaded."""
        if self.given and self._builds_without_args():
            named = ", ".join(f"{name}={value!r}" for name, value in self.given.items())
            return StudentError(f"{self.name} cannot be built with model_args {named}: {first_line(error)}")
        if reads_weights or isinstance(error, OSError | RuntimeError):
            return StudentError(f"{self.name} cannot be built: {first_line(error)}")
        return self.size_error(error)

    def _builds_without_args(self) -> bool:
        own = {name: value for name, value in self.args.items() if name not in self.given}
        try:
            self.create(own)
        except Exception:
            return False
        return True

    def size_error(self, error: Exception) -> StudentError:
        """The error of a model that cannot have images of this size."""
        default = ImageSize(*self.source.cfg.input_size[1:])
        return StudentError(
            f"{self.name} does not support images of {self.size} px ({first_line(error)}); its default is {default} px"
        )


def _with_own_weights(builder: _Builder, model: nn.Module, file: WeightsFile, in_chans: int) -> tuple[nn.Module, str]:
    """The model with the weights of `file`, loaded by timm, and what became of the file's head. Raises StudentError.

    `model`: the same model with random weights, whose head is kept if the file's has another number of outputs.
    """
    expected = model.state_dict()
    try:
        state = without_prefix(read_weights(file.path), expected)
    except WeightsError as error:
        raise StudentError(f"student.weights: {error}".replace(str(file.path), file.source)) from error
    if reason := not_plain(expected, state):
        raise StudentError(f"student.weights {file.source} cannot be used: {reason}")
    state, head = _with_own_head(state, expected, builder)
    overlay = {
        "state_dict": state,
        # The head has been dealt with, and timm is to refuse any other difference.
        "num_classes": builder.width,
        "label_offset": None,
        "custom_load": False,
        "input_size": (_num_channels(state, model, builder.source.cfg, in_chans), *builder.source.cfg.input_size[1:]),
    }
    try:
        loaded = builder.create({**builder.args, "in_chans": in_chans}, pretrained=True, overlay=overlay)
    except MemoryError:
        raise
    except Exception as error:
        reason = misfit(expected, state) or first_line(error)
        raise StudentError(
            f"student.weights {file.source} does not fit {builder.name}: {reason}; name the architecture, image_px and "
            "model_args of these weights"
        ) from error
    for cfg in (loaded.pretrained_cfg, loaded.default_cfg):
        cfg.pop("state_dict", None)  # type: ignore[operator,union-attr]  # timm keeps a copy of all weights there
    return loaded, head


def _with_own_head(
    state: Mapping[str, Tensor], expected: Mapping[str, Tensor], builder: _Builder
) -> tuple[dict[str, Tensor], str]:
    """The weights with the student's own head where theirs is missing or has another number of outputs."""
    classifiers = builder.source.cfg.classifier or ()
    heads = (classifiers,) if isinstance(classifiers, str) else tuple(classifiers)
    changed, notes = dict(state), []
    for head in heads:
        own = {name: tensor for name, tensor in expected.items() if name.rpartition(".")[0] == head}
        theirs = {name: tensor for name, tensor in state.items() if name.rpartition(".")[0] == head}
        if own and misfit(own, theirs):
            weight = theirs.get(f"{head}.weight")
            was = "" if weight is None else f" in place of {len(weight)}"
            notes.append(f"a new head of {builder.width} outputs{was}")
            changed = {name: tensor for name, tensor in changed.items() if name not in theirs} | own
        elif not own:
            changed = {name: tensor for name, tensor in changed.items() if name not in theirs}
    return changed, notes[0] if notes else f"with its head of {builder.width} outputs"


def _num_channels(state: Mapping[str, Tensor], model: nn.Module, cfg: PretrainedCfg, in_chans: int) -> int:
    """The number of input channels of the weights, by the shape of the first layer; timm converts them."""
    first = cfg.first_conv if isinstance(cfg.first_conv, str) else next(iter(cfg.first_conv or ()), None)
    weight = None if first is None else state.get(f"{first}.weight")
    if first is None or weight is None or weight.ndim != 4:
        return int(cfg.input_size[0])
    layer = model.get_submodule(first)
    if not isinstance(layer, nn.Conv2d):
        return int(cfg.input_size[0])
    return int(weight.shape[1] * in_chans * layer.groups) // layer.in_channels


def _initial(file: WeightsFile, head: str) -> InitialWeightsJSON:
    return {
        "source": file.source,
        "file": file.path.name,
        "sha256": file.sha256,
        "license": file.license,
        "head": head,
    }


def _check_forward(model: nn.Module, builder: _Builder, in_chans: int) -> None:
    """Make one forward pass in evaluation mode, so that a wrong size is an error now, not after an hour of decoding."""
    model.eval()
    try:
        with torch.no_grad():
            features = model(torch.zeros(1, in_chans, *builder.size))
    except MemoryError:
        raise
    except Exception as error:
        if builder.given:
            raise builder.explained(error, reads_weights=False) from error
        raise builder.size_error(error) from error
    finally:
        model.train()
    shape = tuple(features.shape) if isinstance(features, Tensor) else ()
    if shape != (1, builder.width):
        hint = " with these model_args" if builder.given else ""
        raise StudentError(
            f"{builder.name} returns shape {shape[1:]}, not {(builder.width,)}: it is no classifier{hint}"
        )
