"""`python -m attributes.cli.check_gates` and `limbeck attributes check`: formats, exit codes, one-line errors, and the
JSON and HTML reports."""

import json
import re
from pathlib import Path

import pytest

from attributes.cli.check_gates import main
from attributes.formats.csv import write_csv
from attributes.formats.cupl import write_cupl
from attributes.formats.dclip import write_dclip
from attributes.formats.limbeck_json import write_json
from attributes.formats.registry import parse_entries
from attributes.gates.second_opinion import SecondOpinion, judge_strategy
from attributes.types import Entry, Label, Line
from limbeck.cli import main as limbeck
from tests.attributes.fake_llm import FakeLLM, FakeResponse, completion
from tests.attributes.gates.conftest import entries_with


@pytest.fixture(autouse=True)
def no_limbeck_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LIMBECK_NONVISUAL_WORDS", "LIMBECK_LLM_BASE_URL", "LIMBECK_LLM_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def good() -> list[Entry]:
    return entries_with()


def write_set(path: Path, entries: list[Entry]) -> str:
    path.write_text("".join(write_json(entries)), encoding="utf-8")
    return str(path)


def test_exit_codes_and_the_table(tmp_path: Path, good: list[Entry], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([write_set(tmp_path / "good.json", good)]) == 0
    output = capsys.readouterr().out
    assert "good.json: 4 of 4 labels described, 12 lines" in output
    assert "not measured: name a teacher" in " ".join(output.split())
    bad = write_set(tmp_path / "bad.json", entries_with("crane", "a loud [bold]call[/bold]"))
    assert main([bad, "--worst", "1"]) == 1
    output = capsys.readouterr().out
    assert re.search(r"lines with non-visual words +fails +7.7% +under 2% +1", output)
    assert "a loud [bold]call[/bold] (loud)" in output
    assert limbeck(["attributes", "check", bad]) == 1
    assert limbeck(["attributes", "check", str(tmp_path / "good.json")]) == 0


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["none.json"], "none.json: No such file or directory"),
        (["broken.json"], "broken.json: line 1: is not JSON"),
        (["empty.json"], "empty.json: has no labels"),
        (["set.json", "--format", "xml"], "--format 'xml': choose auto, json"),
        (["set.json", "--words", "none.txt"], "none.txt: No such file"),
        (["set.json", "--tokenizer", "set.json"], "--tokenizer: the tokenizer of set.json"),
        (["--label2text", "set.json"], "give FILE, or both --label2text and --sentences"),
        (["set.json", "--sentences", "set.json"], "give FILE, or both --label2text and --sentences"),
        (["set.json", "--html", "no/folder.html"], "no/folder.html: No such file"),
    ],
)
def test_invalid_input_gives_one_line_and_exit_code_2(
    arguments: list[str],
    fault: str,
    tmp_path: Path,
    good: list[Entry],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_set(tmp_path / "set.json", good)
    (tmp_path / "broken.json").write_text('{"crane": [', encoding="utf-8")
    (tmp_path / "empty.json").write_text("{}", encoding="utf-8")
    for run, prefix in ((main, "error: "), (lambda argv: limbeck(["attributes", "check", *argv]), "limbeck: ")):
        assert run(arguments) == 2
        stderr = capsys.readouterr().err
        assert stderr.startswith(prefix + fault)
        assert stderr.count("\n") == 1


def test_every_format_is_detected(good: list[Entry]) -> None:
    names = [entry.label for entry in good]
    answers = [
        Entry(name, lines=(Line("answer", f"{name}s have long necks and broad wings with black tips."),))
        for name in names
    ]
    for text, kind in (
        ("".join(write_json(good)), "phrase"),
        (write_dclip(good), "phrase"),
        ("".join(write_csv(good)), "phrase"),
        (write_cupl(answers), "answer"),
    ):
        entries = parse_entries(text)
        assert [entry.label for entry in entries] == names
        assert {line.kind for entry in entries for line in entry.lines} == {kind}
    assert parse_entries(write_dclip(good), "cupl")[0].lines[0].kind == "answer"


def test_label2text_with_sentences(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "l.txt").write_text("1.A_crane 1 A_crane\n2.B 2 B\n", encoding="utf-8")
    (tmp_path / "s.txt").write_text("A tall bird with a red crown, a grey back.\nA loud bird.\n", encoding="utf-8")
    files = ["--label2text", str(tmp_path / "l.txt"), "--sentences", str(tmp_path / "s.txt")]
    assert main([*files, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["file"], report["num_labels"], report["holds"]) == ("s.txt", 2, False)
    assert [one["gate"] for one in report["gates"] if one["holds"] is False] == ["nonvisual", "own"]


def test_word_files_can_be_added(tmp_path: Path, good: list[Entry], monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_set(tmp_path / "set.json", good)
    words = tmp_path / "words.txt"
    words.write_text("[taste]\nglossy\n", encoding="utf-8")
    assert main([path, "--words", str(words)]) == 1
    assert main([path]) == 0
    monkeypatch.setenv("LIMBECK_NONVISUAL_WORDS", str(words))
    assert main([path]) == 1


def test_the_html_report_is_self_contained_and_escaped(tmp_path: Path) -> None:
    entries = entries_with("crane", "a loud <script>alert(1)</script> tuft & crest")
    page = tmp_path / "page.html"
    assert main([write_set(tmp_path / "<i>.json", entries), "--html", str(page), "--worst", "0"]) == 1
    text = page.read_text(encoding="utf-8")
    assert "<h1>&lt;i&gt;.json</h1>" in text
    assert "a <mark>loud</mark> &lt;script&gt;alert(1)&lt;/script&gt; tuft &amp; crest" in text
    assert "<script" not in text
    assert not re.search(r"""(src|href)=|url\(|@import|http""", text)
    assert text.count('<section class="fails">') == 1
    assert text.count('<section class="open">') == 1
    assert 'style="--at:7.69"' in text
    assert 'data-label="under 2% allowed"' in text


def test_a_second_opinion_accepts_visible_lines(
    tmp_path: Path, llm: FakeLLM, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_set(tmp_path / "set.json", entries_with("crane", "a tail held as if to wag", "a loud call"))
    monkeypatch.setenv("LIMBECK_LLM_BASE_URL", llm.url)
    monkeypatch.setenv("LIMBECK_LLM_HEADERS", '{"X-Gateway": "one"}')
    llm.script = lambda _seen, _nth: FakeResponse(
        body=completion({"label": "crane", "answer": "1 seen, 2 unseen, 9 seen"})
    )
    assert main([path, "--second-opinion", "m", "--json"]) == 1
    gate = next(one for one in json.loads(capsys.readouterr().out)["gates"] if one["gate"] == "nonvisual")
    assert gate["judged_by"] == "our word list, then m"
    assert gate["details"] == {"num_lines": 1, "cleared_by_model": 1}
    assert llm.num_calls == 1
    assert llm.requests[0].headers["x-gateway"] == "one"
    assert '{"1": "a tail held as if to wag", "2": "a loud call"}' in llm.requests[0].prompt


def test_the_questions_of_a_second_opinion_have_unique_numbered_lines() -> None:
    opinion = SecondOpinion()
    questions = list(opinion.questions({Label("crane"): ["one", "two", "one"]}))
    assert [question.strategy for question in questions] == [judge_strategy()]
    assert questions[0].text == '{"1": "one", "2": "two"}'
    assert opinion.visible_texts == set()


def test_a_german_file_has_exit_code_0_and_says_what_is_not_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = [
        Entry("Kranich", lines=(Line("sentence", "Der Vogel hat eine rote Krone und einen langen Hals."),)),
        Entry("Reiher", lines=(Line("sentence", "Der Vogel hat einen schwarzen Streifen über dem Auge."),)),
    ]
    path = write_set(tmp_path / "vögel.json", entries)
    assert main([path]) == 0
    output = capsys.readouterr().out
    assert "4 gates were not judged, because of the language of the lines." in output
    assert re.search(r"lines with non-visual words +not judged", output)
    assert main([path, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["holds"], report["status"], report["languages"]) == (True, "not_judged", {"de": 2})
    assert {one["status"] for one in report["gates"]} == {"holds", "not_judged", "not_measured"}
    assert limbeck(["attributes", "check", path, "--language", "English", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["status"] == "fails"
