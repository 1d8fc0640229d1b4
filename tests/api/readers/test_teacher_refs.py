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


def test_a_file_of_weights_must_be_below_the_data_root(service: Service) -> None:
    body = {"kind": "encode", "vocabulary_id": service.vocabulary()}
    (service.data / "run").mkdir()
    (service.data / "run" / "epoch_3.pt").write_bytes(b"weights")
    (service.data / "away.pt").symlink_to("/etc/passwd")
    job = service.post("/v1/jobs", {**body, "teacher": "ViT-B-32:run/epoch_3.pt"}, status=202)
    assert job["spec"]["teacher"] == "ViT-B-32:run/epoch_3.pt"
    for path, code in {
        "run/none.pt": "no_such_file",
        "./run": "no_such_file",
        "/etc/passwd": "outside_root",
        "../data/run/epoch_3.pt": "outside_root",
        "~/epoch_3.pt": "no_such_file",
        "C:\\weights.pt": "outside_root",
        "away.pt": "link",
    }.items():
        problem = service.post("/v1/jobs", {**body, "teacher": f"ViT-B-32:{path}"}, status=422)
        assert (problem["code"], problem["errors"][0]["pointer"]) == (code, "/teacher"), path
