"""Class folders or shards on disk, matched to labels and split into training, held-out and never-seen images.

`scan(root, labels, split)` reads names only, opens no image, and returns an `ImageIndex`: which image is of which
label and in which part. The split is by class, as in arXiv:2307.03135: images of ID labels are `train` or
`held_out`, images of OOD labels are `ood`, and no label is both. Every choice is a function of the split's seed and
the names on disk, whatever order the disk lists them in. A folder that holds WebDataset shards (`distill.data.shards`)
in the place of class folders is read by its samples' labels. Without torch. N images, K labels.
"""

import hashlib
import json
import re
import unicodedata
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from distill.data import image_folders, shards
from distill.data.atomic_files import replacing
from distill.data.image_folders import IMAGE_SUFFIXES, FolderError
from distill.data.packed_strings import PackedStrings

__all__ = ["IMAGE_SUFFIXES", "FolderError", "Item", "ImageIndex", "Part", "SplitSpec", "normalise", "scan"]

Part = Literal["train", "held_out", "ood"]
PARTS: tuple[Part, ...] = ("train", "held_out", "ood")

Share = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BySeed(_Frozen):
    """Labels drawn by `seed`: `id_fraction` of them ID, of whose images `held_out` are kept from training."""

    by: Literal["seed"] = "seed"
    seed: int = Field(default=0, ge=0, lt=2**63)
    id_fraction: float = Field(default=0.5, gt=0, le=1, allow_inf_nan=False)
    held_out: Share = 0.3


class ByList(_Frozen):
    """ID and OOD labels by name; folders of other labels are left out."""

    by: Literal["list"]
    id: tuple[str, ...] = Field(min_length=1)
    ood: tuple[str, ...] = ()
    held_out: Share = 0.3
    seed: int = Field(default=0, ge=0, lt=2**63)


class ByFolders(_Frozen):
    """`train/`, `val/` (OOD) and `val_on_train/` (held out) below the root, each with class folders."""

    by: Literal["folders"]


class ByImageLists(_Frozen):
    """Text files below the root, an image's path a line, relative to the root; its folder names its label."""

    by: Literal["image_lists"]
    train: str
    held_out: str | None = None
    ood: str | None = None

    @model_validator(mode="after")
    def _something_to_measure(self) -> "ByImageLists":
        if self.held_out is None and self.ood is None:
            raise ValueError("give held_out or ood, or there is nothing to measure on")
        return self


SplitSpec = Annotated[BySeed | ByList | ByFolders | ByImageLists, Field(discriminator="by")]
SPLIT: TypeAdapter[BySeed | ByList | ByFolders | ByImageLists] = TypeAdapter(SplitSpec)


def normalise(name: str) -> str:
    """The form in which folder names and labels are compared.

    In this order: Unicode NFC; a leading number followed by `.` or `_` goes (`001.Black_footed_Albatross`);
    underscores and hyphens become spaces; runs of white space become one space, none at the ends; case is folded.
    """
    text = re.sub(r"^\d+[._]\s*", "", unicodedata.normalize("NFC", name))
    return unicodedata.normalize("NFC", " ".join(re.sub(r"[_-]", " ", text).split()).casefold())


class Item(NamedTuple):
    """One image: its path relative to the root, the index of its label, and its part."""

    path: str
    label: int
    part: Part


