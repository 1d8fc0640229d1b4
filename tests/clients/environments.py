"""Virtual environments that hold one client library each, and none of the project's code.

    python = build("timm", folder, ["timm"], shared=("torch", "torchvision"))

torch takes gigabytes: an environment uses the torch of this interpreter, as links to it and to what it requires.
"""

import re
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator, Sequence
from importlib.metadata import Distribution, distribution, version
from pathlib import Path, PurePosixPath

_REQUIREMENT = re.compile(r"([\w.-]+)")


def build(name: str, folder: Path, packages: Sequence[str], *, shared: Sequence[str] = ()) -> Path:
    """The Python of a new environment with `packages`, each in the version that this interpreter has.

    `shared`: distributions of this interpreter that the environment sees, with what they require.
    Raises CalledProcessError with pip's output.
    """
    home = folder / name
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    if shared:
        _link(shared, home / "shared")
        site = next(home.glob("lib/python*/site-packages"))
        (site / "shared.pth").write_text(f"{home / 'shared'}\n")
    pins = [f"{package}=={version(package)}" for package in packages]
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", *pins]
    subprocess.run(command, check=True, stderr=subprocess.STDOUT)
    return python


def _link(names: Sequence[str], folder: Path) -> None:
    """Link the distributions, and all that they require, into a folder."""
    folder.mkdir()
    source = Path(sysconfig.get_path("purelib"))
    for entry in sorted({entry for found in _required(names) for entry in _top_level(found)}):
        if (source / entry).exists():
            (folder / entry).symlink_to(source / entry)


def _required(names: Sequence[str]) -> list[Distribution]:
    found: dict[str, Distribution] = {}
    left = list(names)
    while left:
        name = re.sub(r"[-_.]+", "-", left.pop()).lower()
        if name not in found:
            found[name] = distribution(name)
            left += _requirements(found[name])
    return list(found.values())


def _requirements(found: Distribution) -> Iterator[str]:
    """The names of the installed distributions that one requires, extras of it left out."""
    for requirement in found.requires or ():
        match = _REQUIREMENT.match(requirement)
        if match and "extra ==" not in requirement and _is_installed(match[0]):
            yield match[0]


def _is_installed(name: str) -> bool:
    try:
        version(name)
    except ModuleNotFoundError:  # for another platform
        return False
    return True


def _top_level(found: Distribution) -> Iterator[str]:
    """The names in `site-packages` of a distribution's files, its metadata included."""
    for file in found.files or ():
        first = PurePosixPath(file).parts[0]
        if first not in ("..", "__pycache__"):
            yield first
