"""Checks of this machine: the versions, the settings, the disks, the GPU, and the access to teachers."""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from limbeck.doctor.diagnosis import Diagnosis, failed, ok, warning
from limbeck.shared.parts import Part, install_command, installed_version, is_installed
from limbeck.shared.text import counted

if TYPE_CHECKING:
    from store.settings import Settings

_LOCKS = Path(__file__).resolve().parents[2] / "requirements"
_LITTLE_BYTES, _NO_BYTES = 5 * 10**9, 5 * 10**8
_GPU_TIMEOUT_S = 60.0
_HTTP_TIMEOUT_S = 5.0
# Runs apart, because a broken driver can end the process.
_GPU_CODE = """
import json, torch
cuda = torch.cuda.is_available()
names = range(torch.cuda.device_count()) if cuda else ()
gpus = [(torch.cuda.get_device_name(at), *torch.cuda.mem_get_info(at)) for at in names]
print(json.dumps({"torch": torch.__version__, "cuda": torch.version.cuda, "gpus": gpus}))
"""


def check_versions() -> Iterator[Diagnosis]:
    """The versions of Limbeck and of Python, and whether the dependencies are those of the lock files."""
    numbers = f"limbeck {installed_version()}, Python {platform.python_version()}"
    parts: list[Part] = [part for part in ("service", "gpu") if is_installed(part)]
    if not parts:
        yield ok("versions", f"{numbers}; only the client is installed")
        return
    different = sorted({one for part in parts for one in _differences(_LOCKS / f"{part}.lock")})
    if different:
        shown = ", ".join(different[:3]) + (f" and {len(different) - 3} more" if len(different) > 3 else "")
        yield warning("versions", f"{numbers}; not as locked: {shown}", f"run: {install_command(parts[0])}")
    else:
        yield ok("versions", f"{numbers}; installed: {', '.join(parts)}, as locked")


def _differences(lock: Path) -> Iterator[str]:
    """Distributions whose installed version is not that of the lock file. Lines with a condition are left out."""
    text = lock.read_text(encoding="utf-8") if lock.is_file() else ""
    for name, locked in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)\s*\\?$", text, re.MULTILINE):
        try:
            installed = version(name)
        except PackageNotFoundError:
            installed = "none"
        if installed.partition("+")[0] != locked.partition("+")[0]:
            yield f"{name} {installed} (locked {locked})"


def check_settings(config: "Settings") -> Iterator[Diagnosis]:
    """Whether every LIMBECK_* variable is one that something reads."""
    from store.settings import setting_names, unknown_settings

    unknown = unknown_settings(os.environ, config.llm_endpoints)
    if unknown:
        yield warning("settings", "; ".join(unknown.values()), "correct the names, or unset these variables")
    else:
        known = sum(name in os.environ for name in setting_names())
        yield ok("settings", f"{known} set, no unknown LIMBECK_* variable")


def check_disk(config: "Settings") -> Iterator[Diagnosis]:
    """Free space and write access of the home folder, the data root, the artefacts and the cache."""
    yield _folder("home", config.home, "LIMBECK_HOME")
    yield _data_root(config.data)
    if config.artefacts.startswith("file://"):
        yield _folder("artefacts", Path(config.artefacts.removeprefix("file://")), "LIMBECK_ARTEFACTS_URL")
    else:
        yield _remote_store(config.artefacts)
    yield _folder("cache", config.cache, "LIMBECK_CACHE_DIR")
    if config.upload_root is not None:
        yield _folder("uploads", config.upload_root, "LIMBECK_UPLOAD_ROOT")


def _folder(name: str, folder: Path, variable: str) -> Diagnosis:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    place = f"{folder}" if existing == folder else f"{folder} (will be created)"
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        return failed(name, f"{place}: cannot be written: {error.strerror}", f"give access, or change {variable}")
    return _space(name, place, existing, variable)


def _space(name: str, place: str, existing: Path, variable: str) -> Diagnosis:
    free = shutil.disk_usage(existing).free
    detail = f"{place}: {free / 1e9:.1f} GB free"
    remedy = f"run limbeck gc --dry-run, free space, or change {variable}"
    if free < _NO_BYTES:
        return failed(name, detail, remedy)
    return warning(name, detail, remedy) if free < _LITTLE_BYTES else ok(name, detail)


