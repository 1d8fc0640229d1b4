"""The client: API key and readiness."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from limbeck import Client, Unreachable
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


def test_url_and_key_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted([Say(200, VOCABULARY)] * 3) as server:
        monkeypatch.setenv("LIMBECK_URL", server.url)
        monkeypatch.setenv("LIMBECK_KEY", "lbk_environment")
        for key in (None, "lbk_given", ""):
            with Client(key=key) as limbeck:
                limbeck.vocabularies.get("voc_1")
    sent = [seen.headers.get("authorization") for seen in server.seen]
    assert sent == ["Bearer lbk_environment", "Bearer lbk_given", None]


def test_with_options_is_a_copy_that_shares_the_connections() -> None:
    with scripted([Say(cut_after=0), Say(cut_after=0), Say(200, VOCABULARY)]) as server:
        limbeck = client(server.url)
        hasty = limbeck.with_options(attempts=1)
        with pytest.raises(Unreachable):
            hasty.vocabularies.get("voc_1")
        assert len(server.seen) == 1
        assert limbeck.vocabularies.get("voc_1").id == "voc_1"
        assert len(server.seen) == 3
        hasty.close()
        with pytest.raises(RuntimeError, match="closed"):
            limbeck.vocabularies.get("voc_1")


def test_a_timeout_ends_an_attempt() -> None:
    with silent_server() as url, Client(url, attempts=1) as limbeck, pytest.raises(Unreachable, match="timed out"):
        limbeck.with_options(timeout_s=0.1).vocabularies.get("voc_1")


@pytest.mark.parametrize(
    ("kind", "options", "error"),
    [
        ("distil", {}, "unknown kind of job 'distil'; it is one of enrich, encode"),
        ("distill", {"recipie": "limbeck"}, "a job of kind distill has no option recipie; did you mean recipe?"),
        ("prove", {"epochs": 1}, "a job of kind prove has no option epochs; it has attribute_set_id, concept"),
    ],
)
def test_an_unknown_kind_or_option_is_an_error_before_any_request(
    kind: Any, options: dict[str, Any], error: str
) -> None:
    with scripted([]) as server, client(server.url) as limbeck, pytest.raises((TypeError, ValueError), match=error):
        limbeck.jobs.create(kind, **options)
    assert server.seen == []


@contextmanager
def silent_server() -> Iterator[str]:
    """A server that accepts connections and never responds."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
