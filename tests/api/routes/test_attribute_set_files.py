"""Import and export of attribute sets, also of the published files."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.models import AttributeSet
from tests.api.conftest import Service
from tests.conftest import SHARED_DATA

IMPORT = "/v1/attribute-sets/import"


def _entries(service: Service, id: str) -> list[dict[str, Any]]:
    body: list[dict[str, Any]] = service.get(f"/v1/attribute-sets/{id}/labels", limit=1000)["data"]
    return body


@pytest.mark.slow
def test_published_cub_sentences_round_trip(service: Service, cub: Path) -> None:
    label2text = (cub / "label2text.txt").read_text()
    sentences = (cub / "chatgpt.txt").read_text()
    body = {"format": "label2text", "name": "CUB", "domain": "birds", "label2text": label2text, "sentences": sentences}
    created = service.post(IMPORT, body)
    assert (created["num_labels"], created["num_described"], created["num_flagged"]) == (200, 200, 3)
    vocabulary = service.get(f"/v1/vocabularies/{created['vocabulary_id']}")
    assert (vocabulary["name"], vocabulary["domain"], vocabulary["num_labels"]) == ("CUB", "birds", 200)

    entries = _entries(service, created["id"])
    published = [line.split(" ")[2] for line in label2text.splitlines()]
    assert [item["label"].replace(" ", "_") for item in entries] == published
    assert [item["lines"][0]["text"] for item in entries] == sentences.splitlines()
    assert [item["position"] for item in entries if "empty" in item["flags"]] == [97, 107]

    exported = service.http.get(f"/v1/attribute-sets/{created['id']}/export").text
    again = service.post(IMPORT, {"format": "json", "document": json.loads(exported)})
    assert again["vocabulary_id"] == created["vocabulary_id"]  # equal labels are one vocabulary
    assert _entries(service, again["id"]) == entries
    assert service.http.get(f"/v1/attribute-sets/{again['id']}/export").text == exported


@pytest.mark.parametrize("folder", ["CaltechBirds", "Flower102"])
def test_published_files_are_exported_byte_for_byte_also_after_an_edit(service: Service, folder: str) -> None:
    at = SHARED_DATA / "li2023" / folder
    if not at.is_dir():
        pytest.skip(f"the published files are not in {at}")
    texts = {"label2text": (at / "label2text.txt").read_text(), "sentences": (at / "chatgpt.txt").read_text()}
    id = service.post(IMPORT, {"format": "label2text", **texts})["id"]
    for what, text in texts.items():
        assert service.http.get(f"/v1/attribute-sets/{id}/export", params={"format": what}).text == text
    edit = {"operations": [{"op": "add", "position": 3, "kind": "phrase", "text": "a phrase"}]}
    response = service.http.patch(f"/v1/attribute-sets/{id}/draft", json=edit, headers={"If-Match": '"0"'})
    assert response.status_code == 200
    sealed = service.post(f"/v1/attribute-sets/{id}/draft/seal", None)["id"]
    for what, text in texts.items():
        assert service.http.get(f"/v1/attribute-sets/{sealed}/export", params={"format": what}).text == text


def test_published_dclip_round_trip_and_csv_round_trip(service: Service) -> None:
    at = SHARED_DATA / "dclip" / "descriptors_cub.json"
    if not at.is_file():
        pytest.skip(f"the published file is not in {at}")
    created = service.post(IMPORT, {"format": "dclip", "document": at.read_text()})
    exported = service.http.get(f"/v1/attribute-sets/{created['id']}/export", params={"format": "dclip"}).text
    assert json.loads(exported) == json.loads(at.read_text())
    response = service.http.get(f"/v1/attribute-sets/{created['id']}/export", params={"format": "csv"})
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    body = {"format": "csv", "vocabulary_id": created["vocabulary_id"], "document": response.text}
    assert service.post(IMPORT, body)["digest"] == created["digest"]


def test_cupl_round_trip(service: Service) -> None:
    document = {"crane": ["A crane is tall."], "ibis": ["An ibis has a bent bill.", "It is white."]}
    created = service.post(IMPORT, {"format": "cupl", "document": document})
    assert [line["kind"] for item in _entries(service, created["id"]) for line in item["lines"]] == ["answer"] * 3
    path = f"/v1/attribute-sets/{created['id']}/export"
    assert service.http.get(path, params={"format": "cupl"}).json() == document
    response = service.http.get(path, params={"format": "dclip"})
    assert (response.status_code, response.json()["code"]) == (409, "not_in_this_format")


def test_form_with_files(service: Service) -> None:
    files = {"label2text": b"1.A_crane 1 A_crane\n2.B 2 B\n", "sentences": b"A tall bird.\n.\n"}
    response = service.http.post(IMPORT, data={"format": "label2text", "name": "two"}, files=files)
    assert response.status_code == 201, response.text
    entries = _entries(service, response.json()["id"])
    assert [(item["label"], item["lines"][0]["text"], item["flags"]) for item in entries] == [
        ("A crane", "A tall bird.", []),
        ("B", ".", ["empty"]),
    ]
    assert entries[0]["lines"][0]["origin"] == "import"


def test_labels_without_lines_round_trip_through_json(service: Service) -> None:
    vocabulary_id = service.vocabulary("crane", "heron")
    created = service.post(IMPORT, {"format": "dclip", "vocabulary_id": vocabulary_id, "document": {"heron": ["grey"]}})
    document = service.http.get(f"/v1/attribute-sets/{created['id']}/export").json()
    again = service.post(IMPORT, {"format": "json", "vocabulary_id": vocabulary_id, "document": document})
    assert (again["digest"] != "", again["num_described"]) == (True, 1)
    assert _entries(service, again["id"]) == _entries(service, created["id"])


def test_uploads_in_other_encodings_are_read_and_named(service: Service) -> None:
    document = "label,kind,text\ncrane,phrase,a café-grey back\n"
    for encoding, name in (("utf-8-sig", "UTF-8"), ("cp1252", "Windows-1252"), ("utf-16", "UTF-16")):
        files = {"document": ("set.csv", document.encode(encoding))}
        response = service.http.post(IMPORT, data={"format": "auto"}, files=files)
        assert response.status_code == 201, response.text
        report = response.json()["import_report"]
        assert report["encoding"] == name
        assert [("Windows-1252" in warning) for warning in report["warnings"]] == [True] * (name == "Windows-1252")
        assert _entries(service, response.json()["id"])[0]["lines"][0]["text"] == "a café-grey back"
    labels = {"label2text": "a 1 café\nb 2 ibis\n".encode("cp1252"), "sentences": "One.\nTwo.\n".encode("utf-16")}
    response = service.http.post(IMPORT, data={"format": "label2text", "map": '{"ibis": "heron"}'}, files=labels)
    assert [item["label"] for item in _entries(service, response.json()["id"])] == ["café", "heron"]
    broken = {"label2text": b"\x1f\x8b", "sentences": b"x"}
    response = service.http.post(IMPORT, data={"format": "label2text"}, files=broken)
    assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, "/label2text")


@pytest.mark.parametrize("format", ["jsonl", "parquet", "huggingface", "csv"])
def test_complete_formats_round_trip(service: Service, format: str) -> None:
    if format in ("parquet", "huggingface"):
        pytest.importorskip("pyarrow")
    labels = [{"name": "crane", "sense": sense} for sense in ("bird", "machine")]
    vocabulary_id = service.post("/v1/vocabularies", {"name": "v", "labels": [*labels, "ibis"]})["id"]
    document = {"crane (bird)": ["a red crown", "=1+1"], "crane (machine)": ["a boom"]}
    created = service.post(IMPORT, {"format": "auto", "vocabulary_id": vocabulary_id, "document": document})
    exported = service.http.get(f"/v1/attribute-sets/{created['id']}/export", params={"format": format})
    assert exported.status_code == 200
    data = {"format": "auto", "vocabulary_id": vocabulary_id}
    again = service.http.post(IMPORT, data=data, files={"document": ("set", exported.content)})
    assert (again.status_code, again.json()["digest"]) == (201, created["digest"]), again.text
    if format in ("parquet", "huggingface"):
        encoded = base64.b64encode(exported.content).decode()
        body = {"format": format, "vocabulary_id": vocabulary_id, "document": encoded}
        assert service.post(IMPORT, body)["digest"] == created["digest"]


def test_malformed_forms_are_rejected(service: Service) -> None:
    for content, kind in (
        (b"--x\r\nContent-Dispos", "multipart/form-data; boundary=x"),
        (b"", "multipart/form-data"),
        (b"junk", "multipart/form-data; boundary=x"),
    ):
        response = service.http.post("/v1/attribute-sets/import", content=content, headers={"Content-Type": kind})
        assert 400 <= response.status_code < 500, response.text
        assert response.headers["content-type"] == "application/problem+json"
    many = {f"file{n}": b"x" for n in range(30)}
    assert service.http.post("/v1/attribute-sets/import", files=many).status_code == 400
    with service.db.read() as tx:
        assert tx.query(AttributeSet).count() == 0


_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=40)

_SOME = _TEXT.filter(bool)

_LINE = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["sentence", "phrase", "answer", "contrast"]),
        "text": _SOME,
        "origin": st.sampled_from(["llm", "human", "import"]),
    },
    optional={"part": _SOME, "value": _SOME, "about": _SOME, "locked": st.just(True), "strategy": _SOME},
)

_ENTRY = st.fixed_dictionaries({"lines": st.lists(_LINE, max_size=5)})


@pytest.mark.slow
@given(entries=st.lists(_ENTRY, min_size=1, max_size=6))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_json_round_trip(service: Service, entries: list[dict[str, Any]]) -> None:
    listed = [{"label": f"label {n}", **entry} for n, entry in enumerate(entries)]
    document = {"format": "limbeck.attributes", "version": 2, "entries": listed}
    first = service.post(IMPORT, {"format": "json", "document": document})
    exported = service.http.get(f"/v1/attribute-sets/{first['id']}/export").text
    second = service.post(IMPORT, {"format": "json", "document": exported})
    assert service.http.get(f"/v1/attribute-sets/{second['id']}/export").text == exported
    for given_, kept in zip(listed, json.loads(exported)["entries"], strict=True):
        if given_["lines"]:
            assert {key: kept[key] for key in given_} == given_
