"""Drafts of attribute sets."""

from tests.limbeck.helpers import client
from tests.limbeck.scripted import Say, scripted


def test_a_draft_change_is_retried_with_the_same_key_and_version() -> None:
    changed = {"attribute_set_id": "ats_1", "version": 4, "num_edited": 1, "updated_at": None, "changed": []}
    with scripted([Say(cut_after=0), Say(200, changed)]) as server, client(server.url) as limbeck:
        draft = limbeck.drafts.change("ats_1", [{"op": "lock", "position": 3}], version=3)
    assert draft.version == 4
    assert [(seen.method, seen.headers["if-match"]) for seen in server.seen] == [("PATCH", '"3"')] * 2
    assert len({seen.headers["idempotency-key"] for seen in server.seen}) == 1
