"""Attribute sets: list, get, and unknown ids."""

from tests.api.conftest import Service

IMPORT = "/v1/attribute-sets/import"


def test_list_and_labels_across_stored_pages(service: Service) -> None:
    vocabulary_id = service.vocabulary(*(f"label {n}" for n in range(300)))
    id = service.attribute_set(vocabulary_id)
    other = service.attribute_set(service.vocabulary())
    assert [item["id"] for item in service.get("/v1/attribute-sets")["data"]] == [other, id]
    assert [item["id"] for item in service.get("/v1/attribute-sets", vocabulary_id=vocabulary_id)["data"]] == [id]
    page = service.get(f"/v1/attribute-sets/{id}/labels", after=249, limit=20)  # across two stored pages
    assert [item["position"] for item in page["data"]] == list(range(250, 270))
    assert (page["has_more"], page["last_id"]) == (True, "269")
    assert page["data"][0]["lines"][0]["text"] == "a label 250 head"


def test_unknown_ids_and_formats(service: Service) -> None:
    for path in ("ats_none", "ats_none/labels", "ats_none/export", "voc_%20"):
        response = service.http.get(f"/v1/attribute-sets/{path}")
        assert (response.status_code, response.json()["code"]) == (404, "attribute_set_not_found")
    id = service.attribute_set(service.vocabulary())
    response = service.http.get(f"/v1/attribute-sets/{id}/export", params={"format": "yaml"})
    assert (response.status_code, response.json()["errors"][0]["parameter"]) == (422, "format")
    response = service.http.post(IMPORT, content=b"a,b", headers={"Content-Type": "text/csv"})
    assert response.status_code == 415
