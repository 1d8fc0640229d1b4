"""The overview page and the API reference."""

from tests.api.conftest import Service
from tests.api.published import publish


def test_texts_are_escaped(service: Service) -> None:
    empty = service.http.get("/")
    assert empty.text.count("None yet.") == 3
    publish(service.db, service.artefacts)
    with service.db.write() as tx:
        from store.models import Checkpoint

        tx.get_one(Checkpoint, "ckp_1").student = "<script>alert(1)</script>"
    landing, docs = service.http.get("/"), service.http.get("/docs")
    assert "<script>" not in landing.text
    assert "&lt;script&gt;alert(1)" in landing.text
    assert "ID 50.0%" in landing.text
    assert "/v1/checkpoints/{id}/files/{path}" in docs.text
    for response in (landing, docs):
        assert response.status_code == 200
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert not any(word in response.text for word in ("http://", "https://", "<script", "<img", "<link"))
