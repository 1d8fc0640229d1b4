"""Which columns of a data set are images, and the names of its classes. Imports no torch.

They stand in the schema of each file (`datasets` writes them as metadata), in `dataset_info.json` beside it, or in the
header of `README.md`.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from distill.data.files.regular_files import read_regular


@dataclass(frozen=True)
class Features:
    """`images`: columns of images. `class_names`: by column, the names of its numbers."""

    images: frozenset[str] = frozenset()
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def features_of(schema_metadata: Mapping[bytes, bytes] | None, file: Path, root: Path) -> Features:
    """The features of a file: of its schema, else of `dataset_info.json`, else of `README.md` in the root."""
    sources: tuple[Callable[[], Mapping[str, Any]], ...] = (
        partial(_of_schema, schema_metadata),
        partial(_of_info, file.parent),
        partial(_of_readme, root),
    )
    for source in sources:
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
            if features := source():
                return _features(features)
    return Features()


def _features(described: Mapping[str, Any]) -> Features:
    images = {name for name, feature in described.items() if _is_image(feature)}
    names = {name: found for name, feature in described.items() if (found := _class_names(feature))}
    return Features(frozenset(images), names)


def _is_image(feature: object) -> bool:
    return isinstance(feature, dict) and (feature.get("_type") == "Image" or feature.get("dtype") == "image")


def _class_names(feature: object) -> tuple[str, ...]:
    """The names of a class label, also inside a list; empty for another feature."""
    if isinstance(feature, list) and len(feature) == 1:
        return _class_names(feature[0])
    if not isinstance(feature, dict):
        return ()
    if feature.get("_type") == "ClassLabel":
        return tuple(map(str, feature["names"]))
    for key in ("feature", "sequence", "list", "dtype", "class_label"):
        inner = feature.get(key)
        if key == "class_label" and isinstance(inner, dict):
            names = inner["names"]  # a list, or a mapping of numbers in texts
            ordered = [names[key] for key in sorted(names, key=int)] if isinstance(names, dict) else names
            return tuple(map(str, ordered))
        if isinstance(inner, dict | list) and (found := _class_names(inner)):
            return found
    return ()


def _of_schema(metadata: Mapping[bytes, bytes] | None) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
    return found


def _of_info(folder: Path) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(read_regular(folder / "dataset_info.json"))["features"]
    return found


def _of_readme(root: Path) -> Mapping[str, Any]:
    """The features of the only configuration in the header of README.md."""
    _, header, _ = read_regular(root / "README.md").decode().split("---\n", 2)
    infos = yaml.safe_load(header)["dataset_info"]
    (info,) = infos if isinstance(infos, list) else [infos]
    return dict(_named(info["features"]))


def _named(features: list[dict[str, Any]]) -> Iterator[tuple[str, Any]]:
    for feature in features:
        yield feature["name"], feature
