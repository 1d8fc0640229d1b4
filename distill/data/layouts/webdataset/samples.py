"""Members of a shard grouped into samples: an image with its label and, if there is one, its caption. No torch.

As in the webdataset library, the key of a member is its name up to the first dot: `0001.jpg`, `0001.cls` and
`0001.seg.png` form the sample `0001`. Keys that hold dots themselves (`img.0001.jpg`, `img.0001.cls`) are recognised: a
name up to its suffix with both an image and a label is a sample. Members need not be adjacent.

The label is the content of `.cls`, `.class` or `.label` (also with `.txt` after it), else a field of `.json`. `.txt` is
the caption.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

from distill.data.files.exclusion import Exclusion
from distill.data.files.regular_files import open_regular
from distill.data.image_folders import FolderError
from distill.data.layouts.webdataset.members import Member, read_members
from limbeck.shared.images.kinds import is_image_name
from limbeck.shared.text_files import TextFileError, decode

_LABEL_SUFFIXES = (".cls.txt", ".class.txt", ".label.txt", ".cls", ".class", ".label")
_JSON_SUFFIXES = (".json", ".jsn")
_CAPTION_SUFFIX = ".txt"
_LABEL_FIELDS = ("label", "cls", "class")
_NAME_FIELDS = ("label_name", "class_name")
_MAX_TEXT, _MAX_JSON = 64 << 10, 1 << 20  # bytes


class ShardSample(NamedTuple):
    """`path`: of its image, relative to the root (`distill.data.shards`). `labels`: as the shard gives them."""

    path: str
    labels: tuple[str, ...]
    caption: str | None = None


@dataclass
class _Parts:
    """Members of one key. `label`, `json`, `caption`: the first of each kind."""

    key: str
    images: list[Member] = field(default_factory=list)
    label: Member | None = None
    json: Member | None = None
    caption: Member | None = None
    others: list[Member] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        return bool(self.images and (self.label or self.json))


@dataclass
class ShardSamples:
    """The samples of a shard, and an example of those whose key holds a dot."""

    samples: list[ShardSample]
    dotted_key: str = ""


def read_samples(shard: Path, root: Path, exclusion: Exclusion) -> ShardSamples:
    """The samples of a shard below `root`, in the order of their first members; those without an image are reported.

    Raises FolderError: those of `read_members`, no_label for an image without a label, and several_images.
    """
    name = shard.relative_to(root).as_posix()
    groups: dict[str, dict[str, _Parts]] = {}
    for member in read_members(shard, root, exclusion):
        _sort_in(groups, member)
    found = [(key, parts) for key, by_key in groups.items() for parts in _samples_of(name, key, by_key, exclusion)]
    if unlabelled := [parts.key for _, parts in found if parts.label is None and parts.json is None]:
        more = f" (and {len(unlabelled) - 1} more samples)" if len(unlabelled) > 1 else ""
        detail = (
            f'{name}: sample "{unlabelled[0]}" has no .cls, and no "label" in a .json{more}; '
            "if the tar is a folder of images, unpack it into a folder named by its label"
        )
        raise FolderError("no_label", detail, "/path")
    with open_regular(shard) as file:
        samples = [_sample(name, parts, file) for _, parts in found]
    dotted = (parts.key for key, parts in found if parts.key != key and len(groups[key]) > 1)
    return ShardSamples(samples, next(dotted, ""))


def _sort_in(groups: dict[str, dict[str, _Parts]], member: Member) -> None:
    folder, slash, base = member.path.rpartition("/")
    key = folder + slash + base.partition(".")[0]
    suffix = _suffix(base)
    own_key = member.path.removesuffix(base[len(base) - len(suffix) :]) if suffix else member.path
    parts = groups.setdefault(key, {}).setdefault(own_key, _Parts(own_key))
    if suffix in _LABEL_SUFFIXES:
        parts.label = parts.label or member
    elif suffix in _JSON_SUFFIXES:
        parts.json = parts.json or member
    elif suffix == _CAPTION_SUFFIX:
        parts.caption = parts.caption or member
    elif is_image_name(base):
        parts.images.append(member)
    else:
        parts.others.append(member)


def _suffix(base: str) -> str:
    """The suffix of a member, in lower case; the suffixes of labels may have two dots."""
    lower = base.lower()
    for suffix in _LABEL_SUFFIXES:
        if lower.endswith(suffix):
            return suffix
    _, dot, last = lower.rpartition(".")
    return dot + last if dot else ""


def _samples_of(shard: str, key: str, by_key: dict[str, _Parts], exclusion: Exclusion) -> Iterator[_Parts]:
    """The samples among members that are equal up to the first dot, each with one image."""
    base = by_key.get(key)
    dotted = [parts for own_key, parts in by_key.items() if own_key != key and parts.is_complete]
    if base is not None and base.is_complete:
        dotted = [parts for parts in dotted if parts.label]  # `0001.seg.png` with `0001.seg.json` is no sample
    if not dotted:
        yield from _one_sample(shard, key, list(by_key.values()), base, exclusion)
        return
    with_label = base is not None and base.is_complete
    for parts in by_key.values():
        if parts.images and (parts in dotted or parts is base or not with_label):
            yield _with_one_image(shard, parts, exclusion)
        else:
            _skip_rest(shard, parts, parts.images, exclusion)


def _one_sample(
    shard: str, key: str, all_parts: Sequence[_Parts], base: _Parts | None, exclusion: Exclusion
) -> Iterator[_Parts]:
    merged = _Parts(key)
    for parts in sorted(all_parts, key=lambda parts: parts is not base):
        merged.images += parts.images
        merged.label = merged.label or parts.label
        merged.json = merged.json or parts.json
        merged.caption = merged.caption or parts.caption
        merged.others += parts.others
    if not merged.images:
        _skip_rest(shard, merged, [], exclusion)
        return
    has_own_image = base is not None and base.images
    if len(merged.images) > 1 and not has_own_image and (merged.label or merged.json):
        names = ", ".join(member.path for member in merged.images[:4])
        suffix = merged.images[-1].path.removeprefix(key)
        detail = (
            f'{shard}: sample "{key}" has {len(merged.images)} images ({names}): '
            f'leave out all but one by a pattern, such as "*{suffix}" in exclude'
        )
        raise FolderError("several_images", detail, "/images/exclude")
    yield _with_one_image(shard, merged, exclusion)


def _with_one_image(shard: str, parts: _Parts, exclusion: Exclusion) -> _Parts:
    _skip_rest(shard, parts, parts.images[1:], exclusion)
    del parts.images[1:]
    return parts


def _skip_rest(shard: str, parts: _Parts, images: Sequence[Member], exclusion: Exclusion) -> None:
    """Report images that are not used, or a sample that has none."""
    for member in images:
        exclusion.skip("further image of a sample", f"{shard}/{member.path}")
    if not parts.images:
        rest = [*filter(None, (parts.label, parts.json, parts.caption)), *parts.others]
        exclusion.skip("sample without an image", f"{shard}/{rest[-1].path}")


def _sample(shard: str, parts: _Parts, file: BinaryIO) -> ShardSample:
    (image,) = parts.images
    if parts.label is not None:
        text = _text(shard, parts.label, file, _MAX_TEXT).strip()
        labels: tuple[str, ...] = (text,) if text else ()
    else:
        assert parts.json is not None  # samples without a label are refused
        labels = _labels_in_json(shard, parts.json, file)
    if not labels:
        member = parts.label or parts.json
        assert member is not None
        raise FolderError(
            "no_label", f'{shard}: "{member.path}" gives no label: add it, or exclude the sample', "/path"
        )
    caption = _caption(parts.caption, file)
    return ShardSample(f"{shard}!{image.first}+{image.size}!{image.name}", labels, caption)


def _labels_in_json(shard: str, member: Member, file: BinaryIO) -> tuple[str, ...]:
    try:
        fields = json.loads(_text(shard, member, file, _MAX_JSON))
    except (ValueError, RecursionError) as error:
        raise FolderError("no_label", f'{shard}: "{member.path}" cannot be read: {error}', "/path") from None
    if not isinstance(fields, dict):
        return ()
    value = next((fields[name] for name in _LABEL_FIELDS if fields.get(name) is not None), None)
    names = [fields[name] for name in _NAME_FIELDS if isinstance(fields.get(name), str) and fields[name].strip()]
    if names and not isinstance(value, str):  # a name says more than a number
        value = names[0]
    values = value if isinstance(value, list) else [value]
    return tuple(dict.fromkeys(text for one in values if (text := _label_text(one))))


def _label_text(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _caption(member: Member | None, file: BinaryIO) -> str | None:
    if member is None:
        return None
    return " ".join(_bytes(member, file, _MAX_TEXT).decode("utf-8", "replace").split()) or None


def _text(shard: str, member: Member, file: BinaryIO, max_bytes: int) -> str:
    if member.size > max_bytes:
        detail = f'{shard}: "{member.path}" has {member.size} bytes, and is too large for a label ({max_bytes} bytes)'
        raise FolderError("no_label", detail, "/path")
    data = _bytes(member, file, max_bytes)
    if data.isascii() and b"\0" not in data:
        return data.decode("ascii")
    try:
        return decode(data).text
    except TextFileError as error:
        raise FolderError("no_label", f'{shard}: "{member.path}" cannot be read: {error}', "/path") from None


def _bytes(member: Member, file: BinaryIO, max_bytes: int) -> bytes:
    file.seek(member.first)
    return file.read(min(member.size, max_bytes))
