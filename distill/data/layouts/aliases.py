"""Other names of label values, such as the words of a WordNet id or the common name of a species."""

from collections.abc import Mapping, Sequence

from limbeck.shared.label_matching import loose_form


def unshared(names: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """The names of each value, in order, without those that are an earlier name of another value.

    ImageNet has `maillot` and `maillot, tank suit`; only the first may be called "maillot". A name that two values have
    at the same place is kept: the matcher refuses it with both values.
    """
    first_place: dict[str, int] = {}
    for value in names:
        for place, name in enumerate(names[value]):
            form = loose_form(name)
            first_place[form] = min(place, first_place.get(form, place))
    return {
        value: tuple(name for place, name in enumerate(names[value]) if first_place[loose_form(name)] == place)
        for value in names
    }
