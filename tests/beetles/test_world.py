"""The beetles: frozen, in disjoint groups and families that differ in one part, drawn in four styles."""

import json
from collections import defaultdict
from itertools import combinations
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image

from examples.beetles import world
from examples.beetles.drawing import IMAGE_PX, STYLES, draw
from examples.beetles.parts import DESCRIBED, PARTS, caption, random_beetle, wordings
from examples.beetles.world import FAMILY, GROUP_SIZES, digests, main, species, species_image


def test_the_beetles_match_their_lock_file() -> None:
    assert digests() == json.loads(world.LOCK.read_text(encoding="utf-8"))


def test_no_beetle_and_no_name_is_in_two_places() -> None:
    assert {group: len(species(group)) for group in GROUP_SIZES} == GROUP_SIZES
    assert len({tuple(one.beetle.values()) for one in species()}) == len({one.name for one in species()}) == 880
    with pytest.raises(ValueError, match="no group 'tset': choose one of train, validation, test"):
        species("tset")


def test_the_species_of_a_family_differ_in_one_part() -> None:
    families = defaultdict(list)
    for one in species():
        families[one.family].append(one)
    for members in families.values():
        assert len(members) <= FAMILY
        assert len({one.group for one in members}) == 1
        for a, b in combinations(members, 2):
            assert [part for part in PARTS if a.beetle[part] != b.beetle[part]] == [a.varies]
    assert sum(len(members) > 1 for members in families.values()) >= 240
    for group in GROUP_SIZES:
        for part, values in PARTS.items():
            assert {one.beetle[part] for one in species(group)} == set(values)


def test_texts_are_true_and_have_no_name() -> None:
    for one in species("validation"):
        assert len(one.phrases) == len(DESCRIBED)
        for part, text in zip(DESCRIBED, one.phrases, strict=True):
            assert text in wordings(one.beetle, part)
        assert one.name not in one.sentence
    rng = Random(0)
    for _ in range(200):
        beetle = random_beetle(rng)
        text, stated = caption(rng, beetle)
        assert stated.items() <= beetle.items()
        for part in DESCRIBED:
            said = any(wording in text for wording in wordings(beetle, part))
            assert said == (part in stated), text


@pytest.mark.parametrize("style", STYLES)
def test_every_part_is_visible_in_every_style(style: str) -> None:
    threshold = 12 if style == "night" else 25  # the light of the night is half of the day's
    base = {part: values[0] for part, values in PARTS.items()}
    for part, values in PARTS.items():
        drawn = [draw({**base, part: value}, style, np.random.default_rng(5)).astype(int) for value in values]
        for a, b in combinations(drawn, 2):
            assert a.shape == (IMAGE_PX, IMAGE_PX, 3)
            assert (np.abs(a - b).max(axis=2) > threshold).sum() >= 8, part


def test_images_depend_on_species_number_and_style_alone() -> None:
    one, other = species("test")[:2]
    assert np.array_equal(species_image(one, 3), species_image(one, 3))
    in_turns = [species_image(one, number) for number in range(4)]
    by_style = [species_image(one, 0, style=style) for style in STYLES]
    assert sum(np.array_equal(in_turns[0], styled) for styled in by_style) == 1
    assert len({image.tobytes() for image in [*in_turns, *by_style, species_image(other, 3)]}) == 8


def test_the_command_writes_a_domain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = species("test")[:2]
    monkeypatch.setattr(world, "species", lambda group=None: few)
    monkeypatch.setattr(world, "GROUP_SIZES", {"test": 2})
    main(["--out", str(tmp_path), "--groups", "test", "--images-per-species", "2", "--style", "ink"])
    assert "4 images in" in capsys.readouterr().out
    with Image.open(tmp_path / few[1].name / "0001.png") as image:
        assert np.array_equal(np.asarray(image), species_image(few[1], 1, style="ink"))
