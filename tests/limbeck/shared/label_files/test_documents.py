"""Documents: notations, damaged documents, and input that must not harm the service."""

import time

import pytest

from tests.limbeck.shared.label_files.reading import names, read, refusal

NOTATIONS = [
    ('["tench", "goldfish"]', "JSON list of names"),
    ('\r\n[\r\n"tench",\r\n"goldfish"\r\n]', "JSON list of names"),
    ('"tench"\n"goldfish"\n', "JSON Lines list of names"),
    ('{"id": 1, "name": "tench"}\n{"id": 2, "name": "goldfish"}\n', "JSON Lines list of objects"),
    ("{0: 'tench',\n 1: 'goldfish',\n}", "a Python literal map of index to name"),
    ("{'tench': 0, 'goldfish': 1}", "a Python literal map of name to index"),
    ("# classes\nCLASSES = ('tench', 'goldfish')\n", "a Python literal list of names"),
    ("import os\nCLASSES = [\n  'tench',\n  'goldfish',  # fish\n]\nN = 3\n", "Python code list of names"),
    ("export const LABELS = {\n  0: 'tench',\n  1: 'goldfish',\n};\n", "a Python literal map of index to name"),
    (
        "const labels = [\n 'tench', // first\n 'goldfish',\n];\nexport default labels;\n",
        "a Python literal list of names",
    ),
    ('{\n // c\n "labels": ["tench", "goldfish"],\n}', "a Python literal list of names"),
    ("('tench', 'goldfish')", "a Python literal list of names"),
    (
        'export const CLASSES = [{\n  name: "/m/01g317",\n  id: 1,\n  display_name: "tench",\n},\n'
        '{\n  name: "/m/0199g",\n  id: 2,\n  display_name: "goldfish",\n}];\n',
        "YAML list of objects",
    ),
    ("[tench, goldfish]", "YAML list of names"),
    ("names:\n  0: tench\n  1: goldfish\nnc: 2\n", "YAML map of index to name"),
    ("names:\n0: tench\n1: goldfish\nnc: 2\n", "YAML map of index to name"),
    ("path: ../x\nnames: ['tench', 'goldfish']\n", "YAML list of names"),
    ("all: &all [tench, goldfish]\nnames: *all\n", "YAML list of names"),
    ("- name: tench\n  id: 1\n- name: goldfish\n  id: 2\n", "YAML list of objects"),
    ("item {\n  id: 1\n  name: 'tench'\n}\nitem {\n  id: 2\n  name: 'goldfish'\n}\n", "a text protocol buffer (pbtxt)"),
    (
        'item {\n name: "/m/01x"\n display_name: "tench" kp { id: 0 label: "eye" }\n}\n'
        'item {\n name: "/m/02x"\n display_name: "goldfish"\n}\n',
        "a text protocol buffer (pbtxt)",
    ),
    (
        "---\ndataset_info:\n  features:\n  - name: label\n    dtype:\n      class_label:\n        names:\n"
        "          '0': tench\n          '1': goldfish\n---\n# Title\n",
        "the YAML header of a document map of index to name",
    ),
    ('"tench\\ngoldfish"', "plain text, one label per line"),
]


@pytest.mark.parametrize(("text", "read_as"), NOTATIONS)
def test_notations(text: str, read_as: str) -> None:
    found = read(text)
    assert [label.name for label in found.labels] == ["tench", "goldfish"]
    assert found.read_as.startswith(read_as)


def test_yaml_scalars_stay_as_they_are_written() -> None:
    assert names("names:\n- yes\n- no\n- 1e3 x\n- 12:30\n- ~\n") == ["yes", "no", "1e3 x", "12:30", "~"]
    assert names("- no\n- yes\n", "x.yaml") == ["no", "yes"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"labels": ["cat", "dog",', "looks like JSON and is not valid: Expecting value (line 1, column 26)"),
        ('["cat" "dog"', "looks like JSON and is not valid"),
        ('{"name": "cat"}\n{"name": dog}\n', "line 2 of the JSON Lines is not valid"),
        ("names: [cat, dog\nnc: 2\n", "looks like YAML and is not valid: did not find expected ',' or ']' (line 2"),
        ("names: *unknown\n", "the alias *unknown is unknown"),
        ("<labels><label>cat</label></labels>", "is an XML or HTML document"),
        ("<!DOCTYPE html>\n<p>cat</p>\n", "is an XML or HTML document"),
        ("item {\n  id: 1\n  name: 'cat'\n", "ends inside a block (line 3)"),
        ("['cat' 'dog' 'bird']", "two texts have no comma between them (line 1)"),
        ("CLASSES = [\n  'cat',\n  'dog'\n  'bird',\n]\n", "two texts have no comma between them (line 4)"),
        (
            "IDS = ['n01440764']\nNAMES = {'n01440764': 'tench'}\n",
            "it is code with 2 lists; give the one with",
        ),
        ("names: &a [*a]\n", "the alias *a is unknown or contains itself"),
    ],
)
def test_damaged_documents_are_refused_with_the_place(text: str, message: str) -> None:
    assert message in refusal(text)


def test_faults_of_json_have_their_lines() -> None:
    assert refusal('{"label2id": {\n"crane": 0,\n"wren": 1,\n"crane": 2\n}}') == (
        'line 4: label "crane" is also on line 2; give each a sense: {"name": …, "sense": …}'
    )
    assert refusal('[\n{"id": 1, "name": "a\\u0007"},\n{"id": 2, "name": ""}]') == (
        'line 2: label "a\\u0007" has a control character (U+0007); line 3: label "" is blank'
    )


@pytest.mark.parametrize(
    "text",
    [
        "[" * 50_000,
        '{"a":' * 50_000,
        "names: " + "[" * 50_000,
        "names:\n" + "- " * 5_000,
        "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nnames: [*c, *c]\n",
        '{"0": "a", "x": ' + "9" * 400 + "}",
    ],
)
def test_hostile_documents_are_refused_quickly(text: str) -> None:
    started = time.process_time()
    assert refusal(text)
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    "content",
    [
        "array(['cat', 'dog'], dtype='<U5')",
        "dict_keys(['cat', 'dog'])",
        "names = np.array([\n    'cat',\n    'dog',\n])\n",
        "Index(['cat', 'dog'], dtype='object')",
        'const char* names[] = {"cat", "dog"};\n',
        'static const std::vector<std::string> kLabels = {\n  "cat",\n  "dog"\n};\n',
        'String[] LABELS = new String[] {"cat", "dog"};',
        'pub const LABELS: [&str; 2] = ["cat", "dog"];',
        'var labels = []string{"cat", "dog"}',
    ],
)
def test_lists_as_programs_write_them(content: str) -> None:
    assert names(content) == ["cat", "dog"]
