"""The generated species, images and texts: reproducible, in three disjoint groups, with true descriptions."""

import re
from collections import Counter
from itertools import combinations
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image

from examples.fieldguide import freeze
from examples.fieldguide.language import (
    ATTRIBUTES,
    COLOUR_WORDS,
    NAME_WORDS,
    caption,
    is_valid,
    random_attributes,
    with_article,
)
from examples.fieldguide.species import make_species, num_differences
from examples.fieldguide.world import GROUPS, IMAGE_PX, draw, main, species, species_image, write_class_folders


def test_the_field_guide_matches_its_lock_file() -> None:
    assert freeze.digests() == freeze.locked()


def test_the_committed_species_are_those_that_the_script_generates() -> None:
    assert [record["attributes"] for record in make_species()] == [one.attributes for one in species()]
    assert [record["name"] for record in make_species()] == [one.name for one in species()]


def test_groups_are_disjoint_and_names_unique() -> None:
    assert [len(species(group)) for group in GROUPS] == [80, 40, 40]
    names = [one.name.lower() for one in species()]
    assert len(set(names)) == len(names)
    invented = [name.split()[-1] for name in names]
    assert len(set(invented)) == len(invented)


def test_any_two_species_differ_in_at_least_two_attributes() -> None:
    assert min(num_differences(a.attributes, b.attributes) for a, b in combinations(species(), 2)) >= 2


@pytest.mark.parametrize("group", GROUPS)
def test_each_group_contains_every_value(group: str) -> None:
    for key, values in ATTRIBUTES.items():
        assert {one.attributes[key] for one in species(group)} == set(values)
    assert all(is_valid(one.attributes) for one in species(group))


@pytest.mark.parametrize("group", GROUPS)
def test_a_third_to_a_half_of_the_names_contain_a_true_hint(group: str) -> None:
    num_hinted = 0
    for one in species(group):
        words_of_name = one.name.split()
        true = {word for key, values in NAME_WORDS.items() for word in values.get(one.attributes[key], ())}
        any_word = {word for values in NAME_WORDS.values() for words in values.values() for word in words}
        assert {word for word in words_of_name if word in any_word} <= true
        num_hinted += bool(true & set(words_of_name))
    assert 1 / 3 <= num_hinted / len(species(group)) <= 1 / 2


def test_sentences_and_phrases_have_the_right_length() -> None:
    for one in species():
        assert 20 <= len(one.sentence.split()) <= 33
        assert 5 <= len(one.phrases) <= 8
        assert all(set(entry) == {"part", "value", "phrase"} for entry in one.phrases)
        assert len({entry["part"] for entry in one.phrases}) == len(one.phrases)
        assert any(re.search(rf"\b{word}\b", one.sentence) for word in COLOUR_WORDS[one.attributes["colour"]])
        assert not re.search(r"\ba [aeiou]", one.sentence, re.IGNORECASE)
    openings = Counter(one.sentence.split()[1] for one in species())
    assert max(openings.values()) < len(species()) / 4


def test_a_caption_states_only_true_attributes() -> None:
    rng = Random(0)
    stated_keys = set()
    for _ in range(300):
        looks = random_attributes(rng)
        text, stated = caption(rng, looks)
        assert stated.items() <= looks.items()
        assert stated, text
        stated_keys |= set(stated)
        if stated.get("colour"):
            assert any(word in text.lower() for word in COLOUR_WORDS[stated["colour"]])
    assert stated_keys == set(ATTRIBUTES)


def test_images_depend_on_species_number_and_seed() -> None:
    one, other = species("validation")[:2]
    assert np.array_equal(species_image(one, 3, 1), species_image(one, 3, 1))
    assert not np.array_equal(species_image(one, 3, 1), species_image(one, 4, 1))
    assert not np.array_equal(species_image(one, 3, 1), species_image(one, 3, 2))
    assert not np.array_equal(species_image(one, 3, 1), species_image(other, 3, 1))


@pytest.mark.parametrize("key", [key for key in ATTRIBUTES if key not in ("pattern", "pattern_colour")])
def test_every_attribute_is_visible(key: str) -> None:
    """If one attribute changes, many pixels change by much more than the noise."""
    looks = {
        "body": "round",
        "colour": "red",
        "pattern": "plain",
        "pattern_colour": "none",
        "tail": "none",
        "wings": "none",
        "head": "none",
        "legs": "none",
        "mouth": "none",
        "eyes": "small",
    }
    drawn = {value: draw({**looks, key: value}, np.random.default_rng(5)).astype(int) for value in ATTRIBUTES[key]}
    for a, b in combinations(drawn.values(), 2):
        assert (np.abs(a - b).max(axis=2) > 40).sum() >= 25


def test_with_article() -> None:
    assert with_article("a amber belt on a red and a azure coat") == "an amber belt on a red and an azure coat"


@pytest.mark.slow
def test_class_folders_do_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    assert write_class_folders(tmp_path / "one", ["validation"], 5, 7, workers=1) == 200
    assert write_class_folders(tmp_path / "two", ["validation"], 5, 7, workers=2) == 200
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.png"))
    assert len(files) == 200
    assert {str(path.parent) for path in files} == {one.name.replace(" ", "_") for one in species("validation")}
    for path in files:
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes()
    with Image.open(tmp_path / "one" / files[0]) as image:
        assert image.size == (IMAGE_PX, IMAGE_PX)
        assert image.mode == "RGB"


def test_the_command_prints_its_rate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--out", str(tmp_path), "--groups", "test", "--images-per-species", "1"])
    assert re.search(r"40 images .* per second", capsys.readouterr().out)


def test_an_unknown_group_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--out", str(tmp_path), "--groups", "tset"])
    assert "no group 'tset': choose one of train, validation, test" in capsys.readouterr().err
