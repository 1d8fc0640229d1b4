"""`limbeck attributes` with a real service: list, show, search, edit (with options and in an editor), seal."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.app import create_app
from limbeck.cli import main
from limbeck.client import Limbeck
from limbeck.commands import label_text
from limbeck.commands.common import BadInput
from store.db import Database
from store.enrich import results
from tests.api.conftest import settings_at
from tests.api.live import served

Capture = pytest.CaptureFixture[str]
KEY = "c" * 64


@pytest.fixture
def client(sqlite_db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Limbeck]:
    """A client of a running service; LIMBECK_URL is its URL."""
    monkeypatch.setenv("COLUMNS", "160")
    for name in ("VISUAL", "EDITOR", "LIMBECK_KEY"):
        monkeypatch.delenv(name, raising=False)
    with served(create_app(settings_at(tmp_path / "home"), sqlite_db)) as url, Limbeck(url) as limbeck:
        monkeypatch.setenv("LIMBECK_URL", url)
        yield limbeck


@pytest.fixture
def set_id(client: Limbeck) -> str:
    lines = [
        {"kind": "sentence", "text": "A tall [grey] bird.", "origin": "llm", "call": KEY},
        {"kind": "phrase", "text": "a long neck", "part": "neck", "origin": "llm", "call": KEY},
    ]
    entries = [
        {"label": "crane", "sense": "bird", "lines": lines},
        {"label": "crane", "sense": "machine", "lines": [{"kind": "phrase", "text": "a boom"}]},
        {"label": "heron", "flags": []},
    ]
    document = {"format": "limbeck.attributes", "version": 2, "entries": entries}
    return client.import_attributes(json.dumps(document)).id


def printed(capsys: Capture, *arguments: str, code: int = 0) -> str:
    """The output of `limbeck attributes …`; with a `code`, its one line on stderr."""
    exit_code = main(["attributes", *arguments])
    output = capsys.readouterr()
    assert exit_code == code, output.err
    lines = [line for line in output.err.splitlines() if not line.startswith("{")]  # the service's log is JSON
    assert len(lines) == (1 if code else 0), output.err
    return lines[0] if code else output.out


def texts(client: Limbeck, id: str, label: str = "crane", **more: Any) -> list[tuple[str, str, bool]]:
    found = next(iter(client.attributes(id, label=label, **more)))
    return [(line.text, line.origin, line.locked) for line in found.lines]


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


def test_edit_with_options_and_seal(client: Limbeck, set_id: str, capsys: Capture) -> None:
    neck = next(iter(client.attributes(set_id, label="crane"))).lines[1].id
    output = printed(
        capsys,
        "edit",
        set_id,
        "crane (bird)",
        "--add",
        "phrase,part=crown,value=red: a red crown",
        "--set",
        f"{neck[:8]}=a very long neck",
        "--lock",
        neck,
    )
    assert "version 1, 1 label edited" in output
    assert texts(client, set_id, draft=True) == [
        ("A tall [grey] bird.", "llm", False),
        ("a very long neck", "human", True),
        ("a red crown", "human", False),
    ]
    assert "a red crown" in printed(capsys, "draft", set_id)
    printed(capsys, "lock", set_id, "crane (machine)")
    assert texts(client, set_id, "crane", draft=True)[0][2] is False
    printed(capsys, "unlock", set_id, "crane (machine)")
    sealed = printed(capsys, "seal", set_id)
    new_id = sealed.split()[0]
    assert f"(edited from {set_id}, 1 label changed)" in sealed
    compared = printed(capsys, "compare", set_id, new_id)
    assert "+ phrase: a red crown  [part: crown, value: red]" in compared
    assert "- phrase: a long neck  [part: neck]" in compared
    assert "the sets have equal attributes" in printed(capsys, "compare", new_id, new_id)
    assert f"{new_id}  attribute set" in printed(capsys, "uses", set_id)
    assert "nothing was made from this set yet" in printed(capsys, "uses", new_id)
    assert "draft_empty" in printed(capsys, "seal", set_id, code=1)
    printed(capsys, "lock", new_id, "heron")
    printed(capsys, "edit", new_id, "heron", "--add", "contrast,about=crane (bird): no red crown")
    assert "discarded the edits of 1 label" in printed(capsys, "discard", new_id)
    assert client.drafts.get(new_id).num_edited == 0


def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Set EDITOR to a script that runs `script` on the file."""
    path = tmp_path / "an editor.sh"
    path.write_text(f'#!/bin/sh\n{script} "$1"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("EDITOR", f"'{path}'")


def test_edit_in_an_editor(
    client: Limbeck, set_id: str, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = (
        r"sed -i -e '$aphrase locked\n  text: x y' -e 's/a long neck/a bent neck/' -e '/part: neck/d' "
        r"-e '/^sentence/,/^$/d'"
    )
    editor(tmp_path, monkeypatch, script)
    printed(capsys, "edit", set_id, "crane (bird)")
    assert texts(client, set_id, draft=True) == [("a bent neck", "human", False), ("x y", "human", True)]
    line = next(iter(client.attributes(set_id, label="crane", draft=True))).lines[0]
    assert (line.part, line.call) == ("", KEY)


def test_a_rejected_edit_keeps_the_edited_file(
    client: Limbeck, set_id: str, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor(tmp_path, monkeypatch, "true")
    assert "nothing was changed" in printed(capsys, "edit", set_id, "crane (bird)", code=2)
    editor(tmp_path, monkeypatch, "sed -i 's/^phrase.*/verse/'")
    invalid = printed(capsys, "edit", set_id, "crane (bird)", code=2)
    assert "'verse' is neither" in invalid
    kept = Path(invalid.split("kept in ")[1].split(":")[0])
    kept.write_text(kept.read_text().replace("verse", "phrase"))
    printed(capsys, "edit", set_id, "crane (bird)", "--file", str(kept))
    kept.unlink()
    assert texts(client, set_id, draft=True)[1] == ("a long neck", "llm", False)
    editor(tmp_path, monkeypatch, "sed -i 's/text: a long neck/text: ./'")
    rejected = printed(capsys, "edit", set_id, "crane (bird)", code=2)
    assert "has no letter or digit" in rejected
    Path(rejected.split("kept in ")[1].split(":")[0]).unlink()
    monkeypatch.setenv("EDITOR", "/none/such")
    assert "cannot be run" in printed(capsys, "edit", set_id, "crane (bird)", code=2)
    monkeypatch.delenv("EDITOR")
    assert "set EDITOR" in printed(capsys, "edit", set_id, "crane (bird)", code=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--add", "a red crown"], "write it as KIND: TEXT"),
        (["--add", "phrase,colour=red: a red crown"], "'colour=red' is not one of"),
        (["--set", "abc"], "write it as LINE=TEXT"),
        (["--set", "ffff=x"], "has no line 'ffff'"),
        (["--delete", ""], "has several lines ''"),
        (["--add", "phrase: ."], "edit_invalid at /operations/0/text: has no letter or digit"),
        (["--add", "phrase: x", "--file", "x"], "--file cannot be combined"),
    ],
)
def test_invalid_options_are_reported(
    client: Limbeck, set_id: str, capsys: Capture, arguments: list[str], message: str
) -> None:
    assert message in printed(capsys, "edit", set_id, "crane (bird)", *arguments, code=2)
    assert client.drafts.get(set_id).version == 0


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
        results.record_answers(tx, [row])
    shown = printed(capsys, "answer", KEY)
    assert "m at http://llm.test/v1, describe@1" in shown
    assert "Describe [bold]it[/bold]." in shown
    assert '{"label": "crane"}' in shown
    assert "answer_not_found" in printed(capsys, "answer", "0" * 64, code=1)


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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("  text: x\n", "line 1: a field without a `kind` line"),
        ("phrase\n  text: x\n  text: y\n", "line 3: a second text"),
        ("phrase\n  colour: x\n", "line 2: 'colour: x' is neither"),
        ("poem [0123456789ab]\n", "line 1"),
    ],
)
def test_an_invalid_text_names_the_line(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message.replace("[", r"\[")):
        label_text.parse_lines(text)
