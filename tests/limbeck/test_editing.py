"""`limbeck attributes` against a real service: looked at, searched, corrected by options and in an editor, sealed."""

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
    """A client of a service that LIMBECK_URL names, too."""
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


def said(capsys: Capture, *arguments: str, code: int = 0) -> str:
    """What `limbeck attributes …` printed; one line on stderr where it fails."""
    ended = main(["attributes", *arguments])
    told = capsys.readouterr()
    assert ended == code, told.err
    lines = [line for line in told.err.splitlines() if not line.startswith("{")]  # the service's log is JSON
    assert len(lines) == (1 if code else 0), told.err
    return lines[0] if code else told.out


def texts(client: Limbeck, id: str, label: str = "crane", **more: Any) -> list[tuple[str, str, bool]]:
    found = next(iter(client.attributes(id, label=label, **more)))
    return [(line.text, line.origin, line.locked) for line in found.lines]


def test_a_set_is_listed_shown_and_searched(client: Limbeck, set_id: str, capsys: Capture) -> None:
    assert "2/3" in said(capsys, "list")
    shown = said(capsys, "show", set_id, "crane (BIRD)")
    assert "A tall [grey] bird." in shown
    assert "a long neck  [part: neck]" in shown
    assert "label 2" in said(capsys, "search", set_id, "HER") or "heron" in said(capsys, "search", set_id, "HER")
    assert "no label is like that" in said(capsys, "search", set_id, "stork")
    assert "and more" in said(capsys, "search", set_id, "--limit", "2")
    assert "machine" not in said(capsys, "search", set_id, "--origin", "llm")
    assert "heron" in said(capsys, "search", set_id, "--undescribed")
    several = said(capsys, "show", set_id, "crane", code=2)
    assert 'write "crane (bird)", "crane (machine)"' in several
    assert "has no label 'stork'" in said(capsys, "show", set_id, "stork", code=2)
    assert "set_not_checked" in said(capsys, "search", set_id, "--gate", "twins", code=1)


