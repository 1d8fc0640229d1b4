"""Teacher references in requests."""

from tests.api.conftest import Service


def test_a_local_teacher_must_be_below_the_data_root(service: Service) -> None:
    vocabulary_id = service.vocabulary()
    (service.data / "teachers" / "tiny").mkdir(parents=True)
    (service.data / "away").symlink_to("/tmp")
    body = {"kind": "encode", "vocabulary_id": vocabulary_id}
    job = service.post("/v1/jobs", {**body, "teacher": "local-dir:teachers/tiny"}, status=202)
    assert job["spec"]["teacher"] == "local-dir:teachers/tiny"
    for folder in ("teachers/none", "../data/teachers/tiny", "/etc", "away", "teachers/../../x", "x\ud800"):
        response = service.http.post(
            "/v1/jobs",
            content=f'{{"kind": "encode", "vocabulary_id": "{vocabulary_id}", "teacher": '.encode()
            + b'"local-dir:'
            + folder.encode("ascii", "backslashreplace")
            + b'"}',
            headers={"Content-Type": "application/json"},
        )
        assert response.status_code == 422, folder
        assert response.json()["errors"][0]["pointer"] == "/teacher", response.text
