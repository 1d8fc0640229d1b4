"""CSV and its relatives: separators, headers, quotes, and faults with their lines."""

import pytest

from limbeck.shared.label_files import LabelFileError
from tests.limbeck.shared.label_files.reading import ids, names, read, refusal

TABLES = [
    ("name,sense\ncrane,bird\ncrane,machine\n", "", ["crane|bird", "crane|machine"]),
    ("name;sense\r\ncrane;bird\r\nheron;\r\n", "", ["crane|bird", "heron"]),
    ("id\tname\n1\tcrane\n2\theron\n", "", ["crane", "heron"]),
    ("id|name\n1|crane\n2|heron\n", "", ["crane", "heron"]),
    ("sep=;\nid;name\n1;crane\n2;heron\n", "", ["crane", "heron"]),
    ("Class ID,Class Name,Colour\n1,crane,grey\n2,heron,grey\n", "", ["crane", "heron"]),
    ("LabelName,DisplayName\n/m/011k07,Tortoise\n/m/011q46kg,Container\n", "", ["Tortoise", "Container"]),
    ("label,text\n0,tench\n1,goldfish\n", "", ["tench", "goldfish"]),
    (",name\n0,tench\n1,goldfish\n", "", ["tench", "goldfish"]),
    ("filename,label\na.jpg,cat\nb.jpg,dog\n", "", ["cat", "dog"]),
    ('id,name\n1,"Cat, domestic"\n2,"a ""quoted"" one"\n', "", ["Cat, domestic", 'a "quoted" one']),
    ("idx,class\n1,b\n0,a\n", "", ["a", "b"]),
    ("| id | name |\n|---|---|\n| 1 | tench |\n| 2 | goldfish |\n", "", ["tench", "goldfish"]),
    ("1;tench\n2;goldfish\n", "", ["tench", "goldfish"]),
    ("n01440764,0,tench\nn01443537,1,goldfish\n", "", ["tench", "goldfish"]),
    ("label\ncrane\nheron\n", "l.csv", ["crane", "heron"]),
    ("crane\n\nheron\n", "l.csv", ["crane", "heron"]),
    ('"Cat, domestic"\n"Dog"\n', "l.csv", ["Cat, domestic", "Dog"]),
    ("Species\ncrane\nheron\n", "l.csv", ["crane", "heron"]),
    ("nombre,nr\ngrulla,1\ngarza,2\n", "", ["grulla", "garza"]),
    ("Vogelart,Nr\nKranich,1\nReiher,2\n", "", ["Kranich", "Reiher"]),
    ("Idx,Ratio,Name\n1,0.15,wall\n2,0.10,building;edifice\n", "", ["wall", "building"]),
    ("/a/airfield,0\n/b/bakery,1\n", "", ["airfield", "bakery"]),
    ("taxonID,scientificName,vernacularName\n1,Grus grus,crane\n2,Alca torda,razorbill\n", "", ["crane", "razorbill"]),
    ("id,name,\n1,crane,\n2,heron,\n", "", ["crane", "heron"]),
    ("1,crane,\n2,heron,\n", "", ["crane", "heron"]),
]


@pytest.mark.parametrize(("text", "file", "expected"), TABLES)
def test_tables(text: str, file: str, expected: list[str]) -> None:
    assert names(text, file) == expected


def test_columns_are_kept_or_dropped_and_named() -> None:
    found = read('id,name,wnid,color\n1,"Cat, domestic",n02121808,red\n2,Dog,n02084071,blue\n')
    assert found.read_as == "CSV with the header id, name, wnid, color"
    assert found.labels[0].ids == {"id": "1", "wnid": "n02121808", "aliases": ["domestic"]}
    assert 'dropped: column "color" (such as "red")' in found.notes
    assert 'the label is column "name"' in found.notes
    assert ids("name,synonyms\ncat,puss; kitty\ndog,\n") == [{"aliases": ["puss", "kitty"]}, {}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,sense\ncrane,bird\nheron\nx,y,z\n", "line 3: has 1 field, but the header has 2; line 4: has 3 fields"),
        ("name\ncrane\nheron,grey\n", "line 3: has 2 fields, but the header has 1; put a value with the separator"),
        ('name,sense\ncrane,"bird\n', "line 2: is malformed CSV"),
        ("crane,bird\nheron,bird\n", "has 2 columns of text, and nothing says which has the labels"),
        ("name,sense\n", "has a header (name, sense) and no labels"),
        ("label\n", "has a header (label) and no labels"),
        ("id,wnid\n1,n01440764\n2,n01443537\n", "has only ids and numbers"),
        ("label\n0\n1\n", "every label is a number"),
    ],
)
def test_tables_that_cannot_be_used(text: str, message: str) -> None:
    assert message in refusal(text, "labels.csv")


def test_a_plain_list_with_semicolons_is_not_taken_as_names() -> None:
    assert "has 2 columns of text" in refusal("crane;bird\nheron;bird\n")


def test_a_file_with_a_row_for_each_image_says_so() -> None:
    rows = "".join(f"{n}.jpg,{label}\n" for n, label in enumerate(["cat", "dog"] * 3))
    with pytest.raises(LabelFileError, match="has 6 rows and only 2 different labels: give each once") as caught:
        read("file,label\n" + rows)
    assert [fault.line for fault in caught.value.faults] == [4, 5, 6, 7]


@pytest.mark.parametrize(
    "content",
    [
        " id | name \n----+------\n  1 | cat\n  2 | dog\n(2 rows)\n",
        "+----+------+\n| id | name |\n+----+------+\n|  1 | cat  |\n|  2 | dog  |\n+----+------+\n2 rows in set\n",
        "# made by hand\nid,name\n0,cat\n1,dog\n",
        ",0\n0,cat\n1,dog\n",
        "Label;;;\ncat;;;\ndog;;;\n",
        '"name"\n"cat"\n"dog"\n',
    ],
)
@pytest.mark.parametrize("name", ["labels.csv", "labels.txt"])
def test_tables_as_programs_print_them(content: str, name: str) -> None:
    assert names(content, name) == ["cat", "dog"]
