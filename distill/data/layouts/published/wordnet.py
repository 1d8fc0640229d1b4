"""The words of WordNet ids, from the mapping files that come with ImageNet and its relatives. Imports no torch."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from distill.data.layouts.aliases import unshared
from distill.data.layouts.layout_files import bad_list, read_json, read_matlab, read_text, structures
from limbeck.shared.labels import written

MAPPING_FILES = (
    "LOC_synset_mapping.txt",
    "imagenet_class_index.json",
    "map_clsloc.txt",
    "synset_words.txt",
    "classnames.txt",
    "label2text.txt",
    "meta.mat",
    "words.txt",
)
"""From the files that list only the classes to `words.txt`, which lists all of WordNet."""
_FOLDERS = ("", "meta", "devkit", "devkit/data", "ILSVRC2012_devkit_t12/data")
_LINE = re.compile(r"(n\d{8})[\s,]+(\S.*)")
_NUMBER = re.compile(r"\d+\s+(?=\S)")


def is_wnid(name: str) -> bool:
    """Whether a name is a WordNet id of a noun, such as n02012849."""
    return re.fullmatch(r"n\d{8}", name) is not None


def find_mapping(root: Path, base: Path) -> Path | None:
    """The first mapping file in `base`, in a folder of its archive below it, or in a folder between it and `root`."""
    return next((file for name in MAPPING_FILES if (file := find_file(root, base, name))), None)


def find_file(root: Path, base: Path, name: str) -> Path | None:
    """The nearest file of this name, as `find_mapping` looks for it."""
    above = [folder for folder in (base, *base.parents) if folder.is_relative_to(root)]
    candidates = (folder / below / name for folder in above for below in _FOLDERS)
    return next((file for file in candidates if file.is_file()), None)


def read_mapping(root: Path, file: Path) -> dict[str, str]:
    """WordNet id to words (`tench, Tinca tinca`), in the order of the file. Raises FolderError."""
    if file.suffix == ".mat":
        return {str(one["WNID"]): str(one["words"]) for one in _synsets(root, file)}
    if file.suffix == ".json":
        index = read_json(root, file)
        if not isinstance(index, dict) or not all(isinstance(pair, list) and len(pair) == 2 for pair in index.values()):
            raise bad_list(root, file, "must map each index to a WordNet id and a name")
        return {str(wnid): _spaced(str(name)) for wnid, name in index.values()}
    return _read_lines(root, file)


def numbers_of(root: Path, file: Path) -> dict[int, str]:
    """Class number from 1 of ILSVRC2012 to WordNet id, from `meta.mat`. Raises FolderError."""
    return {int(one["ILSVRC2012_ID"]): str(one["WNID"]) for one in _synsets(root, file)}


def _synsets(root: Path, file: Path) -> list[dict[str, Any]]:
    """The synsets of `meta.mat` that are classes: those without others below them."""
    fields = ("ILSVRC2012_ID", "WNID", "words", "num_children")
    found = structures(root, file, read_matlab(root, file), "synsets", fields)
    return [one for one in found if int(one["num_children"]) == 0]


def names_of(words: Mapping[str, str], wnids: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The names of each id that is used: all its words, each synonym, and its first word with the id as its sense."""
    names = {wnid: _names(words[wnid], wnid) for wnid in wnids if wnid in words}
    return unshared(names)


def _names(words: str, wnid: str) -> tuple[str, ...]:
    synonyms = [name for one in words.split(",") if (name := one.strip())]
    return tuple(dict.fromkeys((words, *synonyms, *(written(name, wnid) for name in synonyms[:1]))))


def _read_lines(root: Path, file: Path) -> dict[str, str]:
    found = (_LINE.fullmatch(line.strip()) for line in read_text(root, file).split("\n"))
    rows = [(match[1], match[2]) for match in found if match]
    if not rows:
        raise bad_list(root, file, "has no line with a WordNet id and words")
    if all(_NUMBER.match(words) for _, words in rows):  # `n02119789 1 kit_fox`
        return {wnid: _spaced(_NUMBER.sub("", words, count=1)) for wnid, words in rows}
    return dict(rows)


def _spaced(name: str) -> str:
    return name.replace("_", " ")
