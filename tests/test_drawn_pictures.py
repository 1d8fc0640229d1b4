"""The pictures of both generated worlds, to the bit, as they were before their drawing code was shared."""

import hashlib
from random import Random

import numpy as np
from numpy.typing import NDArray

from examples.beetles.drawing import STYLES
from examples.beetles.drawing import draw as draw_beetle
from examples.beetles.parts import random_beetle
from examples.fieldguide.drawing import draw as draw_creature
from examples.fieldguide.language import random_attributes


def digest(pictures: list[NDArray[np.uint8]]) -> str:
    return hashlib.sha256(b"".join(picture.tobytes() for picture in pictures)).hexdigest()


def test_creatures_are_drawn_as_before() -> None:
    rng = Random("pictures")
    drawn = [draw_creature(random_attributes(rng), np.random.default_rng([7, number])) for number in range(120)]
    assert digest(drawn) == "399d3c6ffded845dee9cb36815eaca0a8d3c06f104b31ad34ed27b8a24224ded"


def test_beetles_are_drawn_as_before() -> None:
    rng = Random("pictures")
    drawn = [
        draw_beetle(random_beetle(rng), STYLES[number % len(STYLES)], np.random.default_rng([7, number]))
        for number in range(160)
    ]
    assert digest(drawn) == "4fa1b5338feffbb4d2c246a63d0e6592c2d3ff2b5bcded5210b3c26091ececde"
