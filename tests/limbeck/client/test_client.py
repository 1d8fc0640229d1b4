"""The client: API key and readiness."""

from tests.limbeck.helpers import VOCABULARY, client
from tests.limbeck.scripted import Say, problem, scripted


def test_the_api_key_is_sent_as_bearer_token_and_not_in_the_repr() -> None:
    with scripted([Say(200, VOCABULARY)]) as server, client(server.url, key="lbk_secret") as limbeck:
        limbeck.vocabularies.get("voc_1")
        assert "lbk_secret" not in repr(vars(limbeck))
    assert server.seen[0].headers["authorization"] == "Bearer lbk_secret"


def test_ready_is_false_for_status_503() -> None:
    with scripted([problem(503, "not_ready"), Say(200, {})]) as server, client(server.url) as limbeck:
        assert [limbeck.ready(), limbeck.ready()] == [False, True]
