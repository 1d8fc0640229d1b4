"""Statements about something other than appearance, and visual sentences of the same form."""

import pytest

from attributes.gates.label_names import name_words
from attributes.gates.statements import statements


@pytest.mark.parametrize(
    ("text", "predicate"),
    [
        ("It is a seabird.", "is a seabird"),
        ("It's a mammal.", "a mammal"),
        ("They are birds.", "are birds"),
        ("It is a pachyderm", "is a pachyderm"),
        ("It is a member of the cat family", "is a member of"),
        ("It is the state bird of Ohio", "is the state bird of"),
        ("It is an animal from Africa.", "is an animal"),
        ("It is a common garden bird", "is a common garden bird"),
        ("This is a traditional dessert", "is a traditional dessert"),
        ("The bird is a passerine.", "is a passerine"),
        ("The crane is a bird in the family Gruidae.", "is a bird"),
        ("Cranes are large birds. They live in flocks.", "live"),
        ("It eats fish", "eats"),
        ("It flies at night.", "flies"),
        ("It was invented in 1890.", "was invented"),
        ("It is considered lucky", "is considered"),
        ("It is very loyal", "is very loyal"),
        ("It can be kept as a pet", "can be kept"),
        ("It costs ten dollars.", "costs"),
        ("This plant needs full sun", "needs"),
        ("These small birds belong to the heron family", "belong"),
    ],
)
def test_statements_are_found(text: str, predicate: str) -> None:
    assert list(statements(text, name_words("crane"))) == [predicate]


@pytest.mark.parametrize(
    "text",
    [
        "It is red with black wings.",
        "The bill is long",
        "It is a small bird",
        "It is a bird with a long bill",
        "It is a cylinder.",
        "It is a photo of a crane",
        "This is a crane.",
        "They are orange",
        "It is rose",
        "It has four legs",
        "It has a 6.",
        "It is a structure from which water flows",
        "It looks like a swan",
        "It is a mix of red and blue",
        "It is made of wood",
        "It comes in red and blue",
        "a stripe that flies up to the eye",
        "a seabird",
        "The crane has a red crown and a long neck.",
        "It",
        "This bird",
        "",
        ".",
    ],
)
def test_visual_sentences_are_no_statements(text: str) -> None:
    assert list(statements(text, name_words("crane"))) == []
