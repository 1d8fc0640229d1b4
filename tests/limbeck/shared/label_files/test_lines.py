"""Plain text: ordinary lists stay as they are, and the forms of data sets lose their ids and numbers."""

import pytest

from tests.limbeck.shared.label_files.reading import ids, names, read, refusal

ORDINARY = [
    ["Boeing 737-200", "Boeing 747", "Airbus A320"],
    ["Audi A4 2012", "BMW X5 2013", "Tesla Model S 2014"],
    ["2012 Audi A4", "2013 BMW X5", "2014 Tesla Model S"],
    ["3D printer", "7-Eleven", "ak-47"],
    ["707-320", "727-200", "737-200", "A300B4", "C-130"],
    ["747-100", "747-200", "747-300"],
    ["Q3", "Q5", "Q7"],
    ["1 dollar", "2 dollar", "5 dollar"],
    ["3 Doors Down", "4 Non Blondes", "5 Seconds of Summer"],
    ["1 Corinthians", "2 Corinthians"],
    ["Cat, domestic", "Dog, domestic", "Wolf"],
    ["tench, Tinca tinca", "goldfish, Carassius auratus"],
    ["Black_footed Albatross", "Crow_x"],
    ["cat: domestic", "cat: wild"],
    ["#1 dad mug", "cat", "#2 pencil"],
    ["10.5 mm lens", "11.5 mm lens", "12.5 mm lens"],
    ["[brackets] cat", "dog"],
    ["yes", "no", "null", "1e3 volts"],
    ["rock & roll", "R.E.M.", "C++", "F#", "C#"],
    ["CamelCase", "iPod", "T-shirt"],
    ["and/or", "km/h sign", "/slashed"],
    ["the 'quoted' one", '"half', "it's"],
    ["'quoted' one", "other"],
    ["crane", "name", "label"],
]


@pytest.mark.parametrize("labels", ORDINARY, ids=lambda labels: labels[0])
def test_an_ordinary_list_stays_as_it_is(labels: list[str]) -> None:
    found = read("\n".join(labels) + "\n")
    assert [label.name for label in found.labels] == labels
    assert all(label.ids == {} and label.sense is None for label in found.labels)


