"""Teachers: list and get."""

from tests.api.conftest import Service


def test_list_and_get(published: Service) -> None:
    (teacher,) = published.get("/v1/teachers", ref="t")["data"]
    assert teacher == published.get(f"/v1/teachers/{teacher['id']}")
    assert (teacher["preprocess"], teacher["context_length"]) == ({"size": 64}, 77)
    assert "tokenizer_key" not in teacher
    assert published.http.get("/v1/teachers/tch_none").json()["code"] == "teacher_not_found"
    assert published.get("/v1/teachers", ref="u")["data"] == []
