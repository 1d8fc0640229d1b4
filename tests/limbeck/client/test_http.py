"""HTTP requests with a server that closes connections, responds late and rejects requests."""

import json
from email.utils import formatdate

import pytest

from limbeck import Client, LimbeckError, Problem, Unreachable
from tests.limbeck.helpers import VOCABULARY, client, job
from tests.limbeck.scripted import Say, problem, scripted


def test_a_post_is_retried_with_the_same_key_and_body() -> None:
    slept: list[float] = []
    with scripted([Say(cut_after=0), problem(503, "database_unavailable"), Say(201, VOCABULARY)]) as server:
        limbeck = client(server.url, slept)
        vocabulary = limbeck.vocabularies.create("birds", ["crane", {"name": "crane", "sense": "the machine"}])
        limbeck.close()
    assert vocabulary.id == "voc_1"
    assert vocabulary.created_at.isoformat() == "2026-11-23T21:04:05.678000+00:00"
    assert len(slept) == 2
    assert len({seen.headers["idempotency-key"] for seen in server.seen}) == 1
    assert len({seen.body for seen in server.seen}) == 1
    assert json.loads(server.seen[0].body)["labels"] == [{"name": "crane"}, {"name": "crane", "sense": "the machine"}]


def test_two_posts_have_different_keys() -> None:
    with scripted([Say(201, VOCABULARY), Say(201, VOCABULARY)]) as server, client(server.url) as limbeck:
        limbeck.vocabularies.create("birds", ["crane"])
        limbeck.vocabularies.create("birds", ["crane"])
    assert len({seen.headers["idempotency-key"] for seen in server.seen}) == 2


def test_retry_after_is_honoured_in_both_formats() -> None:
    slept: list[float] = []
    busy = problem(429, "slow_down")
    script = [
        Say(429, busy.body, {"Retry-After": "7"}),
        Say(429, busy.body, {"Retry-After": formatdate(0, usegmt=True)}),
        Say(200, VOCABULARY),
    ]
    with scripted(script) as server, client(server.url, slept) as limbeck:
        limbeck.vocabularies.get("voc_1")
    assert slept == [7.0, 0.0]


def test_a_long_retry_after_is_an_error() -> None:
    script = [Say(503, problem(503, "maintenance").body, {"Retry-After": "7200"})]
    with scripted(script) as server, client(server.url) as limbeck, pytest.raises(Problem, match="maintenance"):
        limbeck.vocabularies.get("voc_1")
    assert len(server.seen) == 1


def test_a_request_in_progress_is_retried() -> None:
    with (
        scripted([problem(409, "idempotency_in_progress"), Say(202, job("queued"))]) as server,
        client(server.url) as limbeck,
    ):
        assert limbeck.jobs.create("enrich", vocabulary_id="voc_1").id == "job_1"
    assert len(server.seen) == 2


@pytest.mark.parametrize("status", [400, 401, 404, 409, 422, 500])
def test_permanent_errors_are_not_retried(status: int) -> None:
    with (
        scripted([problem(status, "no_way")]) as server,
        client(server.url) as limbeck,
        pytest.raises(Problem) as caught,
    ):
        limbeck.jobs.create("enrich", vocabulary_id="voc_1")
    assert (caught.value.status, caught.value.code) == (status, "no_way")
    assert len(server.seen) == 1


def test_a_problem_names_the_invalid_fields_in_one_line() -> None:
    errors = [{"pointer": "/labels/3/name", "detail": "is blank"}, {"pointer": "/labels/5/name", "detail": "is blank"}]
    with (
        scripted([problem(422, "label_invalid", "is blank", errors=errors)]) as server,
        client(server.url) as limbeck,
        pytest.raises(Problem) as caught,
    ):
        limbeck.vocabularies.create("birds", [""])
    assert [error.pointer for error in caught.value.errors] == ["/labels/3/name", "/labels/5/name"]
    assert str(caught.value) == "label_invalid at /labels/3/name: is blank (and 1 more)"


def test_a_problem_names_the_field_once() -> None:
    detail = "must be the name or the code of a language"
    errors = [{"pointer": "/language", "detail": detail}]
    rejection = problem(422, "invalid_request", f"/language: {detail}", errors=errors)
    with scripted([rejection]) as server, client(server.url) as limbeck, pytest.raises(Problem) as caught:
        limbeck.jobs.create("enrich", vocabulary_id="voc_1", language="G;")
    assert str(caught.value) == f"invalid_request at /language: {detail}"


def test_an_error_page_of_a_proxy_is_a_problem() -> None:
    page = Say(413, b"<html>too large</html>", {"Content-Type": "text/html"})
    with scripted([page]) as server, client(server.url) as limbeck, pytest.raises(Problem) as caught:
        limbeck.vocabularies.get("voc_1")
    assert str(caught.value) == "http_413: <html>too large</html>"


def test_a_response_that_is_not_json_is_an_error() -> None:
    with (
        scripted([Say(200, b"<html>welcome</html>")]) as server,
        client(server.url) as limbeck,
        pytest.raises(LimbeckError, match="not JSON"),
    ):
        limbeck.vocabularies.get("voc_1")


def test_a_closed_port_is_unreachable_after_all_attempts() -> None:
    with scripted([]) as server:
        pass
    slept: list[float] = []
    with client(server.url, slept, attempts=3) as limbeck, pytest.raises(Unreachable, match="does not respond"):
        limbeck.vocabularies.get("voc_1")
    assert len(slept) == 2
    assert slept[0] < slept[1]


@pytest.mark.parametrize("url", ["nonsense", "ftp://host", "http://[::1"])
def test_an_invalid_url_is_rejected(url: str) -> None:
    with pytest.raises(Unreachable, match="URL"):
        Client(url)


def test_all_pages_of_a_list_are_fetched() -> None:
    labels = [
        {"position": n, "label": f"label {n}", "sense": None, "described": n == 2, "lines": [], "flags": []}
        for n in range(3)
    ]
    pages = [
        {"data": labels[:2], "has_more": True, "first_id": "0", "last_id": "1"},
        {"data": labels[2:], "has_more": False, "first_id": "2", "last_id": "2"},
    ]
    with scripted([Say(200, page) for page in pages]) as server, client(server.url) as limbeck:
        names = [entry.label for entry in limbeck.attribute_sets.labels("ats_1")]
    assert names == ["label 0", "label 1", "label 2"]
    assert "after" not in server.seen[0].path
    assert server.seen[1].path.endswith("after=1")
