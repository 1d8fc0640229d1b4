"""Matches folder names, listed names and label values to the labels of a vocabulary, by one set of rules. No torch."""

import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property

from distill.data.dataset.faults import MatchFault, raise_if_any
from distill.data.image_folders import json_pointer
from distill.data.splits import ByList
from limbeck.shared.label_matching import LabelIndex, dataset_form, loose_form

LabelIds = Mapping[str, str | Sequence[str]]
"""Identifiers of a label in its label file, such as `wnid` and `folder`, and its `aliases`."""
_IDS = ("wnid", "folder", "path", "aliases")
"""Not numbers: an index of a label file may count from 0 or 1."""


class LabelMatcher:
    """Looks up names among `labels`: by `folder_map` (folder name to label), else exactly, else by `dataset_form`,
    else by `loose_form`, else by `label_ids`, the identifiers and aliases of each label.

    Texts of `folder_map` may be in another Unicode normal form than folders and labels: macOS decomposes accents.
    Raises FolderError `unknown_label` if it maps folders to labels that are not in `labels`.
    """

    def __init__(
        self,
        labels: Sequence[str],
        folder_map: Mapping[str, str] | None = None,
        label_ids: Sequence[LabelIds | None] | None = None,
    ) -> None:
        self.labels = labels
        self.folder_map = {folder: _composed(label) for folder, label in (folder_map or {}).items()}
        self._composed_map = {_composed(folder): label for folder, label in self.folder_map.items()}
        self._exact = _positions(labels, str)
        self._mapped = _positions(labels, _composed)
        self._normalised = _positions(labels, dataset_form)
        self._loose = _positions(labels, loose_form)
        self._ids = _positions_of_ids(label_ids or ())
        faults = [
            MatchFault(
                "unknown_label",
                f'folder "{folder}" is mapped to "{label}", which is not a label of the vocabulary',
                json_pointer("folder_map", folder),
                label,
            )
            for folder, label in self.folder_map.items()
            if label not in self._mapped
        ]
        raise_if_any(faults, self.near)

    def is_given(self, name: str) -> bool:
        """Whether a folder is called exactly like a label, or is in `folder_map`."""
        return self.is_mapped(name) or name in self._exact

    def is_mapped(self, folder: str) -> bool:
        """Whether `folder_map` names this folder; another one in another normal form is not meant with it."""
        return folder in self.folder_map

    def find(self, name: str) -> list[int]:
        """Indices of the labels called `name`, without `folder_map`."""
        form = loose_form(name)
        return (
            self._exact.get(name)
            or self._normalised.get(dataset_form(name))
            or (self._loose.get(form) if form else None)
            or self._ids.get(dataset_form(name), [])
        )

    def of_value(self, value: str, aliases: Iterable[str] = ()) -> list[int]:
        """Indices of the labels that a folder or label value can mean: by `folder_map`, its name, or the first of its
        `aliases` that names a label."""
        label = self.folder_map.get(value, self._composed_map.get(_composed(value)))
        if label is not None:
            return self._mapped[label]
        return next((found for name in (value, *aliases) if (found := self.find(name))), [])

    def near(self, name: str) -> list[str]:
        """The labels most similar to a name, for a message."""
        return self._index.near(name)

    def named(self, positions: Iterable[int]) -> str:
        """Labels with their indices, for a message."""
        return ", ".join(f'{at} "{self.labels[at]}"' for at in positions)

    def of_list(self, split: ByList, with_images: Collection[int]) -> tuple[list[int], list[int]]:
        """Indices of the ID and OOD labels that `split` names, each once, in its order.

        `with_images`: indices of the labels that have images. Raises FolderError unknown_label, ambiguous or no_images,
        which names every such label.
        """
        faults: list[MatchFault] = []

        def find_all(names: Sequence[str], field: str) -> list[int]:
            positions: dict[int, None] = {}
            for at, name in enumerate(names):
                pointer = json_pointer("split", field, at)
                found = self.find(name)
                if not found:
                    faults.append(
                        MatchFault("unknown_label", f'"{name}" names no label of the vocabulary', pointer, name)
                    )
                elif len(found) > 1:
                    faults.append(MatchFault("ambiguous", f'"{name}" names several labels of the vocabulary', pointer))
                elif found[0] not in with_images:
                    faults.append(MatchFault("no_images", f'label "{name}" has no images', pointer))
                else:
                    positions[found[0]] = None
            return list(positions)

        id_labels, ood_labels = find_all(split.id, "id"), find_all(split.ood, "ood")
        raise_if_any(faults, self.near)
        return id_labels, ood_labels

    @cached_property
    def _index(self) -> LabelIndex:
        return LabelIndex([(label, None) for label in self.labels])


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _positions(labels: Sequence[str], key: Callable[[str], str]) -> dict[str, list[int]]:
    positions: dict[str, list[int]] = {}
    for at, label in enumerate(labels):
        positions.setdefault(key(label), []).append(at)
    return positions


def _positions_of_ids(label_ids: Sequence[LabelIds | None]) -> dict[str, list[int]]:
    positions: dict[str, list[int]] = {}
    for at, ids in enumerate(label_ids):
        values = [ids[key] for key in _IDS if key in ids] if ids else []
        names = [name for value in values for name in ([value] if isinstance(value, str) else value)]
        for form in dict.fromkeys(map(dataset_form, names)):
            positions.setdefault(form, []).append(at)
    return positions
