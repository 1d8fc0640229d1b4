"""`limbeck attributes` with a running service: list, show, search, export, import, stored responses."""

from pathlib import Path

import pytest

from limbeck import Client
from limbeck.commands.attribute_files import read_label_map
from limbeck.commands.common import BadInput
from store.db import Database
from store.enrich import results
from tests.limbeck.commands.conftest import KEY, printed

Capture = pytest.CaptureFixture[str]


@pytest.mark.slow
def test_list_show_and_search(client: Client, set_id: str, capsys: Capture) -> None:
    assert "2/3" in printed(capsys, "list")
    shown = printed(capsys, "show", set_id, "crane (BIRD)")
    assert "A tall [grey] bird." in shown
    assert "a long neck  [part: neck]" in shown
    assert "label 2" in printed(capsys, "search", set_id, "HER") or "heron" in printed(capsys, "search", set_id, "HER")
    assert "no matching label" in printed(capsys, "search", set_id, "stork")
    assert "more labels match" in printed(capsys, "search", set_id, "--limit", "2")
    assert "machine" not in printed(capsys, "search", set_id, "--origin", "llm")
    assert "heron" in printed(capsys, "search", set_id, "--undescribed")
    several = printed(capsys, "show", set_id, "crane", code=2)
    assert 'write "crane (bird)", "crane (machine)"' in several
    assert "has no label 'stork'" in printed(capsys, "show", set_id, "stork", code=2)
    assert "set_not_checked" in printed(capsys, "search", set_id, "--gate", "twins", code=1)


@pytest.mark.slow
def test_answer_shows_the_prompt_and_the_response(
    client: Client, sqlite_db: Database, set_id: str, capsys: Capture
) -> None:
    row = {
        "key": KEY,
        "model": "m",
        "base_url": "http://me:secret@llm.test/v1?key=x",
        "strategy": "describe@1",
        "messages": [{"role": "user", "content": "Describe [bold]it[/bold]."}],
        "answer": '{"label": "crane"}',
        "lines": [],
        "other_lines": None,
        "flags": [],
    }
    with sqlite_db.write() as tx:
        results.record_responses(tx, [row])
    shown = printed(capsys, "answer", KEY)
    assert "m at http://llm.test/v1, describe@1" in shown
    assert "Describe [bold]it[/bold]." in shown
    assert '{"label": "crane"}' in shown
    assert "answer_not_found" in printed(capsys, "answer", "0" * 64, code=1)


@pytest.mark.slow
def test_export_and_import_in_every_format(client: Client, set_id: str, capsys: Capture, tmp_path: Path) -> None:
    vocabulary = client.attribute_sets.get(set_id).vocabulary_id
    for format in ("json", "csv", "dclip", "jsonl"):
        path = tmp_path / format
        printed(capsys, "export", set_id, "--format", format, "--out", str(path))
        assert "2 of 3" in printed(capsys, "import", str(path), "--format", format, "--vocabulary", vocabulary)
    assert printed(capsys, "export", set_id, "--format", "csv").startswith("\ufefflabel,sense,kind,text,")
    assert "not_in_this_format" in printed(capsys, "export", set_id, "--format", "cupl", code=1)
    printed(capsys, "export", set_id, "--format", "label2text", "--out", str(tmp_path / "new"))
    files = [str(tmp_path / "new" / name) for name in ("label2text.txt", "sentences.txt")]
    assert Path(files[0]).read_text().startswith("001.crane_(bird) 1 crane_(bird)\n")
    printed(capsys, "import", "--label2text", files[0], "--sentences", files[1], "--vocabulary", vocabulary)
    assert "choose json, csv, dclip, cupl, jsonl, parquet, huggingface or label2text" in printed(
        capsys, "export", set_id, "--format", "x", code=2
    )
    assert "--out" in printed(capsys, "export", set_id, "--format", "label2text", code=2)
    assert "No such file" in printed(capsys, "export", set_id, "--out", str(tmp_path / "no" / "x"), code=2)
    assert "give FILE" in printed(capsys, "import", code=2)


def test_an_import_prints_its_report(client: Client, set_id: str, capsys: Capture, tmp_path: Path) -> None:
    vocabulary = client.attribute_sets.get(set_id).vocabulary_id
    path = tmp_path / "published.json"
    path.write_bytes('{"Crane": ["a café\\n-grey back"], "zebra": ["stripes"], "emu": [7], "rhea": 7}'.encode("cp1252"))
    shown = printed(capsys, "import", str(path), "--vocabulary", vocabulary, code=2)
    assert f"{path}: the file has 2 faults; --partial leaves them out: line 1: " in shown
    for label in ("emu", "rhea"):
        assert shown.count(f'line 1: "{label}" must have a list of texts, not a number') == 1
    (tmp_path / "map.csv").write_text("Crane;crane (bird)\nzebra;\n")
    shown = printed(
        capsys, "import", str(path), "--map", str(tmp_path / "map.csv"), "--partial", "--vocabulary", vocabulary
    )
    assert "1 label matched by the map: Crane → crane (bird)" in shown
    assert "zebra" not in shown
    options = ("--partial", "--vocabulary", vocabulary)
    shown = printed(capsys, "import", str(path), *options)
    assert "read as an object of label -> list of texts (Windows-1252)" in shown
    assert "1 text with normalised white space" in shown
    assert (
        "1 label matched without a sense, and were assigned to each sense: Crane → crane (bird), crane (machine)"
        in shown
    )
    assert 'label "zebra" is not in the vocabulary' in shown


def test_maps_of_labels(tmp_path: Path) -> None:
    path = tmp_path / "map"
    path.write_text('{"a": "b", "c": ["d", "e"], "f": null}')
    assert read_label_map(path) == {"a": "b", "c": ["d", "e"], "f": None}
    path.write_bytes("\ufeffa;caf\u00e9\r\n\r\nf;\r\n".encode())
    assert read_label_map(path) == {"a": "café", "f": None}
    for text, message in (
        ("a,b,c\n", "row 1 must have two columns"),
        ("a,b\na,c\n", "row 2 names 'a' a second time"),
        ("lonely\n", "row 1 must have two columns"),
        ('{"a": 7}', "'a' must have a label"),
        ('{"a": ', "is not JSON"),
    ):
        path.write_text(text)
        with pytest.raises(BadInput, match=message):
            read_label_map(path)


def test_a_folder_of_hugging_face_is_exported_and_imported(
    client: Client, set_id: str, capsys: Capture, tmp_path: Path
) -> None:
    pytest.importorskip("pyarrow")
    vocabulary = client.attribute_sets.get(set_id).vocabulary_id
    out = tmp_path / "birds"
    printed(capsys, "export", set_id, "--format", "huggingface", "--out", str(out))
    assert sorted(path.name for path in out.rglob("*.*")) == ["README.md", "train-00000-of-00001.parquet"]
    assert "2 of 3" in printed(capsys, "import", str(out), "--vocabulary", vocabulary)
    assert "is not empty" in printed(capsys, "export", set_id, "--format", "huggingface", "--out", str(out), code=2)
    (tmp_path / "none").mkdir()
    assert "has no .parquet" in printed(capsys, "import", str(tmp_path / "none"), code=2)