def test_a_label_is_corrected_by_options_and_sealed(client: Limbeck, set_id: str, capsys: Capture) -> None:
    neck = next(iter(client.attributes(set_id, label="crane"))).lines[1].id
    told = said(
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
    assert "version 1, 1 label edited" in told
    assert texts(client, set_id, draft=True) == [
        ("A tall [grey] bird.", "llm", False),
        ("a very long neck", "human", True),
        ("a red crown", "human", False),
    ]
    assert "a red crown" in said(capsys, "draft", set_id)
    said(capsys, "lock", set_id, "crane (machine)")
    assert texts(client, set_id, "crane", draft=True)[0][2] is False
    said(capsys, "unlock", set_id, "crane (machine)")
    sealed = said(capsys, "seal", set_id)
    made = sealed.split()[0]
    assert f"(edited from {set_id}, 1 label changed)" in sealed
    compared = said(capsys, "compare", set_id, made)
    assert "+ phrase: a red crown  [part: crown, value: red]" in compared
    assert "- phrase: a long neck  [part: neck]" in compared
    assert "they say the same" in said(capsys, "compare", made, made)
    assert f"{made}  attribute set" in said(capsys, "uses", set_id)
    assert "nothing was made from it yet" in said(capsys, "uses", made)
    assert "draft_empty" in said(capsys, "seal", set_id, code=1)
    said(capsys, "lock", made, "heron")
    said(capsys, "edit", made, "heron", "--add", "contrast,about=crane (bird): no red crown")
    assert "1 label are forgotten" in said(capsys, "discard", made)
    assert client.drafts.get(made).num_edited == 0


def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """An editor that does to the file what a line of sed says."""
    path = tmp_path / "an editor.sh"
    path.write_text(f'#!/bin/sh\n{script} "$1"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("EDITOR", f"'{path}'")


def test_a_label_is_corrected_in_an_editor(
    client: Limbeck, set_id: str, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = (
        r"sed -i -e '$aphrase locked\n  text: x y' -e 's/a long neck/a bent neck/' -e '/part: neck/d' "
        r"-e '/^sentence/,/^$/d'"
    )
    editor(tmp_path, monkeypatch, script)
    said(capsys, "edit", set_id, "crane (bird)")
    assert texts(client, set_id, draft=True) == [("a bent neck", "human", False), ("x y", "human", True)]
    line = next(iter(client.attributes(set_id, label="crane", draft=True))).lines[0]
    assert (line.part, line.call) == ("", KEY)


def test_what_was_typed_is_kept_where_it_is_not_taken(
    client: Limbeck, set_id: str, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor(tmp_path, monkeypatch, "true")
    assert "nothing was changed" in said(capsys, "edit", set_id, "crane (bird)", code=2)
    editor(tmp_path, monkeypatch, "sed -i 's/^phrase.*/verse/'")
    broken = said(capsys, "edit", set_id, "crane (bird)", code=2)
    assert "'verse' is neither" in broken
    kept = Path(broken.split("kept in ")[1].split(":")[0])
    kept.write_text(kept.read_text().replace("verse", "phrase"))
    said(capsys, "edit", set_id, "crane (bird)", "--file", str(kept))
    kept.unlink()
    assert texts(client, set_id, draft=True)[1] == ("a long neck", "llm", False)
    editor(tmp_path, monkeypatch, "sed -i 's/text: a long neck/text: ./'")
    refused = said(capsys, "edit", set_id, "crane (bird)", code=2)
    assert "says nothing" in refused
    Path(refused.split("kept in ")[1].split(":")[0]).unlink()
    monkeypatch.setenv("EDITOR", "/none/such")
    assert "cannot be run" in said(capsys, "edit", set_id, "crane (bird)", code=2)
    monkeypatch.delenv("EDITOR")
    assert "set EDITOR" in said(capsys, "edit", set_id, "crane (bird)", code=2)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--add", "a red crown"], "write it as KIND: TEXT"),
        (["--add", "phrase,colour=red: a red crown"], "'colour=red' is none of"),
        (["--set", "abc"], "write it as LINE=TEXT"),
        (["--set", "ffff=x"], "has no line 'ffff'"),
        (["--delete", ""], "has several lines ''"),
        (["--add", "phrase: ."], "edit_invalid at /operations/0/text: says nothing"),
        (["--add", "phrase: x", "--file", "x"], "--file stands in place"),
    ],
)
def test_what_makes_no_sense_is_a_line(
    client: Limbeck, set_id: str, capsys: Capture, arguments: list[str], says: str
) -> None:
    assert says in said(capsys, "edit", set_id, "crane (bird)", *arguments, code=2)
    assert client.drafts.get(set_id).version == 0


def test_a_lines_call_tells_the_prompt_and_the_answer(
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
    shown = said(capsys, "answer", KEY)
    assert "m at http://llm.test/v1, describe@1" in shown
    assert "Describe [bold]it[/bold]." in shown
    assert '{"label": "crane"}' in shown
    assert "answer_not_found" in said(capsys, "answer", "0" * 64, code=1)


def test_every_format_goes_out_and_comes_in(client: Limbeck, set_id: str, capsys: Capture, tmp_path: Path) -> None:
    vocabulary = client.attribute_set(set_id).vocabulary_id
    for format in ("json", "csv", "dclip"):
        path = tmp_path / format
        said(capsys, "export", set_id, "--format", format, "--out", str(path))
        assert "2 of 3" in said(capsys, "import", str(path), "--format", format, "--vocabulary", vocabulary)
    assert said(capsys, "export", set_id, "--format", "csv").startswith("label,sense,kind,text,")
    assert "not_in_this_format" in said(capsys, "export", set_id, "--format", "cupl", code=1)
    said(capsys, "export", set_id, "--format", "label2text", "--out", str(tmp_path))
    files = [str(tmp_path / name) for name in ("label2text.txt", "sentences.txt")]
    assert Path(files[0]).read_text().startswith("001.crane_(bird) 1 crane_(bird)\n")
    said(capsys, "import", "--label2text", files[0], "--sentences", files[1], "--vocabulary", vocabulary)
    assert "choose json, csv, dclip, cupl or label2text" in said(capsys, "export", set_id, "--format", "x", code=2)
    assert "--out" in said(capsys, "export", set_id, "--format", "label2text", code=2)
    assert "No such file" in said(capsys, "export", set_id, "--out", str(tmp_path / "no" / "x"), code=2)
    assert "give FILE" in said(capsys, "import", code=2)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("  text: x\n", "line 1: a field without a line"),
        ("phrase\n  text: x\n  text: y\n", "line 3: a second text"),
        ("phrase\n  colour: x\n", "line 2: 'colour: x' is neither"),
        ("poem [0123456789ab]\n", "line 1"),
    ],
)
def test_a_text_that_is_no_label_names_the_line(text: str, says: str) -> None:
    with pytest.raises(BadInput, match=says.replace("[", r"\[")):
        label_text.read(text)