@dataclass(frozen=True, eq=False)
class ImageIndex:
    """Which image is of which label and in which part; held in columns, to stay small at a million images.

    `labels` is the whole vocabulary in its order, also where a label has no image. `root` and what is in the images
    are no part of the digest.
    """

    root: str
    labels: tuple[str, ...]
    paths: PackedStrings
    label_indices: "array[int]"
    part_codes: bytes

    @cached_property
    def id_labels(self) -> tuple[int, ...]:
        """Indices of the labels with images to train on or held out."""
        return tuple(sorted(self._labels_of("train") | self._labels_of("held_out")))

    @cached_property
    def ood_labels(self) -> tuple[int, ...]:
        """Indices of the labels never seen in training."""
        return tuple(sorted(self._labels_of("ood")))

    @cached_property
    def digest(self) -> str:
        """sha256 over labels, paths and parts, in hex."""
        digest = hashlib.sha256(json.dumps(self.labels).encode())
        for item in self:
            digest.update(json.dumps(item).encode())
        return digest.hexdigest()

    def _labels_of(self, part: Part) -> set[int]:
        code = PARTS.index(part)
        return {at for at, its in zip(self.label_indices, self.part_codes, strict=True) if its == code}

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[Item]:
        for path, label, code in zip(self.paths, self.label_indices, self.part_codes, strict=True):
            yield Item(path, label, PARTS[code])

    @property
    def items(self) -> list[Item]:
        """All images in order. Iterate over the manifest itself where there are many."""
        return list(self)

    @property
    def counts(self) -> dict[str, int]:
        """How many images each part has, and `id_labels` and `ood_labels`."""
        parts: dict[str, int] = {part: self.part_codes.count(code) for code, part in enumerate(PARTS)}
        return parts | {"id_labels": len(self.id_labels), "ood_labels": len(self.ood_labels)}

    def part(self, part: Part) -> list[int]:
        """Positions of the images of a part, in order."""
        code = PARTS.index(part)
        return [at for at, its in enumerate(self.part_codes) if its == code]

    def file(self, at: int) -> Path:
        """The image at a position, as a path on this machine."""
        return Path(self.root, self.paths[at])

    def save(self, path: Path) -> None:
        """Write JSON lines, a header first and then `[path, label, part]` an image; atomically."""
        header = {
            "manifest": 1,
            "root": self.root,
            "labels": self.labels,
            "num_images": len(self),
            "digest": self.digest,
        }
        with replacing(path) as draft, draft.open("w", encoding="utf-8") as out:
            out.write(json.dumps(header, ensure_ascii=False) + "\n")
            out.writelines(json.dumps(item, ensure_ascii=False) + "\n" for item in self)

    @classmethod
    def load(cls, path: Path) -> "ImageIndex":
        """Read what `save` wrote. Raises FolderError `bad_manifest` where it is cut short or altered."""
        try:
            with path.open(encoding="utf-8") as lines:
                header = json.loads(next(lines, ""))
                image_index = cls.of(header["root"], header["labels"], (Item(*json.loads(line)) for line in lines))
            whole = (header["manifest"], header["digest"]) == (1, image_index.digest)
        except (ValueError, KeyError, TypeError) as error:
            raise FolderError("bad_manifest", f"{path.name} is no manifest: {error}", "") from None
        if not whole:
            raise FolderError("bad_manifest", f"{path.name} was cut short or altered: register it again", "")
        return image_index

    @classmethod
    def of(cls, root: str | Path, labels: Sequence[str], items: Iterator[Item]) -> "ImageIndex":
        """Gather items into columns. Raises ValueError for a part or a label index that there is not."""
        label_indices, part_codes = array("i"), bytearray()

        def paths() -> Iterator[str]:
            for path, label, part in items:
                if not 0 <= label < len(labels):
                    raise ValueError(f"{path}: there is no label {label}")
                label_indices.append(label)
                part_codes.append(PARTS.index(part))
                yield path

        return cls(str(root), tuple(labels), PackedStrings(paths()), label_indices, bytes(part_codes))


def scan(
    root: Path,
    labels: Sequence[str],
    split: BySeed | ByList | ByFolders | ByImageLists,
    folder_map: Mapping[str, str] | None = None,
) -> ImageIndex:
    """Find the images below `root`, match their folders to `labels` and split them.

    A folder is matched by `folder_map` (folder name to label) where it is named there, else by its exact name, else
    by `normalise`. What a sample in a shard says of its label is matched in the same way, and where it is a number that
    is no label's name, it is the label's place (from 0) in `labels`. Labels that share a name must be told apart by
    the caller (`crane (bird)`).

    Raises FolderError, whose `code` is one of: no_such_folder, link, no_images, folder_matches_no_label, ambiguous,
    unknown_label, id_ood_overlap, one_label, missing_list, missing_image, image_twice, outside_root,
    nothing_to_measure, packed_shard, bad_shard, no_label.
    """
    root = image_folders.resolve_folder(root)
    label_of = _matcher(labels, folder_map or {})
    if isinstance(split, ByFolders):
        items = _from_part_folders(root, labels, label_of)
    elif isinstance(split, ByImageLists):
        items = _from_lists(root, split, label_of)
    else:
        items = _from_class_folders(root, labels, split, label_of)
    image_index = ImageIndex.of(root, labels, iter(items))
    _refuse_unfit(image_index)
    return image_index


