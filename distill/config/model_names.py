"""Names of the students and teachers in the installed timm and open_clip, for packages without torch.

`model_names.json` next to this file lists every timm model with the tags of its published weights, timm's old names,
the pretrained tags of every open_clip model (none for a model that only takes a file of weights), and the library
versions, so that an unknown name is refused when a job is posted and not when it runs. Regenerate it whenever the
locked dependencies change: `python -m distill.config.model_names`.
"""

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, TypedDict

from distill.config.closest_names import closest_names

SHORT_STUDENTS = {"mobilenetv4": "mobilenetv4_conv_medium"}
"""Names of students that stand for a timm model."""
CATALOG_FILE = Path(__file__).with_name("model_names.json")
WEIGHTS_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".npz")
"""Suffixes of weights files: a name that ends with one is a path and not a tag."""


class Catalog(TypedDict):
    """Models of the installed libraries.

    `versions`: by library. `timm`: the tags of published weights by architecture, timm's default first; none for an
    architecture without weights. `timm_untrained`: names with a tag that has no weights. `timm_renamed`: the current
    name of each old name. `open_clip`: tags by model name.
    """

    versions: dict[str, str]
    timm: dict[str, list[str]]
    timm_untrained: list[str]
    timm_renamed: dict[str, str]
    open_clip: dict[str, list[str]]


