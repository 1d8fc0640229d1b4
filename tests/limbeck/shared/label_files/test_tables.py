"""Headers and columns of tables."""

import pytest

from limbeck.shared.label_files.tables import header_key, is_header, plain_name
from tests.limbeck.shared.label_files.reading import names, read, refusal


@pytest.mark.parametrize("text", ["Class Name", "class_name", "className", " class-name ", "\ufeffCLASS NAME"])
def test_headers_are_compared_without_their_spelling(text: str) -> None:
    assert header_key(text) == "class_name"


def test_what_is_a_header() -> None:
    assert is_header(["id", "name"], strict=True)
    assert is_header(["nr", "bird_species_name"])
    assert is_header(["id", "wnid"])
    assert not is_header(["Cat", "domestic"])
    assert not is_header(["name", "name"])
    assert not is_header(["label", "7"])
    assert not is_header(["label", "something else"], strict=True)


def test_names_of_folders_are_compared_without_numbers() -> None:
    assert plain_name("001.Black-footed_Albatross") == plain_name("black footed albatross")


def test_ids_and_aliases_of_the_service_are_read_back() -> None:
    text = '[{"name": "tench", "sense": null, "ids": {"wnid": "n01440764", "aliases": ["Tinca tinca"]}}]'
    assert read(text).labels[0].ids == {"wnid": "n01440764", "aliases": ["Tinca tinca"]}


def test_a_column_of_groups_is_not_the_label() -> None:
    content = "CATEGORY,SPECIES_CODE,PRIMARY_COM_NAME\nspecies,ostric2,Common Ostrich\nspecies,ostric3,Somali Ostrich\n"
    assert names(content) == ["Common Ostrich", "Somali Ostrich"]
    texts = "label,text\ncrane,a long neck\ncrane,grey wings\ncrane,long legs\ncrane,a red crown\n"
    assert "has 4 rows and only 1 different label" in refusal(texts)