LabelOf = Callable[[str], int]


def _indices(labels: Sequence[str], form: Callable[[str], str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for at, label in enumerate(labels):
        found.setdefault(form(label), []).append(at)
    return found


def _matcher(labels: Sequence[str], folder_map: Mapping[str, str]) -> LabelOf:
    exact, loose = _indices(labels, str), _indices(labels, normalise)
    for folder, label in folder_map.items():
        if label not in exact:
            detail = f'folder "{folder}" is mapped to "{label}", which is no label of the vocabulary'
            raise FolderError("unknown_label", detail, image_folders.json_pointer("folder_map", folder))

    def label_of(folder: str) -> int:
        if folder in folder_map:
            found = exact[folder_map[folder]]
        else:
            found = exact.get(folder) or loose.get(normalise(folder)) or []
        if not found:
            detail = f'folder "{folder}" matches no label (looked for "{normalise(folder)}"); name it in folder_map'
            raise FolderError("folder_matches_no_label", detail, "/folder_map")
        if len(found) > 1:
            names = ", ".join(f'{at} "{labels[at]}"' for at in found)
            detail = f'folder "{folder}" matches several labels ({names}); name one in folder_map'
            raise FolderError("ambiguous", detail, "/folder_map")
        return found[0]

    return label_of


def _from_shards(root: Path, found: Sequence[Path], labels: Sequence[str], label_of: LabelOf) -> dict[int, list[str]]:
    images: dict[int, list[str]] = {}
    known: dict[str, int] = {}
    for shard in found:
        for path, said in shards.read_samples(shard, root):
            if said not in known:
                known[said] = _place_or_name(said, labels, label_of)
            images.setdefault(known[said], []).append(path)
    if not images:
        raise FolderError("no_images", f"the shards hold no image ({' '.join(IMAGE_SUFFIXES)})", "/path")
    return images


def _place_or_name(said: str, labels: Sequence[str], label_of: LabelOf) -> int:
    try:
        return label_of(said)
    except FolderError:
        if said.isdecimal() and int(said) < len(labels):
            return int(said)
        raise


def _by_label(root: Path, below: Path, labels: Sequence[str], label_of: LabelOf) -> dict[int, list[str]]:
    images: dict[int, list[str]] = {}
    if found_shards := shards.shards_below(below):
        images = _from_shards(root, found_shards, labels, label_of)
        return {label: sorted(images[label]) for label in sorted(images)}
    for folder in image_folders.class_folders(below):
        found = image_folders.images_below(folder, root)
        if not found:
            detail = f'folder "{folder.relative_to(root)}" holds no image ({" ".join(IMAGE_SUFFIXES)})'
            raise FolderError("no_images", detail, "/path")
        images.setdefault(label_of(folder.name), []).extend(found)
    if not images:
        where = "the folder" if below == root else f'"{below.relative_to(root)}"'
        raise FolderError("no_images", f"{where} holds no folder with images, one for each label", "/path")
    return {label: sorted(images[label]) for label in sorted(images)}


def _from_class_folders(root: Path, labels: Sequence[str], split: BySeed | ByList, label_of: LabelOf) -> list[Item]:
    images = _by_label(root, root, labels, label_of)
    if isinstance(split, ByList):
        id_labels, ood_labels = _listed(labels, split, images)
    else:
        drawn = sorted(images, key=lambda at: _rank(split.seed, "label", labels[at], str(at)))
        # Two labels are the fewest that can be told apart, so a small set keeps them for training.
        num_id = max(min(2, len(drawn)), int(len(drawn) * split.id_fraction + 0.5))
        id_labels, ood_labels = drawn[:num_id], drawn[num_id:]
    items = [Item(path, at, "ood") for at in ood_labels for path in images[at]]
    for at in id_labels:
        items += _held_out(images[at], at, split.held_out, split.seed)
    return sorted(items)


def _held_out(paths: list[str], label: int, share: float, seed: int) -> list[Item]:
    drawn = sorted(paths, key=lambda path: _rank(seed, "image", path))
    wanted = max(int(len(paths) * share + 0.5), 1 if share > 0 else 0)
    kept = set(drawn[: min(wanted, len(paths) - 1)])
    return [Item(path, label, "held_out" if path in kept else "train") for path in paths]


def _rank(seed: int, *parts: str) -> bytes:
    # A hash and not a shuffle: adding a label or an image leaves the order of the others as it was.
    return hashlib.sha256("\0".join([str(seed), *parts]).encode()).digest()


def _listed(labels: Sequence[str], split: ByList, images: Mapping[int, list[str]]) -> tuple[list[int], list[int]]:
    exact, loose = _indices(labels, str), _indices(labels, normalise)

    def find(name: str, side: str, index: int) -> int:
        pointer = image_folders.json_pointer("split", side, index)
        found = exact.get(name) or loose.get(normalise(name)) or []
        if len(found) != 1:
            code, says = ("ambiguous", "several labels") if found else ("unknown_label", "no label")
            raise FolderError(code, f'"{name}" names {says} of the vocabulary', pointer)
        if found[0] not in images:
            raise FolderError("no_images", f'label "{name}" has no folder with images', pointer)
        return found[0]

    id_labels = list(dict.fromkeys(find(name, "id", i) for i, name in enumerate(split.id)))
    ood_labels = list(dict.fromkeys(find(name, "ood", i) for i, name in enumerate(split.ood)))
    return id_labels, ood_labels


def _from_part_folders(root: Path, labels: Sequence[str], label_of: LabelOf) -> list[Item]:
    items: list[Item] = []
    places: dict[str, Part] = {"train": "train", "val_on_train": "held_out", "val": "ood"}
    if not (root / "val").is_dir() and not (root / "val_on_train").is_dir():
        raise FolderError("no_such_folder", "neither val/ nor val_on_train/ is there to measure on", "/path")
    for name, part in places.items():
        if part == "train" or (root / name).is_dir():
            found = _by_label(root, image_folders.resolve_folder(root / name, root), labels, label_of)
            items += [Item(path, at, part) for at, paths in found.items() for path in paths]
    return items


def _from_lists(root: Path, split: ByImageLists, label_of: LabelOf) -> list[Item]:
    seen: dict[str, str] = {}
    items: list[Item] = []
    known: dict[str, int] = {}
    for part in PARTS:
        name: str | None = getattr(split, part)
        for number, path in image_folders.listed_images(root, name, f"/split/{part}") if name else ():
            where = f"{name} line {number}"
            if path in seen:
                raise FolderError("image_twice", f"{path} is in {seen[path]} and {where}", f"/split/{part}")
            seen[path] = where
            folder = Path(path).parent.name
            if folder not in known:
                known[folder] = label_of(folder)
            items.append(Item(path, known[folder], part))
    return items


def _refuse_unfit(image_index: ImageIndex) -> None:
    train = image_index._labels_of("train")
    both = sorted(set(image_index.id_labels) & set(image_index.ood_labels))
    if both:
        names = ", ".join(f'"{image_index.labels[at]}"' for at in both[:5])
        raise FolderError("id_ood_overlap", f"{names}: a label is either ID or OOD, not both", "/split")
    if not train:
        raise FolderError("no_images", "no image is left to train on", "/split")
    if len(train) == 1:
        only = image_index.labels[next(iter(train))]
        raise FolderError("one_label", f'only "{only}" has images to train on; two labels are the least', "/split")
    if not image_index.ood_labels and not image_index._labels_of("held_out"):
        raise FolderError("nothing_to_measure", "no image is held out and no label left unseen", "/split")
    untrained = sorted(set(image_index.id_labels) - train)
    if untrained:
        names = ", ".join(f'"{image_index.labels[at]}"' for at in untrained[:5])
        raise FolderError("no_images", f"{names}: images held out, but none to train on", "/split")
