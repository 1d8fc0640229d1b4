"""Errors as RFC 9457 problems."""

from tests.api.conftest import Service


def test_unknown_paths_and_methods_are_problems(service: Service) -> None:
    for method, path, status, code in (
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/v1/jobs/", 404, "not_found"),
        ("DELETE", "/v1/jobs", 405, "method_not_allowed"),
        ("PUT", "/v1/vocabularies", 405, "method_not_allowed"),
    ):
        response = service.http.request(method, path)
        assert (response.status_code, response.json()["code"]) == (status, code), path
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["request_id"] == response.headers["x-request-id"]
    for path in ("/v1/jobs/a%00b", "/v1/jobs?kind=%00", "/v1/jobs?after=a%00"):
        assert service.http.get(path).status_code == 400


def test_unstorable_text_is_rejected_at_any_depth(service: Service) -> None:
    for body in (
        b'{"path": "images", "vocabulary_id": "voc_x", "folder_map": {"a\\ud800": "b"}}',
        b'{"path": "images", "vocabulary_id": "voc_x", "split": {"by": "list", "id": ["a\\u0000"]}}',
        b'{"path": "images", "vocabulary_id": "voc_x", "split": ' + b"[" * 900 + b"]" * 900 + b"}",
    ):
        response = service.http.post("/v1/datasets", content=body, headers={"Content-Type": "application/json"})
        assert response.status_code == 422, response.text
    response = service.http.post("/v1/datasets", content=b"{}", headers={"Content-Type": "text/plain"})
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")
    assert service.http.get("/v1/datasets/dst_none").status_code == 404