FORMS = [
    ("n01440764 tench, Tinca tinca\nn01443537 goldfish, Carassius auratus", ["tench", "goldfish"]),
    ("n01440764\ttench, Tinca tinca\nn01443537\tgoldfish", ["tench", "goldfish"]),
    ("n02085620-Chihuahua\nn02085782-Japanese_spaniel", ["Chihuahua", "Japanese spaniel"]),
    ("tench n01440764\ngoldfish n01443537", ["tench", "goldfish"]),
    ("n01440764: tench\nn01443537: gold fish", ["tench", "gold fish"]),
    ("/a/airfield 0\n/a/airplane_cabin 1\n/f/field/wild 2", ["airfield", "airplane cabin", "field/wild"]),
    ("/a/abbey\n/a/airport_terminal", ["abbey", "airport terminal"]),
    ("001.Black_footed_Albatross\n002.Laysan_Albatross", ["Black footed Albatross", "Laysan Albatross"]),
    ("101.head-phones\n003.backpack", ["head-phones", "backpack"]),
    ("1 001.Black_footed_Albatross\n12 012.Yellow_Bird", ["Black footed Albatross", "Yellow Bird"]),
    ("1 tench\n2 goldfish\n3 shark", ["tench", "goldfish", "shark"]),
    ("0: tench\n1: 3D printer", ["tench", "3D printer"]),
    ("0,tench\n1,goldfish", ["tench", "goldfish"]),
    ("1\ttench\n2\tgoldfish", ["tench", "goldfish"]),
    ("tench 1\ngoldfish 0\nshark 2", ["goldfish", "tench", "shark"]),
    ("tench,0\ngoldfish,1", ["tench", "goldfish"]),
    ("tench: 0\ngoldfish: 1", ["tench", "goldfish"]),
    ("tench=0\ngoldfish=1", ["tench", "goldfish"]),
    ("tench (0)\ngoldfish (1)", ["tench", "goldfish"]),
    ("[0] tench\n[1] goldfish", ["tench", "goldfish"]),
    ("1. tench\n2. gold fish", ["tench", "gold fish"]),
    ("1) tench\n2) goldfish", ["tench", "goldfish"]),
    ("0 - tench\n1 - goldfish", ["tench", "goldfish"]),
    ("0 -> tench\n1 -> goldfish", ["tench", "goldfish"]),
    ("tench => 0\ngoldfish => 1", ["tench", "goldfish"]),
    ("[labels]\n0=tench\n1=goldfish", ["tench", "goldfish"]),
    ("- [ ] tench\n- [x] goldfish", ["tench", "goldfish"]),
    ("- tench\n- goldfish", ["tench", "goldfish"]),
    ("* 1. tench\n* 2. goldfish", ["tench", "goldfish"]),
    ("• tench\n• goldfish", ["tench", "goldfish"]),
    ("'tench',\n'gold fish',\n'shark'", ["tench", "gold fish", "shark"]),
    ("tench,\ngoldfish,", ["tench", "goldfish"]),
    ("“tench”\n“goldfish”", ["tench", "goldfish"]),
    ("# my birds\ncrane\n\n# end\nheron", ["crane", "heron"]),
    ("class_name\ncrane\nheron", ["crane", "heron"]),
    ("label: crane\nlabel: heron", ["crane", "heron"]),
    ("kit_fox\nwren", ["kit fox", "wren"]),
    ("n02119789 1 kit_fox\nn02100735 2 English_setter", ["kit fox", "English setter"]),
    ("pink_primrose 1 pink_primrose\nsweet_pea 4 sweet_pea", ["pink primrose", "sweet pea"]),
    ("/m/011k07,Tortoise\n/m/011q46kg,Container", ["Tortoise", "Container"]),
    ("Q42 Douglas Adams\nQ144 dog", ["Douglas Adams", "dog"]),
    ("crane\tbird\ncrane\tmachine\nwren", ["crane|bird", "crane|machine", "wren"]),
    ("crane\tbird\nheron\tgrey", ["crane|bird", "heron|grey"]),
    ("cat, dog, bird", ["cat", "dog", "bird"]),
    ("cat; dog", None),
    ("cat,dog", None),
    ("Laysan albatross", ["Laysan albatross"]),
    ("n01440764 tench, Tinca tinca, fish", ["tench"]),
]


@pytest.mark.parametrize(("text", "expected"), FORMS)
def test_forms_of_lists(text: str, expected: list[str] | None) -> None:
    if expected is None:
        assert "write one label per line" in refusal(text)
    else:
        assert names(text) == names(text + "\n\n") == expected


def test_ids_and_synonyms_are_kept_and_reported() -> None:
    text = "n01440764 0 tench, Tinca tinca\nn01443537 1 goldfish\n"
    assert ids(text) == [
        {"wnid": "n01440764", "index": "0", "aliases": ["Tinca tinca"]},
        {"wnid": "n01443537", "index": "1"},
    ]
    report = read(text).report()
    assert report.startswith("read as plain text, one label per line; 2 labels; the wnid before each label is kept")
    assert "1 label with synonyms: the first is the name, the others are kept as aliases" in report
    assert ids("/a/airfield 7\n/b/bakery 12") == [
        {"path": "/a/airfield", "index": "7"},
        {"path": "/b/bakery", "index": "12"},
    ]
    assert ids("001.Crow 1 Crow\n012.Wren 12 Wren")[1] == {"folder": "012.Wren", "index": "12"}


