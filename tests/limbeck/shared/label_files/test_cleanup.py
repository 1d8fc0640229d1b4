"""Ids are never names, repeated names get a sense, and all faults are reported."""

import pytest

from limbeck.shared.label_files import LabelFileError
from tests.limbeck.shared.label_files.reading import names, read, refusal

IDS = {
    "n01440764": "a WordNet id",
    "/m/011k07": "a Freebase id",
    "Q42": "a Wikidata id",
    "17": "a number",
    "LABEL_7": "a placeholder",
    "class12": "a placeholder",
    "img_01.jpg": "the name of a file",
    "http://dbpedia.org/resource/Cat": "a URL",
    "123e4567-e89b-12d3-a456-426614174000": "an id (uuid)",
    "5f4dcc3b5aa765d61d8327deb882cf99": "an id (hash)",
    "tench.n.01": "an id (synset)",
    "NCBITaxon:9606": "an id (curie)",
}


@pytest.mark.parametrize("id", IDS)
def test_a_file_of_ids_is_refused(id: str) -> None:
    other = id[:-1] + ("8" if id[-1].isdigit() else id[-1])
    other = other if other != id else id.replace("Cat", "Dog").replace("01", "02")
    assert refusal(f"{id}\n{other}\n").startswith(f"every label is {IDS[id]}, such as ")
    assert "every label is" in refusal(f'["{id}", "{other}"]')


def test_single_ids_among_names() -> None:
    assert refusal("cat\nn01440764\ndog\n/m/011k07\n") == (
        'line 2: label "n01440764" is an id, not a name: add the names, for example as a second column, because an LLM '
        'cannot use an id; line 4: label "/m/011k07" is an id, not a name: add the names, for example as a second '
        "column, because an LLM cannot use an id"
    )
    assert read("cat\n911\ndog\n").warnings == ['1 label may be an id or a number, not a name: "911"']


def test_repeated_names_get_a_sense_from_what_tells_them_apart() -> None:
    assert names("n02963159 cardigan\nn02113186 Cardigan, Cardigan Welsh corgi\n") == [
        "cardigan|n02963159",
        "Cardigan|Cardigan Welsh corgi",
    ]
    table = "id,name,supercategory\n1,crane,bird\n2,crane,machine\n3,wren,bird\n"
    assert names(table) == ["crane|bird", "crane|machine", "wren"]
    found = read("n02012849 429 crane\nn03126707 545 crane\nn01440764 1 tench\n")
    assert [label.sense for label in found.labels] == ["n02012849", "n03126707", None]
    assert "the sense of 2 labels is only an id, which says nothing: replace it in the file" in found.warnings
    assert '2 labels share their names and got a sense: "crane (n02012849)", "crane (n03126707)"' in found.notes


def test_all_faults_are_reported_and_the_first_twenty_listed() -> None:
    text = "crane\nhe\x07ron\nCrane\n" + "".join(f"{'x' * 201}{n}\n" for n in range(30))
    with pytest.raises(LabelFileError) as caught:
        read(text)
    error = caught.value
    assert (error.num_faults, len(error.faults)) == (32, 20)
    assert [(fault.line, fault.position) for fault in error.faults[:2]] == [(2, 1), (3, 2)]
    assert str(error).endswith("; and 12 more")
    assert refusal("crane\tbird\nwren\ncrane\n") == (
        'line 3: the sense of label "crane" is also on line 1; give each a sense after a tab'
    )


def test_commas_are_split_only_if_they_separate_synonyms() -> None:
    assert names("{0: 'Cat, domestic', 1: 'Dog, domestic'}") == ["Cat, domestic", "Dog, domestic"]
    assert names("{0: 'tench, Tinca tinca', 1: 'Cat, domestic'}") == ["tench", "Cat"]
    assert names("{0: 'shark, white shark, man-eater', 1: 'wren'}") == ["shark", "wren"]
    assert read("Cat, domestic\nwren\n").notes == ['names with commas were kept whole, such as "Cat, domestic"']


def test_underscores_are_replaced_only_without_spaces_in_the_file() -> None:
    assert names("kit_fox\n_private_\nwren") == ["kit fox", "_private_", "wren"]
    assert read("kit_fox\nred_fox").notes == ['underscores became spaces in 2 names, such as "kit_fox"']


def test_a_background_class_and_repeated_indexes_are_reported() -> None:
    assert '"_background_" is not a thing that an image shows' in read("_background_\ncrane\n").warnings[0]
    assert read("names:\n  0: a\n  0: b\n").warnings == ["the index 0 is given to several labels"]


def test_placeholders_of_label_maps_are_dropped_with_a_warning() -> None:
    found = read("???\nperson\n???\ncar\n")
    assert [one for one, _ in found.pairs] == ["person", "car"]
    assert found.warnings == ['dropped 2 placeholders ("???"), which name no label']
    assert names('["person", "N/A", "car", "N/A"]') == ["person", "car"]


def test_commas_of_an_enumeration_do_not_separate_synonyms() -> None:
    assert names("0 Birds\n1 Ducks, Geese, and Swans\n2 Grebes\n") == ["Birds", "Ducks, Geese, and Swans", "Grebes"]


def test_definitions_after_synonyms_are_dropped() -> None:
    found = read("n00004475\torganism, being: a living thing: it acts\nn00005787\tbenthos: organisms at the bottom\n")
    assert [one for one, _ in found.pairs] == ["organism", "benthos"]
    assert any("the definition after each label was dropped" in note for note in found.notes)


def test_a_few_spaces_do_not_keep_the_underscores() -> None:
    content = "airport_terminal\namusement_park\nart_gallery\nice_rink\nbus_station\narcade (passageway)\n"
    assert names(content)[::5] == ["airport terminal", "arcade (passageway)"]
    assert names("snake_case name\nair_field\n") == ["snake_case name", "air_field"]
