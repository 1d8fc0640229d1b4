"""Labels as models repeat them: the same in another spelling, and other labels that look alike."""

import pytest

from attributes.parsing.label_echo import echo_score, is_swapped, synonyms
from attributes.types import Label


@pytest.mark.parametrize(
    ("name", "echo"),
    [
        ("creme_brulee", "Crème brûlée"),
        ("Øresund", "oresund"),
        ("macaroni & cheese", "Macaroni and Cheese"),
        ("rock 'n' roll", "Rock and Roll"),
        ("robin", "the robin"),
        ("robin", '"Robin".'),
        ("robin", "robins"),
        ("wolves", "wolf"),
        ("cookies", "cookie"),
        ("sea lion", "sealion"),
        ("AnnualCrop", "annual crop"),
        ("Gray Catbird", "grey catbird"),
        ("sulphur-crested cockatoo", "sulfur-crested cockatoo"),
        ("Nelson_Sharp_tailed_Sparrow", "Nelson's Sharp-tailed Sparrow"),
        ("Le_Conte_Sparrow", "LeConte's sparrow"),
        ("Harris Sparrow", "Harris's Sparrow"),
        ("Albatross, Laysan", "Laysan Albatross"),
        ("Apple Golden", "Golden apple"),
        ("Audi A5 Coupe 2012", "2012 Audi A5 Coupe"),
        ("tench, Tinca tinca", "tench"),
        ("tench, Tinca tinca", "Tinca tinca"),
        ("tench, Tinca tinca", "tench (Tinca tinca)"),
        ("great white shark, white shark, man-eater", "white shark, man-eater"),
        ("airfield/outdoor", "airfield"),
        ("sweatshirt or hoodie", "hoodie"),
        ("tench", "tench, Tinca tinca"),
        ("robin", "robin (Erithacus rubecula)"),
        ("Erithacus rubecula", "European robin (Erithacus rubecula)"),
        ("robin", "robin bird"),
        ("robin", "robin (bird)"),
        ("robin", "label: robin"),
        ("crane (bird)", "crane"),
        ("鶴", "鶴"),
        ("C++", "c++"),
    ],
)
def test_the_same_label(name: str, echo: str) -> None:
    assert echo_score(echo, Label(name), "birds")


@pytest.mark.parametrize(
    ("name", "echo"),
    [
        ("Artic_Tern", "Arctic tern"),
        ("barbeton daisy", "barberton daisy"),
        ("water_lilly", "water lily"),
        ("Black footed Albatros", "Black-footed Albatross"),
        ("abatross", "albatross"),
        ("bromelia", "bromeliad"),
        ("Vermillion Flycatcher", "Vermilion flycatcher"),
        ("rhinocerous", "rhinoceros"),
    ],
)
def test_a_corrected_typo(name: str, echo: str) -> None:
    assert echo_score(echo, Label(name), "birds")


@pytest.mark.parametrize(
    ("name", "echo"),
    [
        ("Laysan albatross", "Black-footed albatross"),
        ("Laysan albatross", "albatross"),
        ("albatross", "Laysan albatross"),
        ("Albatross, Laysan", "Albatross, Black-footed"),
        ("robin", "robin and wren"),
        ("male lion", "lioness"),
        ("male lion", "female lion"),
        ("western gull", "eastern gull"),
        ("common tern", "common teal"),
        ("white-eyed vireo", "white-eared vireo"),
        ("Norfolk terrier", "Norwich terrier"),
        ("red-winged blackbird", "red-winged bluebird"),
        ("necklace", "neck brace"),
        ("crane", "crate"),
        ("crane", "crake"),
        ("horse", "house"),
        ("mouse", "moose"),
        ("eagle", "beagle"),
        ("Taube", "Traube"),
        ("Parus major", "Parus minor"),
        ("Boeing 737-200", "Boeing 737-300"),
        ("A4", "A5"),
        ("type 1", "type 11"),
        ("Galaxy S8", "Galaxy S8+"),
        ("C++", "C"),
        ("C++", "C#"),
        ("+++", "---"),
        ("crane", ""),
        ("crane", "label"),
        ("crane", "crane (machine)"),
    ],
)
def test_another_label(name: str, echo: str) -> None:
    assert echo_score(echo, Label(name), "birds") == 0


@pytest.mark.parametrize(
    ("sense", "echo", "is_same"),
    [
        ("bird", "crane", True),
        ("bird", "Crane (birds)", True),
        ("bird", "crane (wading bird)", True),
        ("large wading bird", "crane (bird)", True),
        ("bird", "crane, bird", True),
        ("bird", "bird crane", True),
        ("bird", "crane [sense: bird]", True),
        ("bird", "crane (birds and machines)", True),
        ("bird", '{"label": "crane", "sense": "bird", "domain": "birds and machines"}', True),
        ("bird", "crane (machine)", False),
        ("bird", "crane machine", False),
        ("machine", "crane (Grus grus)", False),
        ("bird", '{"label": "crane", "sense": "machine"}', False),
        ("bird", '{"name": "crane"', False),
    ],
)
def test_the_sense_in_an_echo(sense: str, echo: str, is_same: bool) -> None:
    assert bool(echo_score(echo, Label("crane", sense), "birds and machines")) == is_same


@pytest.mark.parametrize(
    ("labels", "echoes", "swapped"),
    [
        (("Laysan albatross", "Black-footed albatross"), ("laysan albatross", "black footed albatross"), False),
        (("Laysan albatross", "Black-footed albatross"), ("Albatross, Black-footed", "Laysan albatros"), True),
        (("Laysan albatross", "Black-footed albatross"), ("Laysan albatross", "Laysan albatross"), None),
        (("crane (bird)", "crane (machine)"), ("crane", "crane"), False),
        (("crane (bird)", "crane (machine)"), ("crane", "crane (bird)"), True),
        (("crane (bird)", "crane (machine)"), ("crane (machine)", "crane"), True),
        (("house boat", "boat house"), ("boat house", "house boat"), True),
        (("house boat", "boat house"), ("House-boat", "Boat-house"), False),
    ],
)
def test_the_order_of_a_pair_is_the_one_that_fits_better(
    labels: tuple[str, str], echoes: tuple[str, str], swapped: bool | None
) -> None:
    assert is_swapped([_label(text) for text in labels], echoes) is swapped


def _label(text: str) -> Label:
    name, _, sense = text.rstrip(")").partition(" (")
    return Label(name, sense or None)


def test_synonyms_are_names_and_not_parts_of_one() -> None:
    assert synonyms("tench, Tinca tinca") == ["tench", "Tinca tinca"]
    assert synonyms("Ram C/V Cargo Van") == ["Ram C", "V Cargo Van"]
    assert synonyms("A/C") == ["A/C"]
    assert synonyms("鶴/つる") == ["鶴", "つる"]
