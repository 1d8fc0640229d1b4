"""Matches folder names, listed names and label values to the labels of a vocabulary, by one set of rules. No torch."""

from collections.abc import Callable, Collection, Mapping, Sequence

from distill.data.image_folders import FolderError, json_pointer
from distill.data.splits import ByList
from limbeck.shared.label_matching import dataset_form, loose_form


class LabelMatcher:
    """Looks up names among `labels`: by `folder_map` (folder name to label), else exactly, else by `dataset_form`,
    else by `loose_form`.

    Raises FolderError `unknown_label` if `folder_map` maps a folder to a label that is not in `labels`.
    """

    def __init__(self, labels: Sequence[str], folder_map: Mapping[str, str] | None = None) -> None:
        self._labels = labels
        self._folder_map = folder_map or {}
        self._exact = _positions(labels, str)
        self._normalised = _positions(labels, dataset_form)
        self._loose = _positions(labels, loose_form)
        for folder, label in self._folder_map.items():
            if label not in self._exact:
                detail = f'folder "{folder}" is mapped to "{label}", which is not a label of the vocabulary'
                raise FolderError("unknown_label", detail, json_pointer("folder_map", folder))

    def is_given(self, name: str) -> bool:
        """Whether a folder is called exactly like a label, or is in `folder_map`."""
        return self.is_mapped(name) or name in self._exact

    def is_mapped(self, folder: str) -> bool:
        """Whether `folder_map` gives the label of a folder."""
        return folder in self._folder_map

    def find(self, name: str) -> list[int]:
        """Indices of the labels called `name`, without `folder_map`."""
        return self._exact.get(name) or self._normalised.get(dataset_form(name)) or self._loosely(name)

    def _loosely(self, name: str) -> list[int]:
        form = loose_form(name)
        return self._loose.get(form, []) if form else []

    def of_folder(self, folder: str) -> int:
        """Index of the label of a folder. Raises FolderError folder_matches_no_label or ambiguous."""
        found = self._exact[self._folder_map[folder]] if folder in self._folder_map else self.find(folder)
        if not found:
            detail = f'folder "{folder}" matches no label (looked for "{dataset_form(folder)}"); name it in folder_map'
            raise FolderError("folder_matches_no_label", detail, "/folder_map")
        if len(found) > 1:
            names = ", ".join(f'{at} "{self._labels[at]}"' for at in found)
            detail = f'folder "{folder}" matches several labels ({names}); name one in folder_map'
            raise FolderError("ambiguous", detail, "/folder_map")
        return found[0]

    def of_sample(self, value: str) -> int:
        """Index of the label of a shard sample: as for a folder, else `value` read as an index from 0."""
        try:
            return self.of_folder(value)
        except FolderError:
            if value.isdecimal() and int(value) < len(self._labels):
                return int(value)
            raise

    def of_list(self, split: ByList, with_images: Collection[int]) -> tuple[list[int], list[int]]:
        """Indices of the ID and OOD labels that `split` names, each once, in its order.

        `with_images`: indices of the labels that have images. Raises FolderError unknown_label, ambiguous or no_images.
        """

        def find_one(name: str, field: str, position: int) -> int:
            pointer = json_pointer("split", field, position)
            found = self.find(name)
            if len(found) != 1:
                code, count = ("ambiguous", "several labels") if found else ("unknown_label", "no label")
                raise FolderError(code, f'"{name}" names {count} of the vocabulary', pointer)
            if found[0] not in with_images:
                raise FolderError("no_images", f'label "{name}" has no folder with images', pointer)
            return found[0]

        id_labels = list(dict.fromkeys(find_one(name, "id", at) for at, name in enumerate(split.id)))
        ood_labels = list(dict.fromkeys(find_one(name, "ood", at) for at, name in enumerate(split.ood)))
        return id_labels, ood_labels


def _positions(labels: Sequence[str], key: Callable[[str], str]) -> dict[str, list[int]]:
    positions: dict[str, list[int]] = {}
    for at, label in enumerate(labels):
        positions.setdefault(key(label), []).append(at)
    return positions
