"""The parts of an installation, and what to do if one is missing.

The wheel holds only `limbeck`, the client. The service runs from a checkout or a container image, whose dependencies
are installed in parts: one lock file per dependency group of `pyproject.toml`.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NoReturn

from limbeck.shared.exit_codes import PART_MISSING

Part = Literal["service", "gpu", "s3", "wandb", "mlflow"]
LoggerName = Literal["tensorboard", "wandb", "mlflow"]
VERSION_HEADER = "Limbeck-Version"
"""The header with which the service sends its version."""

# Import names of the dependencies that the API and every worker share: the group `jobs` without `client`.
_JOBS = (
    "alembic",
    "celery",
    "fsspec",
    "ftfy",
    "genai_prices",
    "jinja2",
    "jsonschema",
    "kombu",
    "numpy",
    "PIL",
    "psycopg",
    "py3langid",
    "pydantic_settings",
    "redis",
    "safetensors",
    "simplemma",
    "sqlalchemy",
    "structlog",
    "tokenizers",
)
MODULES: Mapping[Part, tuple[str, ...]] = {
    "service": (*_JOBS, "fastapi", "json_repair", "openai", "prometheus_client", "starlette", "uvicorn"),
    "gpu": (
        *_JOBS,
        *("huggingface_hub", "matplotlib", "onnx", "onnxruntime", "onnxscript", "open_clip", "tensorboard", "timm"),
        *("psutil", "torch", "torchvision"),
    ),
    "s3": ("s3fs",),
    "wandb": ("wandb",),
    "mlflow": ("mlflow",),
}
"""The modules by which an installed part is recognised: import names of its dependencies, without those of `client`."""
# Extras of the wheel, by modules that no smaller part has.
_EXTRAS: Mapping[str, tuple[str, ...]] = {"cli": ("typer", "rich", "yaml"), "classify": ("onnxruntime",)}
# The part that each logger of a training needs.
_LOGGERS: Mapping[LoggerName, Part] = {"tensorboard": "gpu", "wandb": "wandb", "mlflow": "mlflow"}
_SERVICE_PACKAGES = ("api", "attributes", "distill", "migrations", "store", "workers")


@cache
def installed_version() -> str:
    """The version of the installed package `limbeck`, client or service; "unknown" without its metadata."""
    from importlib.metadata import PackageNotFoundError, version  # imported late: it is slow to load

    try:
        return version("limbeck")
    except PackageNotFoundError:
        return "unknown"


def is_installed(part: Part) -> bool:
    """Whether the modules of a part can be found. Imports none of them."""
    return all(map(_is_found, MODULES[part]))


def _is_found(module: str) -> bool:
    return module in sys.modules or find_spec(module) is not None  # kombu replaces itself by a module without a spec


def missing_part(error: ModuleNotFoundError) -> str | None:
    """What is missing and how to install it, in one line; None if the module belongs to no part."""
    module = (error.name or "").partition(".")[0]
    if module in _SERVICE_PACKAGES:
        return (
            "this command is part of the service, which runs in a checkout (`make setup`, then `.venv/bin/limbeck`) or "
            "in a container image; only the client is installed here"
        )
    for extra, modules in _EXTRAS.items():
        if module in modules:
            return f"{module} is not installed; {_install_extra(extra)}"
    for part, modules in MODULES.items():
        if module in modules:
            return _message(module, part)
    return None


def _install_extra(extra: str) -> str:
    return f"install the wheel with its extra: pip install 'limbeck-{installed_version()}-py3-none-any.whl[{extra}]'"


def _message(module: str, part: Part) -> str:
    if find_spec("store") is None:  # only the client is installed; `limbeck classify` and `publish` need more
        return f"{module} is not installed; {_install_extra('publish' if module == 'huggingface_hub' else 'classify')}"
    return f"{module} is not installed; install the part {part!r} with: {install_command(part)}"


def install_command(part: Part) -> str:
    """The command that installs a part in a checkout or an image."""
    folder = Path(__file__).resolve().parents[2] / "requirements"
    file = folder / f"{part}.lock" if folder.is_dir() else f"requirements/{part}.lock"
    return f"pip install --require-hashes -r {file}"


def exit_if_not_installed(part: Part, program: str) -> None:
    """Exit with `PART_MISSING` and one line on stderr if a part is missing."""
    for module in MODULES[part]:
        if not _is_found(module):
            _exit(f"{program}: {_message(module, part)}")


def parse_loggers(text: str) -> tuple[LoggerName, ...]:
    """Names of loggers of a training, separated by commas. Raises ValueError."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in names if name not in _LOGGERS]:
        raise ValueError(f"there is no logger {unknown[0]!r}: choose from {', '.join(_LOGGERS)}")
    return tuple(name for name in _LOGGERS if name in names)


def exit_if_logger_not_installed(names: Iterable[LoggerName], program: str) -> None:
    """Exit with `PART_MISSING` and one line on stderr if a logger's part is missing."""
    for name in names:
        exit_if_not_installed(_LOGGERS[name], program)


@contextmanager
def exit_if_part_is_missing(program: str) -> Iterator[None]:
    """Exit with `PART_MISSING` and one line on stderr if the code inside imports a module of a part that is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if message := missing_part(error):
            _exit(f"{program}: {message}")
        raise


def _exit(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(PART_MISSING)
