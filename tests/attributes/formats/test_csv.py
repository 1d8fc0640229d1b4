"""CSV: files are read back unchanged, formulas are escaped, and errors name the line."""

import csv
import io

import pytest
from hypothesis import given, settings

from attributes.formats.common import FormatError, Reading
from attributes.formats.csv import COLUMNS, read_csv, write_csv
from attributes.formats.registry import parse_entries
from attributes.types import Entry, Line
from tests.attributes.formats.examples import BIRD, ENTRIES, MACHINE, PLAIN


def write_and_read(*entries: Entry) -> list[Entry]:
    return read_csv("".join(write_csv(entries)))


@pytest.mark.slow
@settings(deadline=None)
@given(ENTRIES)
def test_all_fields_but_flags_are_read_back_unchanged(entries: list[Entry]) -> None:
    assert [(one.label, one.sense, one.lines) for one in write_and_read(*entries)] == [
        (one.label, one.sense, one.lines) for one in entries
    ]


def test_each_line_has_a_row_and_flags_are_recomputed() -> None:
    text = "".join(write_csv([BIRD, MACHINE, PLAIN, Entry("ibis")]))
    rows = list(csv.reader(io.StringIO(text)))
    assert text.startswith("\ufefflabel,")  # without the mark, Excel reads accents wrongly
    rows[0][0] = rows[0][0].removeprefix("\ufeff")
    assert [tuple(rows[0]), len(rows)] == [COLUMNS, 1 + 2 + 1 + 1 + 1]
    assert rows[2][:6] == ["crane", "bird", "phrase", "a long neck", "neck", "long"]
    bird, machine, plain, ibis = read_csv(text)
    assert (bird.flags, machine, ibis) == (("too_few_phrases",), MACHINE, Entry("ibis"))
    assert plain.lines == PLAIN.lines


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@x", "'=x", "''-x", "'quoted'", "a=b", "＝1", "|x", "%0A", "'|x", "＠SUM(1)"],
)
def test_a_formula_is_escaped_and_read_back_unchanged(text: str) -> None:
    entry = Entry(text, lines=(Line("phrase", text, origin="import"),))
    written = "".join(write_csv([entry]))
    assert not any(cell[:1] in "=+-@\t" for row in csv.reader(io.StringIO(written)) for cell in row if cell)
    assert write_and_read(entry) == [entry]


def test_columns_are_optional_and_in_any_order_and_rows_of_a_label_may_be_apart() -> None:
    text = (
        "\ufeffText,KIND,label,Locked\r\na red crown,phrase,crane,TRUE\r\n,,ibis,\r\n\r\nA bird.,Sentence,Crane,no\r\n"
    )
    crane, ibis = read_csv(text)
    assert crane == Entry(
        "crane",
        lines=(
            Line("phrase", "a red crown", origin="import", locked=True),
            Line("sentence", "A bird.", origin="import"),
        ),
    )
    assert ibis == Entry("ibis")


