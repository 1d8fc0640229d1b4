"""`rm` of every noun: what is deleted, what is refused, and the question before a forced deletion."""

import json
from typing import Any

import pytest

from limbeck import Client
from limbeck.cli import main
from limbeck.commands import removal
from limbeck.errors import Conflict

Capture = pytest.CaptureFixture[str]


def run(capsys: Capture, *arguments: str) -> tuple[int, str, str]:
    code = main(list(arguments))
    printed = capsys.readouterr()
    return code, printed.out, "\n".join(line for line in printed.err.splitlines() if not line.startswith("{"))


def test_a_set_is_deleted_before_its_vocabulary_or_with_it(client: Client, set_id: str, capsys: Capture) -> None:
    vocabulary = client.attribute_sets.get(set_id).vocabulary_id
    code, out, err = run(capsys, "vocab", "rm", vocabulary)
    assert (code, out) == (1, "")
    assert set_id in err
    assert "--force" in err
    code, _, err = run(capsys, "vocab", "rm", vocabulary, "--force")
    assert code == 2
    assert "--yes" in err  # nobody can be asked here
    assert client.attribute_sets.get(set_id)
    code, out, _ = run(capsys, "vocab", "rm", vocabulary, "--force", "--yes")
    assert (code, out) == (0, f"{vocabulary} is deleted, with 1 × attribute set\n")
    assert run(capsys, "attributes", "rm", set_id)[0] == 2


@pytest.mark.parametrize("answer", [True, False])
def test_a_forced_deletion_asks(
    client: Client, set_id: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch, answer: bool
) -> None:
    asked: list[str] = []

    def confirm(text: str, **_: Any) -> bool:
        asked.append(text)
        return answer

    monkeypatch.setattr(removal.sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(removal.typer, "confirm", confirm)
    vocabulary = client.attribute_sets.get(set_id).vocabulary_id
    code, _, _ = run(capsys, "vocab", "rm", vocabulary, "--force")
    assert code == (0 if answer else 1)
    assert set_id in asked[0]
    assert len(list(client.attribute_sets.list())) == (0 if answer else 1)


def test_json_lists_what_was_deleted(client: Client, set_id: str, capsys: Capture) -> None:
    code, out, _ = run(capsys, "attributes", "rm", set_id, "--json")
    assert code == 0
    assert json.loads(out)[0]["deleted"] == [{"kind": "attribute_set", "id": set_id}]


def test_the_client_names_what_uses_a_resource(client: Client, set_id: str) -> None:
    vocabulary = client.attribute_sets.get(set_id).vocabulary_id
    with pytest.raises(Conflict, match="in_use") as refused:
        client.vocabularies.delete(vocabulary)
    assert [(error.kind, error.id) for error in refused.value.errors] == [("attribute_set", set_id)]
    assert client.vocabularies.delete(vocabulary, force=True).counts == {"vocabulary": 1, "attribute_set": 1}