def installed_models() -> Catalog:
    """The models of the installed libraries. Imports torch."""
    import open_clip
    import timm
    from timm.models import get_arch_pretrained_cfgs
    from timm.models._registry import get_deprecated_models

    published: dict[str, list[str]] = {}
    untrained: list[str] = []
    for architecture in sorted(timm.list_models()):
        published[architecture] = []
        for name, cfg in get_arch_pretrained_cfgs(architecture).items():
            tag = name.partition(".")[2]
            if tag and cfg.has_weights:
                published[architecture].append(tag)
            elif tag:
                untrained.append(name)
    tags: dict[str, list[str]] = {model: [] for model in open_clip.list_models()}
    for model, tag in open_clip.list_pretrained():
        tags.setdefault(model, []).append(tag)
    return {
        "versions": {"timm": timm.__version__, "open_clip": open_clip.__version__},
        "timm": published,
        "timm_untrained": untrained,
        "timm_renamed": {old: new for old, new in sorted(get_deprecated_models().items()) if new},
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


class NoPublishedWeights(ValueError):
    """A pretrained start was requested for a student that has no published weights; the message names the fix."""


@dataclass(frozen=True)
class StudentRef:
    """A parsed student name; `str()` gives its normal form.

    `timm`: the architecture `model`, and the `tag` of its published weights if the name has one. `hf-hub`: the
    repository `model` (`org/name` or `org/name@revision`), whose config names the architecture.
    """

    kind: Literal["timm", "hf-hub"]
    model: str
    tag: str | None = None

    def __str__(self) -> str:
        if self.kind == "hf-hub":
            return f"hf-hub:{self.model}"
        return f"{self.model}.{self.tag}" if self.tag else self.model

    @property
    def architecture(self) -> str | None:
        """timm's name of the architecture; None for a repository, whose config must be read first."""
        return self.model if self.kind == "timm" else None


@cache
def _catalog() -> Catalog:
    return read_catalog()


_HUB_NAME = r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*"


def check_student(name: str, *, pretrained: bool = False) -> StudentRef:
    """Parse the name of a student: `resnet18`, `resnet18.a1_in1k`, `timm/…`, `hf-hub:timm/…` or `hf-hub:org/name`.

    timm must have the architecture and the tag; upper case and timm's old names are accepted. Another repository must
    only be well formed: its config is read when the student is built. `pretrained`: the student must have published
    weights. Raises UnknownName, NoPublishedWeights.
    """
    source, colon, rest = name.partition(":")
    if not colon:
        ref = _timm_ref(name, name.removeprefix("timm/"))
    elif source.lower() in ("hf-hub", "hf_hub"):
        # timm's own repositories hold the weights that the catalogue lists.
        ref = _timm_ref(name, rest[5:]) if rest.startswith("timm/") and "@" not in rest else _hub_ref(name, rest)
    elif source.lower() == "local-dir":
        raise UnknownName(name, "student", [], why=": name the architecture, and give the folder as student.weights")
    else:
        raise UnknownName(name, "student", [], why=": write a timm name, or hf-hub:organisation/name")
    if pretrained and ref.kind == "timm" and not published_tags(ref):
        raise NoPublishedWeights(
            f"timm publishes no weights of {ref}: set student.pretrained to false, or give your own as student.weights"
        )
    return ref


def student_notes(name: str, *, pretrained: bool, has_weights: bool) -> list[str]:
    """What a person should know about the name of a student: which model it stands for, and weights that are not used.

    `has_weights`: the student starts from own weights. Raises UnknownName.
    """
    ref, notes = check_student(name), []
    if str(ref) != name:
        notes.append(f'student "{name}" is {ref}')
    if ref.tag and not pretrained and not has_weights and published_tags(ref):
        notes.append(f"the start is random: set student.pretrained to true to start from the weights of {ref}")
    return notes


def published_tags(ref: StudentRef) -> list[str]:
    """The tags of published weights that a pretrained start of this timm model may use, the default first."""
    tags = _catalog()["timm"].get(ref.model, [])
    return tags if ref.tag is None else [tag for tag in tags if tag == ref.tag]


def _timm_ref(given: str, name: str) -> StudentRef:
    """The timm model `name` of the student `given`. Raises UnknownName."""
    catalog = _catalog()
    lower = SHORT_STUDENTS.get(name.lower(), name.lower())
    current = catalog["timm_renamed"].get(lower, lower)
    architecture, dot, tag = current.partition(".")
    tags = catalog["timm"].get(architecture)
    if tags is not None and (not dot or tag in tags or current in catalog["timm_untrained"]):
        return StudentRef("timm", architecture, tag or None)
    if tags is not None:
        near = closest_names(tag, tags, limit=5, cutoff=0.0)
        reason = f': timm has no weights of {architecture} with the tag "{tag}"' if near else f": write {architecture}"
        raise UnknownName(given, "student", [f"{architecture}.{one}" for one in near], why=reason)
    if re.fullmatch(_HUB_NAME, given) and not given.startswith("timm/"):
        raise UnknownName(given, "student", [], why=f": for a timm model on the Hub, write hf-hub:{given}")
    known = [*catalog["timm"], *catalog["timm_renamed"]]
    raise UnknownName(given, "student", closest_names(architecture, known, limit=5, cutoff=0.6))


def _hub_ref(given: str, repository: str) -> StudentRef:
    if not re.fullmatch(_HUB_NAME + r"(@[\w./-]+)?", repository) or ".." in repository:
        raise UnknownName(given, "student", [], why=": write hf-hub:organisation/name")
    return StudentRef("hf-hub", repository)


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
    teachers = _catalog()["open_clip"]
    if rest in teachers.get(kind, ()):
        return TeacherRef("open_clip", kind, rest)
    if kind in teachers and _names_a_file(rest):
        return TeacherRef("weights-file", kind, rest)
    if kind in teachers and not teachers[kind]:
        raise UnknownName(ref, "teacher", [], why=f": open_clip has no weights of it, write {kind}:path/to/weights.pt")
    if kind in teachers:
        near = closest_names(rest, teachers[kind], limit=5, cutoff=0.0)
        raise UnknownName(ref, "teacher", [f"{kind}:{tag}" for tag in near])
    if reason := _other_way_to_write(ref):
        raise UnknownName(ref, "teacher", [], why=reason)
    known = [f"{model}:{tag}" for model, tags in teachers.items() for tag in tags]
    raise UnknownName(ref, "teacher", closest_names(ref, known, limit=5))


def _other_way_to_write(ref: str) -> str:
    """How to write a repository, folder or file that was given without its kind; empty for another name."""
    kind, colon, rest = ref.partition(":")
    if kind.lower().replace("_", "-") in ("hf-hub", "local-dir"):
        return f": write {kind.lower().replace('_', '-')}:{rest}"
    if not colon and ref.lower().endswith(WEIGHTS_SUFFIXES):
        return f": for a file of weights, write its model before it, as in ViT-B-32:{ref}"
    if ref.startswith(("/", "./", "../", "~")) or (not colon and ref.count("/") > 1):  # the Hub has one slash
        return f": for a folder, write local-dir:{ref}"
    return f": for a model on the Hub, write hf-hub:{ref}" if re.fullmatch(_HUB_NAME, ref) else ""


def _names_a_file(text: str) -> bool:
    """Whether this is the path of a weights file and not a tag."""
    is_path = "/" in text or "\\" in text or text.lower().endswith(WEIGHTS_SUFFIXES)
    return is_path and _is_path(text)


def _is_path(text: str) -> bool:
    return not any(ord(c) < 32 for c in text)


def main() -> None:
    """Write `model_names.json`, one model per line so that a version change gives a readable diff."""
    catalog = installed_models()
    CATALOG_FILE.write_text(_one_model_per_line(catalog), encoding="utf-8")
    num_weights = sum(map(len, catalog["timm"].values()))
    num_teachers = sum(map(len, catalog["open_clip"].values()))
    print(
        f"{CATALOG_FILE.name}: {len(catalog['timm'])} students with {num_weights} published weights, "
        f"{num_teachers} teachers, {catalog['versions']}"
    )


def _one_model_per_line(catalog: Catalog) -> str:
    sections = []
    for name, models in catalog.items():
        if isinstance(models, dict):
            lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in models.items())
            sections.append(f"{json.dumps(name)}: {{\n{lines}\n}}")
        else:
            sections.append(f"{json.dumps(name)}: {json.dumps(models, indent=0)}")
    return "{\n" + ",\n".join(sections) + "\n}\n"


if __name__ == "__main__":
    main()
