"""Evaluation, system and bundle: what a run does beside training, and on what. Imports no torch."""

from typing import Annotated, Literal

from pydantic import Field

from distill.config.sections.base import ConfigSection

HubName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?$", max_length=96)]


class EvaluationConfig(ConfigSection):
    """Evaluation during training. It never selects weights: the delivered student is the last one."""

    measured_epochs: int = Field(
        5,
        ge=0,
        le=100_000,
        description="Last epochs to evaluate as they end, for the published mean over epochs; the number of `epochs`, "
        "or more, for all.",
    )


class SystemConfig(ConfigSection):
    """Seed, precision, device, processes and saving."""

    seed: int = Field(0, ge=0, lt=2**32, description="Seed of every random choice.")
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="Precision of the student's forward pass; float16 scales the loss."
    )
    compile: Literal["auto", "on", "off"] = Field(
        "auto", description="torch.compile; `auto` compiles runs that are long enough to gain from it."
    )
    deterministic: bool = Field(
        False, description="Bit-identical resume on a GPU, at some cost; on a CPU it always holds."
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Device; `auto` uses a GPU if there is one.")
    num_workers: int = Field(4, ge=1, le=256, description="Threads that decode images.")
    threads: int | None = Field(None, ge=1, le=1024, description="torch's CPU threads; torch's default if null.")
    decoded_gb: float = Field(
        100.0, ge=0, allow_inf_nan=False, description="Decoded images are cached on disk up to this size, in GB."
    )
    save_every_s: float = Field(
        60.0, gt=0, le=3600, description="Seconds between saved training states: the most a killed run loses."
    )


class BundleConfig(ConfigSection):
    """Optional files of the bundle, and what its model card states besides the facts of the run."""

    onnx: bool = Field(True, description="Write the student for ONNX Runtime, in float32 and with 8-bit weights.")
    text_onnx: bool = Field(
        False, description="Write the teacher's text encoder for ONNX Runtime too, to classify among new labels."
    )
    license: str | None = Field(
        None,
        pattern=r"^[a-z0-9][a-z0-9.+-]{0,59}$",
        description="Licence of the weights, as the Hub writes it (`apache-2.0`); if null, the card proposes one.",
    )
    datasets: tuple[HubName, ...] = Field(
        (), max_length=20, description="Names on the Hub (`owner/name`) of the data set of the images."
    )


# Settings that may change between two parts of one run, because they do not change its result.
# The path of `weights` is free because their digest identifies them (`distill.training.setup`).
FREE_FIELDS = frozenset(
    {
        "device",
        "num_workers",
        "threads",
        "save_every_s",
        "decoded_gb",
        "weights",
        "onnx",
        "text_onnx",
        "license",
        "datasets",
        "automatic",
    }
)
