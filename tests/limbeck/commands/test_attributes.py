"""`limbeck attributes` with a running service: list, show, search, export, import, stored responses."""

from pathlib import Path

import pytest

from limbeck.client import Limbeck
from store.db import Database
from store.enrich import results
from tests.limbeck.commands.conftest import KEY, printed

Capture = pytest.CaptureFixture[str]


@pytest.mark.slow
def test_list_show_and_search(client: Limbeck, set_id: str, capsys: Capture) -> None:
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
    client: Limbeck, sqlite_db: Database, set_id: str, capsys: Capture
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
def test_export_and_import_in_every_format(client: Limbeck, set_id: str, capsys: Capture, tmp_path: Path) -> None:
    vocabulary = client.attribute_set(set_id).vocabulary_id
    for format in ("json", "csv", "dclip"):
        path = tmp_path / format
        printed(capsys, "export", set_id, "--format", format, "--out", str(path))
        assert "2 of 3" in printed(capsys, "import", str(path), "--format", format, "--vocabulary", vocabulary)
    assert printed(capsys, "export", set_id, "--format", "csv").startswith("label,sense,kind,text,")
    assert "not_in_this_format" in printed(capsys, "export", set_id, "--format", "cupl", code=1)
    printed(capsys, "export", set_id, "--format", "label2text", "--out", str(tmp_path))
    files = [str(tmp_path / name) for name in ("label2text.txt", "sentences.txt")]
    assert Path(files[0]).read_text().startswith("001.crane_(bird) 1 crane_(bird)\n")
    printed(capsys, "import", "--label2text", files[0], "--sentences", files[1], "--vocabulary", vocabulary)
    assert "choose json, csv, dclip, cupl or label2text" in printed(capsys, "export", set_id, "--format", "x", code=2)
    assert "--out" in printed(capsys, "export", set_id, "--format", "label2text", code=2)
    assert "No such file" in printed(capsys, "export", set_id, "--out", str(tmp_path / "no" / "x"), code=2)
    assert "give FILE" in printed(capsys, "import", code=2)
