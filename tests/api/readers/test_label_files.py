"""Parsing of uploaded label lists: JSON, CSV and plain text."""

import pytest

from tests.api.conftest import Service

CSV, PLAIN = {"Content-Type": "text/csv"}, {"Content-Type": "text/plain; charset=utf-8"}


def test_all_formats_create_the_same_vocabulary(service: Service) -> None:
    body = {"name": "b", "domain": "d", "labels": ["crane", 'a "quoted", one', "naïve"]}
    csv = 'name\ncrane\n"a ""quoted"", one"\nnaïve\n'
    plain = '\ufeffcrane\r\na "quoted", one\r\nnaïve\r\n'
    created = [
        service.post("/v1/vocabularies", body),
        service.http.post("/v1/vocabularies?name=b&domain=d", content=csv.encode(), headers=CSV).json(),
        service.http.post("/v1/vocabularies?name=b&domain=d", content=plain.encode(), headers=PLAIN).json(),
    ]
    assert len({item["digest"] for item in created}) == 1
    assert len({item["id"] for item in created}) == 3


def test_senses_in_csv(service: Service) -> None:
    csv = b'name,sense\ncrane,the bird\ncrane,"the machine,\nin two lines"\nheron,\n'
    created = service.http.post("/v1/vocabularies?name=b", content=csv, headers=CSV)
    assert created.status_code == 422  # a line break is a control character
    assert created.json()["errors"][0] == {
        "pointer": "/labels/1/sense",
        "detail": "line 3: has a control character (U+000A)",
    }
    csv = b"name,sense\ncrane,the bird\ncrane,the machine\nheron,\n"
    created = service.http.post("/v1/vocabularies?name=b", content=csv, headers=CSV)
    labels = service.get(f"{created.headers['location']}/labels")["data"]
    assert [item["sense"] for item in labels] == ["the bird", "the machine", None]


@pytest.mark.slow
def test_at_most_100_000_labels(service: Service) -> None:
    plain = "\n".join(f"label {n}" for n in range(100_001)).encode()
    response = service.http.post("/v1/vocabularies?name=b", content=plain, headers=PLAIN)
    assert (response.status_code, response.json()["code"]) == (422, "vocabulary_too_large")
    whole = plain[: plain.rindex(b"\n")]
    created = service.http.post("/v1/vocabularies?name=b", content=whole, headers=PLAIN)
    assert created.json()["num_labels"] == 100_000
    last = service.get(f"{created.headers['location']}/labels", after=99_998)
    assert [item["name"] for item in last["data"]] == ["label 99999"]


def test_malformed_csv_names_the_line(service: Service, subtests: pytest.Subtests) -> None:
    for csv, line in [
        (b"name,sense\ncrane,bird\nheron\n", "line 3:"),
        (b"name\ncrane\nheron,grey\n", "line 3:"),
        (b'name\ncrane\n"heron\n', "line 3:"),
        (b'name\ncrane\nher"on" x\n"a"b\n', "line 4:"),
        (b"name\ncrane\n\nheron\n", "line 3:"),
        (b"name\ncrane\nher\xffon\n", "line 3:"),
        (b"label\ncrane\n", "line 1:"),
        (b"", "line 1:"),
        (b'name\n"one\ntwo"\ncrane\nCRANE\n', "line 2:"),
    ]:
        with subtests.test(csv=csv):
            response = service.http.post("/v1/vocabularies?name=b", content=csv, headers=CSV)
            problem = response.json()
            assert response.status_code == 422, problem
            assert problem["errors"][0]["detail"].startswith(line), problem
    assert service.get("/v1/vocabularies")["data"] == []


def test_plain_text_names_the_line(service: Service) -> None:
    response = service.http.post("/v1/vocabularies?name=b", content=b"crane\n\nheron\n", headers=PLAIN)
    assert response.json()["errors"] == [{"pointer": "/labels/1/name", "detail": "line 2: is blank"}]
    response = service.http.post("/v1/vocabularies?name=b", content=b"", headers=PLAIN)
    assert response.json()["code"] == "vocabulary_empty"
    response = service.http.post("/v1/vocabularies", content=b"crane", headers=PLAIN)
    assert response.json()["errors"] == [{"pointer": "", "parameter": "name", "detail": "is blank"}]


def test_malformed_json_and_unsupported_types(service: Service) -> None:
    for content, type_, status, code in [
        (b'{"name": ', "application/json", 400, "malformed_json"),
        (b"[" * 50_000, "application/json", 400, "malformed_json"),
        (b'{"name": "\xff"}', "application/json", 400, "malformed_json"),
        (rb'{"name": "b", "labels": ["cra\ud800ne"]}', "application/json", 400, "malformed_json"),
        (b"<labels/>", "application/xml", 415, "unsupported_media_type"),
    ]:
        response = service.http.post("/v1/vocabularies", content=content, headers={"Content-Type": type_})
        assert (response.status_code, response.json()["code"]) == (status, code), content[:20]
