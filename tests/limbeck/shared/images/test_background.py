"""The colour behind transparent parts."""

import pytest

from distill.config.train_config import TrainConfig
from limbeck.shared.images.background import hex_colour


@pytest.mark.image_input("Decoding", "`background`: a name, #rgb, #rrggbb or rgb(…)", "the colour behind transparency")
@pytest.mark.parametrize(
    ("text", "colour"),
    [
        pytest.param("white", "#ffffff", id="name"),
        pytest.param(" Black ", "#000000", id="spaces"),
        pytest.param("#F0a", "#ff00aa", id="short"),
        pytest.param("rgb(1, 2, 3)", "#010203", id="rgb"),
    ],
)
def test_colours(text: str, colour: str) -> None:
    assert hex_colour(text) == TrainConfig.model_validate({"background": text}).data.background == colour


@pytest.mark.parametrize("text", ["", "whit", "#12", "#ffffff80", "transparent"])
def test_what_is_no_colour(text: str) -> None:
    with pytest.raises(ValueError, match="is no colour|alpha value"):
        hex_colour(text)
