"""`limbeck attributes edit`, with options and in an editor, `lock`, `draft`, `discard` and `seal`."""

import stat
from pathlib import Path
from typing import Any

import pytest

from limbeck import Client
from tests.limbeck.commands.conftest import KEY, printed

Capture = pytest.CaptureFixture[str]


def texts(client: Client, id: str, label: str = "crane", **more: Any) -> list[tuple[str, str, bool]]:
    found = next(iter(client.attribute_sets.labels(id, label=label, **more)))
    return [(line.text, line.origin, line.locked) for line in found.lines]


def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Set EDITOR to a script that runs `script` on the file."""
    path = tmp_path / "an editor.sh"
    path.write_text(f'#!/bin/sh\n{script} "$1"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("EDITOR", f"'{path}'")


@pytest.mark.slow
def test_edit_with_options_and_seal(client: Client, set_id: str, capsys: Capture) -> None:
    neck = next(iter(client.attribute_sets.labels(set_id, label="crane"))).lines[1].id
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
    assert printed(capsys, "uses", set_id).splitlines()[1].split()[0::3] == [new_id, "attribute"]
    assert "nothing was made from this set yet" in printed(capsys, "uses", new_id)
    assert "draft_empty" in printed(capsys, "seal", set_id, code=1)
    printed(capsys, "lock", new_id, "heron")
    printed(capsys, "edit", new_id, "heron", "--add", "contrast,about=crane (bird): no red crown")
    assert "discarded the edits of 1 label" in printed(capsys, "discard", new_id)
    assert client.drafts.get(new_id).num_edited == 0


@pytest.mark.slow
def test_edit_in_an_editor(
    client: Client, set_id: str, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = (
        r"sed -i -e '$aphrase locked\n  text: x y' -e 's/a long neck/a bent neck/' -e '/part: neck/d' "
        r"-e '/^sentence/,/^$/d'"
    )
    editor(tmp_path, monkeypatch, script)
    printed(capsys, "edit", set_id, "crane (bird)")
    assert texts(client, set_id, draft=True) == [("a bent neck", "human", False), ("x y", "human", True)]
    line = next(iter(client.attribute_sets.labels(set_id, label="crane", draft=True))).lines[0]
    assert (line.part, line.call) == ("", KEY)


@pytest.mark.slow
def test_a_rejected_edit_keeps_the_edited_file(
    client: Client, set_id: str, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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


@pytest.mark.slow
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
    client: Client, set_id: str, capsys: Capture, arguments: list[str], message: str
) -> None:
    assert message in printed(capsys, "edit", set_id, "crane (bird)", *arguments, code=2)
    assert client.drafts.get(set_id).version == 0