def _data_root(folder: Path) -> Diagnosis:
    if not folder.is_dir():
        remedy = "create it (limbeck serve does), or set LIMBECK_DATA_ROOT to the folder with the images"
        return warning("data root", f"{folder}: there is no such folder", remedy)
    if not os.access(folder, os.R_OK | os.X_OK):
        return failed("data root", f"{folder}: cannot be read", "give this user access to the folder")
    entries = sum(1 for _ in folder.iterdir())
    return ok("data root", f"{folder}: {entries:,} {'entry' if entries == 1 else 'entries'}")


def _remote_store(url: str) -> Diagnosis:
    from store.artefacts import Artefacts

    split = urlsplit(url)
    shown = f"{split.scheme}://{split.hostname or ''}{split.path}"
    key = f"doctor/{uuid.uuid4().hex}"
    try:
        artefacts = Artefacts(url)
        artefacts.put_bytes(b"doctor", key)
        with artefacts.open(key) as file:
            file.read()
        artefacts.delete_below(key)
    except ModuleNotFoundError:
        raise
    except Exception as error:
        detail = f"{shown}: cannot be written and read: {type(error).__name__}"
        return failed("artefacts", detail, "check the URL, the credentials and the network of LIMBECK_ARTEFACTS_URL")
    return ok("artefacts", f"{shown}: written, read and deleted a file")


def check_gpu() -> Iterator[Diagnosis]:
    """The GPUs that torch sees. A machine of the API or of LLM work needs none."""
    if not is_installed("gpu"):
        detail = "the GPU part is not installed: this machine runs the API and LLM work, not teachers and students"
        yield ok("gpu", detail)
        return
    ran = subprocess.run([sys.executable, "-c", _GPU_CODE], capture_output=True, text=True, timeout=_GPU_TIMEOUT_S)
    if ran.returncode != 0:
        last = (ran.stderr.strip().splitlines() or [f"exit code {ran.returncode}"])[-1][:200]
        yield failed("gpu", f"torch cannot be loaded: {last}", f"install it again: {install_command('gpu')}")
        return
    found = json.loads(ran.stdout.splitlines()[-1])
    if not found["gpus"]:
        build = f"CUDA {found['cuda']}" if found["cuda"] else "a build without CUDA"
        yield warning(
            "gpu",
            f"torch {found['torch']} ({build}) sees no GPU",
            "students train on the CPU, slowly; for a GPU, check nvidia-smi and install a torch build for its driver",
        )
        return
    gpus = [f"{name}, {free / 1e9:.0f} of {total / 1e9:.0f} GB free" for name, free, total in found["gpus"]]
    yield ok("gpu", f"torch {found['torch']}, CUDA {found['cuda']}: {'; '.join(gpus)}")


def check_teachers() -> Iterator[Diagnosis]:
    """Whether teachers can be downloaded from the Hugging Face Hub, or are in its cache."""
    if not is_installed("gpu"):
        yield ok("teachers", "not loaded on this machine: the GPU part is not installed")
        return
    from huggingface_hub import constants, get_token

    cache = Path(constants.HF_HUB_CACHE)
    cached = len(list(cache.glob("models--*"))) if cache.is_dir() else 0
    where = f"{counted(cached, 'model')} in {cache}"
    if constants.HF_HUB_OFFLINE:
        yield ok("teachers", f"HF_HUB_OFFLINE is set: only cached teachers load; {where}")
        return
    key = "with a token" if get_token() else "without a token (gated models need one)"
    host = urlsplit(constants.ENDPOINT).hostname
    if fault := _unreachable(constants.ENDPOINT):
        yield warning(
            "teachers",
            f"{host} cannot be reached ({fault}); {where}",
            "only cached teachers and those below the data root load: check the network and the proxy, set HF_ENDPOINT "
            "to a mirror, or put the teacher's files below the data root",
        )
    else:
        yield ok("teachers", f"{host} responds, {key}; {where}")


def _unreachable(url: str) -> str:
    """Why a server does not respond; "" if it does."""
    import httpx2

    try:
        httpx2.head(url, timeout=_HTTP_TIMEOUT_S)
    except httpx2.HTTPError as error:
        return type(error).__name__
    return ""