def test_what_was_kept_or_dropped_is_reported() -> None:
    assert read("# a\ncat\n\ndog").notes == ["dropped 1 blank line", 'dropped 1 comment: "# a"']
    assert "kept because the numbers do not count" in read("Audi A4 2012\nBMW X5 2013").warnings[0]
    assert "starts with #" in read("#cat\n#dog").warnings[0]
    assert "divided at its commas into 3 labels" in read("cat, dog, bird").warnings[0]
    assert "the only label" in read("this is a whole sentence with more than eight words in it").warnings[0]
    assert read("003.a\n001.b").warnings == ["the index has gaps (1 number missing: 2)"]


def test_numbers_state_the_order() -> None:
    assert names("2: shark\n0: tench\n1: goldfish") == ["tench", "goldfish", "shark"]
    assert "sorted by index" in read("2: shark\n0: tench\n1: goldfish").notes


ANNOTATIONS = [
    "1 0.9460989 0.4605833 0.0438645 0.0999\n1 0.7447 0.2354 0.0561 0.1021\n",
    "Abyssinian_100 1 1 1\nAbyssinian_101 1 1 1\n",
    "train/a.jpg 50,100,150,200,0\ntrain/b.jpg 30,50,200,120,3\n",
    "train/a.jpg 0\ntrain/b.jpg 1\n",
    "a.png,cat\nb.png,dog,wolf\n",
    "1 1\n2 1\n3 2\n",
]


@pytest.mark.parametrize("text", ANNOTATIONS)
def test_annotations_of_images_are_refused(text: str) -> None:
    refused = refusal(text)
    assert any(text in refused for text in ("every label is", "several columns of numbers", "only ids and numbers"))


def test_settings_are_refused() -> None:
    assert "is a file of settings" in refusal("classes= 80\ntrain = x.txt\nnames = data/coco.names\n")


@pytest.mark.parametrize(
    "content",
    [
        "* **cat**\n* **dog**\n* **horse**\n",
        "1. [cat](https://a.org/Cat_(animal))\n2. [dog](https://a.org/Dog)\n3. [horse](x)\n",
        "a) cat\nb) dog\nc) horse\n",
        "i. cat\nii. dog\niii. horse\n",
        "① cat\n② dog\n③ horse\n",
        "1、cat\n2、dog\n3、horse\n",
        "１．cat\n２．dog\n３．horse\n",
        "1.\tcat\n2.\tdog\n3.\thorse\n",
        "Class 1: cat\nClass 2: dog\nClass 3: horse\n",
        "cat/\ndog/\nhorse/\n",
        "./cat\n./dog\n./horse\n",
        "train/cat\ntrain/dog\ntrain/horse\n",
        "cat、dog、horse",
        "cat, dog, and horse",
        "Classes: cat, dog, horse",
        "cat\u00a0\n\u3000dog\nhorse\n",
    ],
)
def test_marks_of_web_pages_and_listings_are_no_part_of_a_name(content: str) -> None:
    assert names(content) == ["cat", "dog", "horse"]


@pytest.mark.parametrize(
    "labels",
    [
        ["A. baumannii", "B. subtilis", "C. elegans"],
        ["Category 1.5 storm", "Category 2.5 storm"],
        ["U.S. flag", "V. vinifera"],
        ["sports/football", "sports/tennis"],
        ["Class A: heavy", "Class B: light"],
        ["*star", "*moon"],
        ["**", "cat"],
    ],
)
def test_marks_that_belong_to_names_stay(labels: list[str]) -> None:
    assert names("\n".join(labels)) == labels


def test_a_hash_among_the_labels_is_dropped_with_a_warning() -> None:
    found = read("# my signs\nstop\n#MeToo sign\n")
    assert [one for one, _ in found.pairs] == ["stop"]
    assert any('"#MeToo sign" among the labels was dropped' in warning for warning in found.warnings)


def test_html_entities_become_characters() -> None:
    assert names("Black &amp; white cat\nO&#39;Brien\nR&B album\n") == ["Black & white cat", "O'Brien", "R&B album"]