HEAD = "label,kind,text\n"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "the header lacks label, kind, text"),
        ("label,kind,text,colour\n", 1, "'colour', which is not one of"),
        ("label,kind,text,kind\n", 1, "'kind' twice"),
        (HEAD + "crane,phrase\n", 2, "has 2 cells for 3 columns"),
        (HEAD + "crane,verse,x\n", 2, "kind must be one of sentence"),
        (HEAD + "crane,phrase,x\n,phrase,y\n", 3, "is blank"),
        (HEAD + 'crane,phrase,"x\n', 2, "is not CSV"),
        (HEAD + f"crane,phrase,{'x' * 5_001}\n", 2, "has 5001 characters"),
        (HEAD + f"crane,phrase,{'x' * 140_000}\n", 2, "is not CSV: field larger"),
        ("label,kind,text,origin\ncrane,phrase,x,robot\n", 2, "origin must be one of llm"),
        ("label,kind,text,locked\ncrane,phrase,x,maybe\n", 2, "locked must be true or false"),
        (f"label,kind,text,part\ncrane,phrase,x,{'y' * 501}\n", 2, "part has 501 characters"),
        (HEAD + "crane,phrase,x\n" * 501, 502, "more than 500 lines"),
    ],
)
def test_errors_in_a_damaged_file_name_the_line(text: str, line: int, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        read_csv(text)
    assert message in str(caught.value)
    assert caught.value.line == line


EXCEL = (
    "label;sense;kind;text;part;locked;;\r\n"
    'crane;bird;phrase;"a ""red"" crown; bare";crown;WAHR;;\r\n'
    "café;;sentence;A café – with “tables”.;;FALSCH;;\r\n"
    ";;;;;;;\r\n"
)


@pytest.mark.parametrize(
    "content",
    [
        EXCEL.encode("utf-8-sig"),
        EXCEL.encode("cp1252"),
        EXCEL.replace(";", "\t").replace("crown\t bare", "crown; bare").encode("utf-16"),
        EXCEL.replace(";", ",").replace("crown, bare", "crown; bare").encode(),
        b"sep=;\r\n" + EXCEL.encode("cp1252"),
        EXCEL.replace("\r\n", "\r").encode("cp1252"),
    ],
    ids=["utf-8", "cp1252", "utf-16", "commas", "sep", "carriage returns"],
)
def test_what_excel_writes_back_is_read(content: bytes) -> None:
    crane, cafe = parse_entries(content, "csv")
    assert crane.lines == (Line("phrase", 'a "red" crown; bare', "crown", origin="import", locked=True),)
    assert cafe.label == "café"
    assert cafe.lines[0].locked is False


def test_a_column_of_labels_and_one_of_texts_are_enough() -> None:
    text = "Class Name,Description,url\ncrane,a long neck,x\ncrane,grey wings,y\nibis,,z\n"
    reading = Reading()
    crane, ibis = read_csv(text, reading)
    assert (crane.phrases, ibis.lines) == (("a long neck", "grey wings"), ())
    assert reading.report.warnings == ["columns that are not used: url"]


def test_all_faulty_rows_are_reported_and_a_partial_reading_keeps_the_others() -> None:
    text = HEAD + "crane,phrase,a\ncrane,verse,b\n,phrase,c\nibis,phrase\nheron,phrase,d\n"
    with pytest.raises(FormatError) as caught:
        read_csv(text)
    assert [fault.line for fault in caught.value.faults] == [3, 4, 5]
    read = read_csv(text, Reading(partial=True))
    assert [(entry.label, entry.phrases) for entry in read] == [("crane", ("a",)), ("heron", ("d",))]


def test_texts_are_normalised() -> None:
    (crane,) = read_csv(HEAD + 'crane ,phrase,"a\nlong\u00a0neck"\ncrane,phrase,\u200b\n')
    assert (crane.label, crane.phrases) == ("crane", ("a long neck",))


@pytest.mark.parametrize(
    "text",
    [
        "class,attribute 1,attribute 2\ncrane,grey,tall\nibis,white,\n",
        "class,desc1,desc2\ncrane,grey,tall\nibis,white,\n",
        "Klasse;Merkmal 1;Merkmal 2\ncrane;grey;tall\nibis;white;\n",
        "label,text,phrase,prompt\ncrane,grey,tall,Describe\nibis,white,,Describe\n",
    ],
)
def test_several_columns_of_texts_are_read(text: str) -> None:
    crane, ibis = read_csv(text)
    assert (crane.phrases, ibis.phrases) == (("grey", "tall"), ("white",))


def test_a_table_without_a_header_is_refused_with_a_remedy() -> None:
    with pytest.raises(
        FormatError, match=r"the first line \(crane, a long neck\) names no column of labels and texts; write"
    ):
        read_csv("crane,a long neck\nibis,a bent bill\n")
