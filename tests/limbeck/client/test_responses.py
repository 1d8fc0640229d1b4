"""Responses that a client cannot read, and the classes of problems."""

import pytest

from limbeck import Client, NotFound, Problem, ServiceFailed, UnexpectedResponse, VersionMismatch
from limbeck.errors import Conflict, InvalidRequest, NotAuthenticated, NotPermitted, TooManyRequests
from limbeck.shared.parts import VERSION_HEADER, installed_version
from tests.limbeck.helpers import VOCABULARY, page
from tests.limbeck.scripted import Say, problem, scripted

WITHOUT_NAME = {name: value for name, value in VOCABULARY.items() if name != "name"}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequest),
        (401, NotAuthenticated),
        (403, NotPermitted),
        (404, NotFound),
        (410, NotFound),
        (412, Conflict),
        (422, InvalidRequest),
        (429, TooManyRequests),
        (500, ServiceFailed),
        (503, ServiceFailed),
        (418, Problem),
    ],
)
def test_a_problem_has_the_class_of_its_status(status: int, kind: type[Problem]) -> None:
    with scripted([problem(status, "no_way")]) as server, Client(server.url, attempts=1) as client:
        with pytest.raises(Problem) as caught:
            client.vocabularies.get("voc_1")
        assert type(caught.value) is kind
        assert (caught.value.status, caught.value.code) == (status, "no_way")


@pytest.mark.parametrize("response", [Say(200, WITHOUT_NAME), Say(200, b"<html>welcome</html>")], ids=["json", "html"])
def test_an_unreadable_response_of_another_version_names_both(response: Say) -> None:
    other = Say(200, response.body, {VERSION_HEADER: "9.2.0"})
    with scripted([other]) as server, Client(server.url) as client, pytest.raises(VersionMismatch) as caught:
        client.vocabularies.get("voc_1")
    assert (caught.value.client, caught.value.service) == (installed_version(), "9.2.0")
    assert str(caught.value).startswith(
        f"the service is Limbeck 9.2.0 and this client is {installed_version()}: install the client of version 9.2.0 "
    )


@pytest.mark.parametrize("headers", [{}, {VERSION_HEADER: installed_version()}], ids=["unknown", "same"])
def test_an_unreadable_response_of_the_same_version_names_the_field(headers: dict[str, str]) -> None:
    script = [Say(200, WITHOUT_NAME, headers), Say(200, page(WITHOUT_NAME), headers)]
    with scripted(script) as server, Client(server.url) as client:
        for read in (lambda: client.vocabularies.get("voc_1"), lambda: list(client.vocabularies.list())):
            with pytest.raises(UnexpectedResponse, match="cannot read, at name: Field required") as caught:
                read()
            assert type(caught.value) is UnexpectedResponse


@pytest.mark.parametrize(
    ("status", "code", "is_named"),
    [
        (404, "not_found", True),
        (405, "method_not_allowed", True),
        (422, "invalid_request", True),
        (404, "vocabulary_not_found", False),
        (409, "vocabulary_in_use", False),
    ],
)
def test_a_problem_with_a_service_of_another_version_names_both(status: int, code: str, is_named: bool) -> None:
    versions = f" (the service is Limbeck 9.2.0, this client {installed_version()})"
    for version in ("9.2.0", installed_version()):
        response = Say(status, problem(status, code).body, {VERSION_HEADER: version})
        with scripted([response]) as server, Client(server.url) as client, pytest.raises(Problem) as caught:
            client.vocabularies.get("voc_1")
        assert str(caught.value) == f"{code}: no{versions if is_named and version == '9.2.0' else ''}"


def test_a_readable_response_of_another_version_is_used() -> None:
    with scripted([Say(200, VOCABULARY, {VERSION_HEADER: "9.2.0"})]) as server, Client(server.url) as client:
        assert client.vocabularies.get("voc_1").name == "birds"
