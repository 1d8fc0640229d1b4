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
    assert len({item["id"] for item in created}) == 1


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
    if not service.db.is_sqlite:
        pytest.skip("one database will do: the time goes into the reader")
    plain = "\n".join(f"bird {n}" for n in range(100_001)).encode()
    response = service.http.post("/v1/vocabularies?name=b", content=plain, headers=PLAIN)
    assert (response.status_code, response.json()["code"]) == (422, "vocabulary_too_large")
    whole = plain[: plain.rindex(b"\n")]
    created = service.http.post("/v1/vocabularies?name=b", content=whole, headers=PLAIN)
    assert created.json()["num_labels"] == 100_000
    last = service.get(f"{created.headers['location']}/labels", after=99_998)
    assert [item["name"] for item in last["data"]] == ["bird 99999"]


def test_malformed_csv_names_the_line(service: Service, subtests: pytest.Subtests) -> None:
    for csv, line in [
        (b"name,sense\ncrane,bird\nheron\n", "line 3:"),
        (b"name\ncrane\nheron,grey\n", "line 3:"),
        (b'name\ncrane\n"heron\n', "line 3:"),
        (b'name\ncrane\nher"on" x\n"a"b\n', "line 4:"),
        (b"name,sense\ncrane,bird\n,machine\n", "line 3:"),
        (b"name\ncrane\nher\xffon\nna\xc3\xafve\n", "the label file line 3:"),
        (b"name\n", "the label file has a header (name) and no labels"),
        (b"", "the label file has no labels"),
        (b'name\n"one\ntwo"\ncrane\nCRANE\n', "line 2:"),
    ]:
        with subtests.test(csv=csv):
            response = service.http.post("/v1/vocabularies?name=b", content=csv, headers=CSV)
            problem = response.json()
            assert response.status_code == 422, problem
            assert problem["errors"][0]["detail"].startswith(line), problem
    assert service.get("/v1/vocabularies")["data"] == []


def test_plain_text_names_every_line(service: Service) -> None:
    content = "crane\n\nher\x07on\nCrane\n" + "".join(f"x{'y' * 90}\x07{n}\n" for n in range(30))
    response = service.http.post("/v1/vocabularies?name=b", content=content.encode(), headers=PLAIN)
    problem = response.json()
    assert problem["errors"][:2] == [
        {"pointer": "/labels/1/name", "detail": "line 3: has a control character (U+0007)"},
        {"pointer": "/labels/2/name", "detail": "line 4: is also on line 1; give each a sense after a tab"},
    ]
    assert len(problem["errors"]) == 20
    assert "(and 31 more); the first 20 are listed" in problem["detail"]
    response = service.http.post("/v1/vocabularies?name=b", content=b"", headers=PLAIN)
    assert response.json()["code"] == "vocabulary_empty"
    response = service.http.post("/v1/vocabularies", content=b"crane", headers=PLAIN)
    assert response.json()["errors"] == [{"pointer": "", "parameter": "name", "detail": "is blank"}]


FILES = [
    ("application/json", b'{"0": "crane", "1": "heron"}', "JSON map of index to name"),
    ("application/x-ndjson", b'{"name": "crane"}\n{"name": "heron"}\n', "JSON Lines list of objects"),
    ("application/yaml", b"names: [crane, heron]\n", "YAML list of names"),
    ("text/tab-separated-values", b"id\tname\n1\tcrane\n2\theron\n", "tab-separated text with the header id, name"),
    ("text/csv", b"id;name\r\n1;crane\r\n2;heron\r\n", "CSV with semicolons with the header id, name"),
    ("text/plain", b'["crane", "heron"]', "JSON list of names"),
    ("application/octet-stream", "crane\r\nheron\r\n".encode("utf-16"), "plain text, one label per line"),
    (
        "multipart/form-data; boundary=xx",
        b'--xx\r\nContent-Disposition: form-data; name="file"; filename="l.csv"\r\n\r\n'
        b"label\ncrane\nheron\r\n--xx--\r\n",
        "CSV with the header label",
    ),
]


def test_a_label_file_of_each_media_type(service: Service, subtests: pytest.Subtests) -> None:
    digest = service.post("/v1/vocabularies", {"name": "b", "labels": ["crane", "heron"]})["digest"]
    for media_type, content, read_as in FILES:
        with subtests.test(media_type=media_type):
            headers = {"Content-Type": media_type}
            preview = service.http.post("/v1/vocabularies?dry_run=true", content=content, headers=headers)
            assert (preview.status_code, preview.json()["object"]) == (200, "label_preview")
            assert [label["name"] for label in preview.json()["labels"]] == ["crane", "heron"]
            created = service.http.post("/v1/vocabularies?name=b", content=content, headers=headers).json()
            assert (created["read_as"], created["num_labels"], created["digest"]) == (read_as, 2, digest)
            report = {name: created[name] for name in ("read_as", "notes", "warnings")}
            assert {name: preview.json()[name] for name in report} == report


def test_ids_of_a_file_are_kept_and_not_part_of_the_digest(service: Service) -> None:
    content = b"n01440764 tench, Tinca tinca\nn02012849 crane\n"
    created = service.http.post("/v1/vocabularies?name=b", content=content, headers=PLAIN)
    labels = service.get(f"{created.headers['location']}/labels")["data"]
    assert [(label["name"], label["ids"]) for label in labels] == [
        ("tench", {"wnid": "n01440764", "aliases": ["Tinca tinca"]}),
        ("crane", {"wnid": "n02012849"}),
    ]
    bare = service.post("/v1/vocabularies", {"name": "b", "labels": ["tench", "crane"]})
    assert bare["digest"] == created.json()["digest"]
    assert service.get(f"/v1/vocabularies/{bare['id']}/labels")["data"][0]["ids"] is None


def test_files_that_are_no_label_lists_are_refused_with_the_remedy(service: Service) -> None:
    for content, detail in [
        (b"n01440764\nn01443537\n", "every label is a WordNet id"),
        (b"PK\x03\x04", "is a damaged zip file, not a list of labels: unpack it"),
        (b'{"cat": ["fur"]}', "attributes"),
    ]:
        headers = {"Content-Type": "application/octet-stream"}
        response = service.http.post("/v1/vocabularies?name=b", content=content, headers=headers)
        assert (response.status_code, response.json()["code"]) == (422, "label_file_invalid")
        assert detail in response.json()["detail"]
    headers = {"Content-Type": "multipart/form-data; boundary=xx"}
    response = service.http.post("/v1/vocabularies?name=b", content=b"--xx--\r\n", headers=headers)
    assert (response.status_code, response.json()["code"]) == (400, "malformed_form")
    valid = service.http.post("/v1/vocabularies?dry_run=true", json={"name": "b", "labels": ["crane"]})
    assert (valid.status_code, valid.json()["read_as"]) == (200, None)


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
