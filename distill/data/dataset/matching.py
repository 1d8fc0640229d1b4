"""Matches the labels of listed images to a vocabulary; everything that matches nothing is named at once. No torch."""

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from distill.data.dataset.faults import MatchFault, raise_if_any
from distill.data.dataset.label_matcher import LabelMatcher
from distill.data.dataset.matched_images import MatchedImages
from distill.data.dataset.subset import choose_folders, chosen_labels, labels_without_folder, without_images
from distill.data.image_source import ImageSource
from distill.data.layouts.listing import Listing
from distill.data.splits import NO_LABEL
from limbeck.shared.label_matching import dataset_form
from limbeck.shared.text import counted

_SHOWN = 5
_NOT_CHOSEN, _NOT_IN_VOCABULARY = "image of a label that is not chosen", "image of a label not in the vocabulary"


@dataclass
class _Matches:
    """`found`: the index of the label of each value. `left_out`: why the images of a value are left out."""

    found: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    faults: list[MatchFault] = field(default_factory=list)


def match_images(listing: Listing, matcher: LabelMatcher, source: ImageSource) -> MatchedImages:
    """The images that `source` chooses from a listing, with the indices of their labels, in the order of the listing.

    Images that are not chosen are counted in the listing. Raises one FolderError for everything that matches nothing
    or several labels: chosen folders, chosen labels, and the label values of images.
    """
    folder_faults = choose_folders(listing, source.folders)
    chosen, label_faults = chosen_labels(matcher, source.labels)
    matches = _match_values(listing, matcher, source, chosen)
    empty = without_images(chosen, matches.found.values(), matches.left_out)
    merged = _merged(listing, matcher, matches.found)
    unmatched = [fault.unknown for fault in matches.faults if fault.unknown]
    hints = [hint for hint in (labels_without_folder(matcher, matches.found, unmatched, source), listing.hint) if hint]
    faults = [*folder_faults, *label_faults, *empty, *matches.faults, *merged]
    raise_if_any(faults, matcher.near, "; ".join(hints))
    return _chosen_images(listing, matches)


def _chosen_images(listing: Listing, matches: _Matches) -> MatchedImages:
    """The images of the labels that were found; the others are counted in the listing."""
    images = listing.images
    used = dict.fromkeys(images.label_codes)
    found = {code: [matches.found.get(value, NO_LABEL) for value in images.label_sets[code]] for code in used}
    if all(len(labels) == 1 and labels[0] != NO_LABEL for labels in found.values()):
        one = {code: label for code, (label,) in found.items()}
        return MatchedImages.of_listed(images, None, array("i", map(one.__getitem__, images.label_codes)))
    rows, labels = array("q"), array("i")
    for row, code in enumerate(images.label_codes):
        for label, value in zip(found[code], images.label_sets[code], strict=True):
            if label == NO_LABEL:
                listing.skipped.add(matches.left_out[value], images.paths[row])
            else:
                rows.append(row)
                labels.append(label)
    return MatchedImages.of_listed(images, rows, labels)


def _match_values(listing: Listing, matcher: LabelMatcher, source: ImageSource, chosen: Mapping[int, str]) -> _Matches:
    """Match every label value of a listing once."""
    matches = _Matches()
    for value in listing.images.label_values():
        found = matcher.of_value(value, listing.aliases.get(value, ())) or _by_index(listing, matcher, value)
        if found and source.labels and not chosen.keys() & set(found):
            matches.left_out[value] = _NOT_CHOSEN
        elif len(found) == 1:
            matches.found[value] = found[0]
        elif not found and (source.labels or source.unmatched == "skip"):
            matches.left_out[value] = _NOT_IN_VOCABULARY
        else:
            matches.faults.append(_fault(listing, matcher, value, found))
    return matches


def _by_index(listing: Listing, matcher: LabelMatcher, value: str) -> list[int]:
    is_index = listing.indices and value.isascii() and value.isdecimal() and int(value) < len(matcher.labels)
    return [int(value)] if is_index else []


def _fault(listing: Listing, matcher: LabelMatcher, value: str, found: list[int]) -> MatchFault:
    noun = listing.label_noun
    if found:
        detail = f'{noun} "{value}" matches several labels ({matcher.named(found)}); name one in folder_map'
        return MatchFault("ambiguous", detail, "/folder_map")
    names = (value, *listing.aliases.get(value, ()))
    looked_for = ", ".join(dict.fromkeys(f'"{dataset_form(name)}"' for name in names[:4]))
    detail = f'{noun} "{value}" matches no label (looked for {looked_for}); name it in folder_map'
    return MatchFault("folder_matches_no_label", detail, "/folder_map", names[1] if len(names) > 1 else value)


def _merged(listing: Listing, matcher: LabelMatcher, found: Mapping[str, int]) -> list[MatchFault]:
    """A fault for each label that several folders match, such as `012.Crane` and `Crane`, unless `folder_map` has all.

    `012.Crane` and `013.Crane` can be a bird and a machine. Label values of shards and tables are spelled by hand; for
    them it is only noted.
    """
    values_of: dict[int, list[str]] = {}
    for value, label in found.items():
        values_of.setdefault(label, []).append(value)
    merged = {
        label: values
        for label, values in values_of.items()
        if len(values) > 1 and not all(map(matcher.is_mapped, values))
    }
    if listing.indices:
        written = [" and ".join(f'"{value}"' for value in values[:_SHOWN]) for values in merged.values()]
        if written:
            more = f"; and {len(written) - _SHOWN} more" if len(written) > _SHOWN else ""
            listing.notes.append(
                f"{counted(len(written), 'label is', 'labels are')} written in several ways: "
                f"{'; '.join(written[:_SHOWN])}{more}"
            )
        return []
    return [
        MatchFault("merged_labels", _merged_detail(listing, values, matcher.labels[label]), "/folder_map")
        for label, values in merged.items()
    ]


def _merged_detail(listing: Listing, values: Iterable[str], label: str) -> str:
    names = ", ".join(f'"{value}"' for value in values)
    remedy = "rename or exclude one, or name each in folder_map if they are one label"
    return f'each {listing.label_noun} of {names} matches "{label}"; {remedy}'
