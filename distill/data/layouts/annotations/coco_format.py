"""Files in the JSON format of COCO: `images`, `annotations` and `categories`. Imports no torch."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from distill.data.files.regular_files import open_regular
from distill.data.layouts.aliases import unshared
from distill.data.layouts.layout_files import bad_list, read_json
from distill.data.layouts.listed_images import ListedImages
from distill.data.layouts.listing import Listing
from limbeck.shared.labels import written
from limbeck.shared.text import counted

_KEYS = (
    *("images", "annotations", "categories"),
    *("id", "file_name", "image_id", "category_id", "name", "common_name", "image_dir_name", "supercategory"),
)
_HEAD = re.compile(rb'\s*\{\s*"(info|images|annotations|categories|licenses|type)"\s*:')
Category: TypeAlias = dict[str, Any]


def is_coco_format(file: Path) -> bool:
    """Whether a JSON file begins like one of COCO."""
    try:
        with open_regular(file) as opened:
            return _HEAD.match(opened.read(1000).removeprefix(b"\xef\xbb\xbf")) is not None
    except OSError:
        return False


def add_file(
    images: ListedImages,
    root: Path,
    file: Path,
    part: str | None,
    folders: Iterable[str],
    names: Mapping[int, str] | None = None,
) -> None:
    """Add the images of a file, each with the names of all its categories. Raises FolderError.

    `folders`: relative to the base of the layout, where images may lie. `names`: of categories by id, instead of those
    in the file. The other names of a category are its common name and its folder (iNaturalist).
    """
    content = read_json(root, file, _KEYS)
    try:
        categories = {one["id"]: {**one, **_renamed(names, one["id"])} for one in content["categories"]}
        labels: dict[Any, dict[Any, None]] = {}  # ordered sets of category ids
        for annotation in content.get("annotations", ()):
            labels.setdefault(annotation["image_id"], {})[annotation["category_id"]] = None
        used = dict.fromkeys(id for ids in labels.values() for id in ids)
        if unknown := [id for id in used if id not in categories]:
            detail = f"has annotations of the category {unknown[0]!r}, which is not in its categories"
            raise bad_list(root, file, detail)
        values = _values([categories[id] for id in used])
        for image in content["images"]:
            of_image = [values[id] for id in labels.get(image["id"], ())]
            images.add(str(image["file_name"]), of_image, part, folders=folders)
        _note_other_images(images.listing, file, labels, content)
    except (KeyError, TypeError, AttributeError) as error:
        raise bad_list(root, file, f"is not in the format of COCO: {type(error).__name__} {error}") from None
    aliases = {values[id]: _other_names(categories[id]) for id in values}
    images.listing.aliases = {**images.listing.aliases, **unshared(aliases)}


def _note_other_images(listing: Listing, file: Path, labels: Collection[Any], content: Mapping[str, Any]) -> None:
    """Say how many images are annotated but not listed: they are not in the dataset."""
    listed = {image["id"] for image in content["images"]}
    if others := [id for id in labels if id not in listed]:
        listing.notes.append(
            f"{file.name}: {counted(len(others), 'image is', 'images are')} annotated but not listed, and left out, "
            f"such as the id {others[0]!r}"
        )


def _renamed(names: Mapping[int, str] | None, id: int) -> Category:
    return {"name": names[id]} if names and id in names else {}


def _values(categories: Sequence[Category]) -> dict[Any, str]:
    """The label value of each category id: its name; with its supercategory or its id, if several share the name."""
    counts = Counter(one["name"] for one in categories)
    specific = {one["id"]: written(one["name"], one.get("supercategory")) for one in categories}
    specific_counts = Counter(specific.values())
    return {
        one["id"]: one["name"]
        if counts[one["name"]] == 1
        else specific[one["id"]]
        if specific_counts[specific[one["id"]]] == 1
        else written(one["name"], str(one["id"]))
        for one in categories
    }


def _other_names(category: Category) -> tuple[str, ...]:
    return tuple(str(category[key]) for key in ("common_name", "image_dir_name") if category.get(key))
