"""Files in and out: what comes in goes out unchanged, and what is wrong names its line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attributes.formats import formats
from attributes.formats.formats import (
    FormatError,
    Label2Text,
    join_sentences,
    read_dclip,
    read_json,
    read_label2text,
    read_label_lines,
    write_dclip,
    write_json,
    write_label2text,
    write_sentences,
)
from attributes.formats.json_positions import line_of_path
from attributes.formats.set_schema import SCHEMA_FILE, SetModel
from attributes.types import Entry, Label, Line

TALL = Line("sentence", "A tall grey bird.", strategy="describe@1", call="ab12")
NECK = Line("phrase", "a long neck", "neck", "long")
BIRD = Entry("crane", "bird", (TALL, NECK), ("too_few_phrases",))
MACHINE = Entry("crane", "machine", (Line("sentence", "A tall yellow machine.", origin="human", locked=True),))
PLAIN = Entry("colt's foot", lines=(Line("phrase", 'a "quoted" thing\\', origin="import"),))


def own(*entries: Entry) -> str:
    return "".join(write_json(entries, domain="things", strategy="describe@1", model="m"))


def test_own_json_comes_back_as_it_was() -> None:
    file = read_json(own(BIRD, MACHINE, PLAIN))
    assert file.entries == [BIRD, MACHINE, PLAIN]
    assert (file.domain, file.strategy, file.model) == ("things", "describe@1", "m")
    assert read_json("".join(write_json([]))).entries == []


def test_own_json_has_an_entry_a_line() -> None:
    lines = own(BIRD, MACHINE).splitlines()
    assert len(lines) == 4
    assert json.loads(lines[1].rstrip(",")) == BIRD.as_json()


TEXT = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)


KINDS = st.sampled_from(["sentence", "phrase", "answer", "contrast", "caption"])
ORIGINS = st.sampled_from(["llm", "human", "import"])
MAYBE = TEXT | st.just("")
LINE = st.builds(Line, KINDS, TEXT, MAYBE, MAYBE, MAYBE, MAYBE, ORIGINS, st.booleans(), MAYBE, MAYBE)
LINES = st.lists(LINE, max_size=3).map(tuple)
ENTRIES = st.lists(
    st.builds(Entry, TEXT, st.none() | TEXT, LINES),
    unique_by=lambda entry: (entry.label.casefold(), (entry.sense or "").casefold()),
    max_size=5,
)


@settings(deadline=None)
@given(ENTRIES)
def test_any_set_comes_back_as_it_was(entries: list[Entry]) -> None:
    text = "".join(write_json(entries))
    assert read_json(text).entries == entries
    assert all(line_of_path(text, ["entries", i]) == i + 2 for i in range(len(entries)))


def test_the_schema_file_is_that_of_the_models() -> None:
    assert json.loads(SCHEMA_FILE.read_text(encoding="utf-8")) == SetModel.model_json_schema()


@pytest.mark.parametrize(
    ("damage", "line", "said"),
    [
        (lambda text: text.replace('"machine"', "machine"), 3, "is no JSON"),
        (lambda text: text.replace('"machine"', "7"), 3, "entries/1/sense"),
        (lambda text: text.replace('"machine"', '"bird"'), 3, 'label "crane (bird)" is also on line 2'),
        (lambda text: text.replace('"origin": "human"', '"origin": "robot"'), 3, "entries/1/lines/0/origin"),
        (lambda text: text.replace('"origin": "human"', '"origins": "human"'), 3, "entries/1/lines/0/origins"),
        (lambda text: text.replace('"origin": "human"', '"kind": "phrase"'), 3, "'kind' stands twice"),
        (lambda text: text.replace('"label": "colt', '"name": "colt'), 4, "entries/2/label"),
        (lambda text: text.replace('"colt\'s foot"', '"colt\\u0007s foot"'), 4, "control character (U+0007)"),
        (lambda text: text.replace('"colt\'s foot"', '" "'), 4, "is blank"),
        (lambda text: text.replace('"a long neck"', '"a\\u0007b"'), 2, 'crane": has a control character (U+0007)'),
        (lambda text: text.replace('"a long neck"', "null"), 2, "entries/0/lines/1/text"),
        (lambda text: text.replace('"version": 2', '"version": 1'), 1, "version"),
        (lambda text: text.replace("limbeck.attributes", "other"), 1, "format"),
        (lambda text: text[:-20], 4, "is no JSON"),
        (lambda text: "[" * 100_000, 1, "nested too deeply"),
        (lambda text: "7", 1, "SetModel"),
    ],
)
def test_damaged_json_names_the_line(damage: Callable[[str], str], line: int, said: str) -> None:
    whole = own(BIRD, MACHINE, PLAIN)
    assert damage(whole) != whole
    with pytest.raises(FormatError) as caught:
        read_json(damage(whole))
    assert said in str(caught.value)
    assert caught.value.line == line
    assert str(caught.value).startswith(f"line {line}: ")


def test_dclip_has_every_label_and_tells_namesakes_apart() -> None:
    made = json.loads(write_dclip([BIRD, MACHINE, PLAIN]))
    assert made == {"crane (bird)": ["a long neck"], "crane (machine)": [], "colt's foot": ['a "quoted" thing\\']}
    with pytest.raises(FormatError, match="stands twice"):
        write_dclip([BIRD, BIRD])


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ('{"a": ["x"],\n"a": ["y"]}', 2, "'a' stands twice"),
        ('{"a": ["x"],\n"A": ["y"]}', 2, 'label "A" is also on line 1'),
        ('{"a": ["x"],\n"b": "y"}', 2, "must have a list"),
        ('{"a": ["x"],\n"b": [7]}', 2, "must have a list"),
        ('{"a": ["x"],\n"b": ["\\u0000"]}', 2, "control character"),
        ('{"a": ["x"],\n"": ["y"]}', 2, "is blank"),
        ('["a"]', 1, "must be a JSON object"),
        ('{"a": ["x"],\n', 2, "is no JSON"),
    ],
)
def test_damaged_dclip_names_the_line(text: str, line: int, said: str) -> None:
    with pytest.raises(FormatError) as caught:
        read_dclip(text)
    assert said in str(caught.value)
    assert caught.value.line == line


def test_cupl_is_answers_there_and_back() -> None:
    text = json.dumps({"crane": ["A crane is tall.", "It is grey."], "ibis": []}, indent=4) + "\n"
    crane, ibis = formats.read_cupl(text)
    assert [(line.kind, line.text, line.origin) for line in crane.lines] == [
        ("answer", "A crane is tall.", "import"),
        ("answer", "It is grey.", "import"),
    ]
    assert ibis.lines == ()
    assert formats.write_cupl([crane, ibis]) == text
    with pytest.raises(FormatError, match='line 2: "ibis" must have a list of sentences'):
        formats.read_cupl('{"crane": ["a"],\n"ibis": "b"}')


def test_what_a_format_cannot_hold_is_no_empty_file() -> None:
    with pytest.raises(FormatError, match="no label has a line of kind answer"):
        formats.write_cupl([BIRD, MACHINE])
    with pytest.raises(FormatError, match="no label has a line of kind phrase"):
        write_dclip([MACHINE])


def test_label2text_rows_are_those_of_a_file_or_numbered() -> None:
    rows = [Label2Text(folder="colts_foot", number=7, published="colt's_foot")]
    assert formats.label2text_of([PLAIN, BIRD, MACHINE], rows) == [
        rows[0],
        Label2Text(folder="002.crane_(bird)", number=2, published="crane_(bird)"),
        Label2Text(folder="003.crane_(machine)", number=3, published="crane_(machine)"),
    ]


def test_published_dclip_goes_out_as_it_came(dclip_cub: Path) -> None:
    text = dclip_cub.read_text(encoding="utf-8")
    entries = read_dclip(text)
    assert len(entries) == 200
    assert json.loads(write_dclip(entries)) == json.loads(text)
    assert list(json.loads(write_dclip(entries))) == list(json.loads(text))


def published(folder: Path) -> tuple[str, str]:
    return tuple((folder / name).read_text(encoding="utf-8") for name in ("label2text.txt", "chatgpt.txt"))  # type: ignore[return-value]


def check_published(folder: Path, num: int, empty: list[int]) -> list[Entry]:
    labels, sentences = published(folder)
    rows = read_label2text(labels)
    entries = join_sentences(rows, sentences)
    assert len(entries) == num
    assert write_label2text(rows) == labels
    assert write_sentences(entries) == sentences
    assert [i for i, entry in enumerate(entries, start=1) if entry.flags] == empty
    assert all(entries[i - 1].flags == ("empty",) and entries[i - 1].sentence == "." for i in empty)
    back = read_json("".join(write_json(entries))).entries
    assert back == entries
    assert [entry.label.replace(" ", "_") for entry in back] == [row.published for row in rows]
    return entries


def test_published_birds_go_out_as_they_came(cub: Path) -> None:
    entries = check_published(cub, 200, [98, 108])
    assert entries[0].label == "Black footed Albatross"
    assert entries[0].sentence.startswith("The Black-footed Albatross has")


def test_published_flowers_go_out_as_they_came(flowers: Path) -> None:
    entries = check_published(flowers, 102, [45])
    assert entries[1].label == "hard-leaved pocket orchid"


ROWS = "001.Red_Robin 1 Red_Robin\n002.Wren 2 Wren\n"


def test_label2text_rows() -> None:
    rows = read_label2text(ROWS.replace("\n", "\r\n"))
    assert rows == [
        Label2Text(folder="001.Red_Robin", number=1, published="Red_Robin"),
        Label2Text(folder="002.Wren", number=2, published="Wren"),
    ]
    assert [row.name for row in rows] == ["Red Robin", "Wren"]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("001.A 1 A\n002.B 2\n", 2, "must be `folder number label`"),
        ("001.A 1 A\n\n002.B 2 B\n", 2, "must be `folder number label`"),
        ("001.A 1 A\n002.B two B\n", 2, "must be `folder number label`"),
        ("001.A 1 A\n002.B 2 B C\n", 2, "must be `folder number label`"),
        ("001.A 1 A\n002.a 2 a\n", 2, 'label "a" is also on line 1'),
        ("001.A 1 A\n002.B 2 B\x07\n", 2, "control character"),
        ("001.A 1 _\n", 1, "is blank"),
    ],
)
def test_damaged_label2text_names_the_line(text: str, line: int, said: str) -> None:
    with pytest.raises(FormatError) as caught:
        read_label2text(text)
    assert said in str(caught.value)
    assert caught.value.line == line
    assert str(caught.value).startswith(f"label2text line {line}: ")


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("One.\n", 2, "has 1 lines for 2 labels"),
        ("One.\nTwo.\nThree.\n", 3, "has 3 lines for 2 labels"),
        ("One.\nTwo.\n\n", 3, "has 3 lines for 2 labels"),
        ("One.\nT\x00wo.\n", 2, "control character"),
        ("One.\n" + "x" * 6_000, 2, "has 6000 characters"),
    ],
)
def test_sentences_that_cannot_be_joined_name_the_line(text: str, line: int, said: str) -> None:
    with pytest.raises(FormatError) as caught:
        join_sentences(read_label2text(ROWS), text)
    assert said in str(caught.value)
    assert caught.value.line == line
    assert str(caught.value).startswith(f"sentences line {line}: ")


def test_an_empty_line_is_an_empty_sentence() -> None:
    entries = join_sentences(read_label2text(ROWS), "\nSmall and brown.\n")
    assert [(entry.sentence, entry.flags) for entry in entries] == [("", ("empty",)), ("Small and brown.", ())]
    assert write_sentences(entries) == ".\nSmall and brown.\n"


def test_label_lines() -> None:
    assert read_label_lines("\ufeffcrane\tbird\ncrane\ta machine\n wren ") == [
        Label("crane", "bird"),
        Label("crane", "a machine"),
        Label("wren"),
    ]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("", None, "holds no label"),
        ("a\n\nb\n", 2, "is blank"),
        ("a\nA\n", 2, 'label "A" is also on line 1; give each a sense'),
        ("a\nb\x1bc\n", 2, "control character (U+001B)"),
        ("a\n" + "b" * 201, 2, "has 201 characters; at most 200"),
        ("a\nb\t" + "c" * 501, 2, "the sense of label"),
    ],
)
def test_label_lines_that_cannot_be_used(text: str, line: int | None, said: str) -> None:
    with pytest.raises(FormatError) as caught:
        read_label_lines(text)
    assert said in str(caught.value)
    assert caught.value.line == line


def test_a_large_set_is_read_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = tuple(Line("phrase", f"phrase {i}", "part", "value") for i in range(6))
    text = "".join(write_json(Entry(f"label {i}", None, (TALL, *lines)) for i in range(5_000)))
    calls = 0

    def counted(*_: object) -> int:
        nonlocal calls
        calls += 1
        return 1

    monkeypatch.setattr(formats, "line_of_path", counted)  # what finds lines walks the text: only on an error
    assert len(read_json(text).entries) == 5_000
    assert calls == 0
