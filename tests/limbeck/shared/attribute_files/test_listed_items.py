"""Lists with bullets or numbers become their items; other texts stay whole."""

import pytest

from limbeck.shared.attribute_files.listed_items import listed_items


@pytest.mark.parametrize(
    "introduction",
    [
        "Useful features:\n",
        "Here are some ways to tell a crane:\n\n",
        "The following help:\n",
        "Visual traits of it:\n",
        "",
    ],
)
def test_an_introduction_before_a_list_is_no_item(introduction: str) -> None:
    assert listed_items(f"{introduction}1. a long neck\n2. grey wings\n") == ["a long neck", "grey wings"]


@pytest.mark.parametrize("text", ["a neck:\n- long\n- grey", "- one item", "Features: a neck", "a neck\n- grey", ""])
def test_other_texts_are_whole(text: str) -> None:
    assert listed_items(text) == [text]
