"""Names of the students and teachers in the installed timm and open_clip, for packages without torch.

`model_names.json` next to this file lists every timm model name, the pretrained tags of every open_clip model (none for
a model that only takes a file of weights), and the library versions, so that an unknown name is refused when a job is
posted and not when it runs. Regenerate it whenever the locked dependencies change:
`python -m distill.config.model_names`.
"""

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, TypedDict

from distill.config.closest_names import closest_names

CATALOG_FILE = Path(__file__).with_name("model_names.json")
WEIGHTS_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".npz")
"""Names of weights files, by which a path without a folder is told from a tag."""


class Catalog(TypedDict):
    """Models of the installed libraries: `versions` by library, `timm` names, `open_clip` tags by model name."""

    versions: dict[str, str]
    timm: list[str]
    open_clip: dict[str, list[str]]


def installed_models() -> Catalog:
    """The models of the installed libraries. Imports torch."""
    import open_clip
    import timm

    tags: dict[str, list[str]] = {model: [] for model in open_clip.list_models()}
    for model, tag in open_clip.list_pretrained():
        tags.setdefault(model, []).append(tag)
    return {
        "versions": {"timm": timm.__version__, "open_clip": open_clip.__version__},
        "timm": sorted(timm.list_models()),
        "open_clip": {model: sorted(tags[model]) for model in sorted(tags)},
    }


def read_catalog() -> Catalog:
    """The content of `model_names.json`. Imports neither torch nor the libraries."""
    catalog: Catalog = json.loads(CATALOG_FILE.read_text(encoding="utf-8"))
    return catalog


class UnknownName(ValueError):
    """No installed library has this student or teacher. `near`: similar names, best first."""

    def __init__(self, name: str, kind: Literal["student", "teacher"], near: list[str], why: str = "") -> None:
        self.name, self.kind, self.near = name, kind, near
        hint = f"; closest: {', '.join(near)}" if near else ""
        super().__init__(f'no {kind} is called "{name}"{why}{hint}')


@dataclass(frozen=True)
class TeacherRef:
    """A parsed teacher reference; `str()` gives the reference.

    `model`: open_clip's name, a repository or a folder. `pretrained`: open_clip's tag, or the path of a weights file.
    """

    kind: Literal["open_clip", "weights-file", "hf-hub", "local-dir"]
    model: str
    pretrained: str | None = None

    def __str__(self) -> str:
        return f"{self.kind}:{self.model}" if self.pretrained is None else f"{self.model}:{self.pretrained}"

    @property
    def path(self) -> str | None:
        """The folder or the weights file; None for a teacher of the Hub."""
        return self.pretrained if self.kind == "weights-file" else self.model if self.kind == "local-dir" else None


@cache
def _names() -> tuple[frozenset[str], dict[str, list[str]]]:
    names = read_catalog()
    return frozenset(names["timm"]), names["open_clip"]


def check_student(name: str) -> str:
    """Return `name` if timm has it. Raises UnknownName."""
    students, _ = _names()
    if name not in students:
        raise UnknownName(name, "student", closest_names(name, students, limit=5, cutoff=0.6))
    return name


def check_teacher(ref: str) -> TeacherRef:
    """Parse a reference. open_clip must have the name and, unless a file is named, the tag; the rest is well formed.

    Raises UnknownName. Whether the Hub, the folder or the file has the teacher is checked when it is loaded.
    """
    kind, _, rest = ref.partition(":")
    if kind == "hf-hub":
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", rest) or ".." in rest:
            raise UnknownName(ref, "teacher", [], why=": write hf-hub:organisation/name")
        return TeacherRef("hf-hub", rest)
    if kind == "local-dir":
        if not rest.strip() or not _is_path(rest):
            raise UnknownName(ref, "teacher", [], why=": write local-dir:path/to/folder")
        return TeacherRef("local-dir", rest)
    _, teachers = _names()
    if rest in teachers.get(kind, ()):
        return TeacherRef("open_clip", kind, rest)
    if kind in teachers and _names_a_file(rest):
        return TeacherRef("weights-file", kind, rest)
    if kind in teachers and not teachers[kind]:
        raise UnknownName(ref, "teacher", [], why=f": open_clip has no weights of it, write {kind}:path/to/weights.pt")
    if kind in teachers:
        near = closest_names(rest, teachers[kind], limit=5, cutoff=0.0)
        raise UnknownName(ref, "teacher", [f"{kind}:{tag}" for tag in near])
    known = [f"{model}:{tag}" for model, tags in teachers.items() for tag in tags]
    raise UnknownName(ref, "teacher", closest_names(ref, known, limit=5))


def _names_a_file(text: str) -> bool:
    """Whether this is the path of a weights file and not a tag."""
    is_path = "/" in text or "\\" in text or text.lower().endswith(WEIGHTS_SUFFIXES)
    return is_path and _is_path(text)


def _is_path(text: str) -> bool:
    return not any(ord(c) < 32 for c in text)


def main() -> None:
    """Write `model_names.json`, one name per line so that a version change gives a readable diff."""
    catalog = installed_models()
    CATALOG_FILE.write_text(json.dumps(catalog, indent=0) + "\n", encoding="utf-8")
    num_teachers = sum(len(tags) for tags in catalog["open_clip"].values())
    print(f"{CATALOG_FILE.name}: {len(catalog['timm'])} students, {num_teachers} teachers, {catalog['versions']}")


if __name__ == "__main__":
    main()
