"""Uploads: a stream of bytes in pieces, its quota, its end, datasets in it, and its removal."""

import base64
import hashlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from httpx2 import Response
from sqlalchemy import delete, update
from starlette.testclient import TestClient

from api.app import create_app
from api.uploads.content import StreamWriter
from api.uploads.listing import StreamListing
from store.db import Database
from store.errors import Conflict
from store.models import Upload
from store.upkeep import sweep
from store.uploads import upkeep, uploads
from store.uploads.places import UploadPlace
from tests.api.conftest import BASE, Service, bearer, create_key, settings_at
from tests.api.live import served
from tests.api.uploads.test_archives import tar_of, zip_of
from tests.images import tiny_image

LABELS = ("crane", "heron", "stork", "ibis")
FILES = {f"{label}/{n}.png": tiny_image(f"{label} {n}") for label in LABELS for n in range(4)}
STREAM = b"".join(FILES.values())
Maker = Callable[..., Service]


def listed(files: dict[str, bytes] = FILES) -> list[dict[str, object]]:
    return [{"path": path, "size": len(content)} for path, content in files.items()]


@pytest.fixture
def on(make_service: Maker, tmp_path: Path) -> Service:
    """A service with uploads."""
    return make_service(upload_root=tmp_path / "uploads")


@pytest.fixture
def local(sqlite_db: Database, tmp_path: Path) -> Iterator[Service]:
    """The same on SQLite only, for what does not depend on the database."""
    settings = settings_at(tmp_path / "home", upload_root=tmp_path / "uploads")
    app = create_app(settings, sqlite_db)
    with TestClient(app, base_url=BASE, raise_server_exceptions=False) as client:
        yield Service(app, client, sqlite_db, settings)


def send(service: Service, id: str, data: bytes, at: int, **headers: str) -> Response:
    headers = {"Upload-Offset": str(at)} | {name.replace("_", "-"): value for name, value in headers.items()}
    return service.http.patch(f"/v1/uploads/{id}/content", content=data, headers=headers)  # type: ignore[return-value]


def offset(service: Service, id: str) -> int:
    response = service.http.head(f"/v1/uploads/{id}/content")
    assert response.status_code == 200
    return int(response.headers["upload-offset"])


def uploaded(service: Service, files: dict[str, bytes] = FILES, **fields: str) -> dict[str, Any]:
    """A complete upload."""
    id = service.post("/v1/uploads", {"name": "birds", "files": listed(files), **fields})["id"]
    assert send(service, id, b"".join(files.values()), 0).status_code == 204
    complete: dict[str, Any] = service.post(f"/v1/uploads/{id}/complete", {}, status=200)
    return complete


def test_a_folder_arrives_in_pieces_and_becomes_a_dataset(on: Service, tmp_path: Path) -> None:
    created = on.post("/v1/uploads", {"name": "birds", "files": listed()})
    id = created["id"]
    assert (created["status"], created["received"], created["size"]) == ("receiving", 0, len(STREAM))
    assert created["reserved"] == 16 * 4096
    # Pieces that begin and end inside of files.
    assert send(on, id, STREAM[:100], 0).headers["upload-offset"] == "100"
    assert send(on, id, b"", 100).status_code == 204
    incomplete = on.http.post(f"/v1/uploads/{id}/complete", json={})
    assert (incomplete.status_code, incomplete.json()["code"]) == (409, "upload_incomplete")
    assert incomplete.headers["upload-offset"] == "100"
    refused = on.rejection("/v1/datasets", {"upload_id": id, "vocabulary_id": on.vocabulary()}, status=409)
    assert refused["code"] == "upload_incomplete"
    wrong = send(on, id, STREAM, 0)
    assert (wrong.status_code, wrong.json()["code"], wrong.headers["upload-offset"]) == (409, "offset_mismatch", "100")
    # The same list again, as after a reload: the same upload.
    again = on.post("/v1/uploads", {"name": "birds", "files": listed()})
    assert (again["id"], again["reused"], again["received"]) == (id, True, 100)
    assert on.post("/v1/uploads", {"name": "others", "files": listed()})["id"] != id
    assert send(on, id, STREAM[100:], 100).headers["upload-offset"] == str(len(STREAM)) == str(offset(on, id))
    digest = hashlib.sha256(STREAM).hexdigest()
    sealed = on.post(f"/v1/uploads/{id}/complete", {"sha256": digest}, status=200)
    assert (sealed["status"], sealed["path"], sealed["expires_at"]) == ("complete", ".", None)
    assert on.post(f"/v1/uploads/{id}/complete", {}, status=200) == sealed
    assert send(on, id, b"x", len(STREAM)).json()["code"] == "upload_complete"
    files = tmp_path / "uploads" / id / "files"
    assert {path.relative_to(files).as_posix(): path.read_bytes() for path in files.rglob("*.png")} == FILES
    dataset = on.post("/v1/datasets", {"upload_id": id, "vocabulary_id": on.vocabulary()})
    assert (dataset["upload_id"], dataset["path"], dataset["name"]) == (id, ".", "birds")
    assert dataset["counts"]["id_labels"] == 2
    assert on.http.get(f"/v1/datasets/{dataset['id']}/images/0/thumbnail").status_code == 200
    kinds = {one["kind"]: one for one in on.get("/v1/storage")["kinds"]}
    assert kinds["uploads"]["files"] >= 16
    assert kinds["uploads"]["bytes"] >= len(STREAM)


def test_names_that_leave_the_upload_are_refused(local: Service) -> None:
    for path in ("../x.jpg", "/etc/passwd", "a/../../x", "a\\..\\x"):
        problem = local.rejection(
            "/v1/uploads", {"name": "b", "files": [{"path": "a/1", "size": 1}, {"path": path, "size": 1}]}
        )
        assert (problem["code"], problem["errors"][0]["pointer"]) == ("path_invalid", "/files/1/path")
    problem = local.rejection("/v1/uploads", {"name": "b", "files": [{"path": "a\0", "size": 1}]})
    assert problem["code"] == "text_invalid"
    twice = [{"path": "a", "size": 1}, {"path": "a/b", "size": 1}]
    assert local.rejection("/v1/uploads", {"name": "b", "files": twice})["code"] == "path_invalid"
    for files in (twice, [{"path": "a/b.zip", "size": 1}]):
        body = {"name": "b", "kind": "archive", "files": files}
        assert local.rejection("/v1/uploads", body)["code"] == "not_one_archive"
    root = local.settings.upload_root
    assert root is not None
    assert not list(root.glob("*"))


def test_a_dataset_stays_in_its_upload(local: Service) -> None:
    id = uploaded(local)["id"]
    root = local.settings.upload_root
    assert root is not None
    (root / id / "files" / "link").symlink_to("/etc")  # as no upload can make it
    vocabulary_id = local.vocabulary()
    for path in ("..", "../other", "/etc", "crane/../..", "link"):
        refused = local.rejection("/v1/datasets", {"upload_id": id, "path": path, "vocabulary_id": vocabulary_id})
        assert refused["code"] in ("outside_root", "link")
        assert "the upload" in refused["detail"] or "symbolic link" in refused["detail"]


def test_an_archive_is_unpacked_and_counts_with_what_it_unpacks_to(local: Service, tmp_path: Path) -> None:
    names = [f"birds/{path}" for path in FILES]
    sealed = uploaded(local, {"birds.tar.gz": tar_of(*names, mode="w:gz")}, kind="archive")
    assert (sealed["path"], sealed["num_files"], sealed["reserved"]) == ("birds", 16, 16 * 4096)
    assert {path.name for path in (tmp_path / "uploads" / sealed["id"]).iterdir()} == {"files", "writer"}
    body = {"upload_id": sealed["id"], "vocabulary_id": local.vocabulary(), "duplicates": "keep"}
    assert local.post("/v1/datasets", body)["path"] == "birds"


def test_a_refused_archive_can_be_deleted_and_leaves_nothing(local: Service, tmp_path: Path) -> None:
    content = zip_of("crane/1.png", "../x.png")
    id = local.post("/v1/uploads", {"name": "b", "kind": "archive", "files": listed({"b.zip": content})})["id"]
    assert send(local, id, content, 0).status_code == 204
    assert local.rejection(f"/v1/uploads/{id}/complete", {})["code"] == "archive_member_refused"
    assert local.get(f"/v1/uploads/{id}")["status"] == "receiving"
    assert {path.name for path in (tmp_path / "uploads" / id).iterdir()} == {"archive", "listing.json", "writer"}
    assert local.http.delete(f"/v1/uploads/{id}").status_code == 204
    assert not (tmp_path / "uploads" / id).exists()
    assert (
        local.http.get(f"/v1/uploads/{id}").status_code
        == local.http.head(f"/v1/uploads/{id}/content").status_code
        == 404
    )


def test_the_quota_counts_what_is_declared(make_service: Maker, tmp_path: Path) -> None:
    service = make_service(upload_root=tmp_path / "uploads", upload_quota_bytes=100_000, upload_max_files=20)
    body = {"name": "b", "files": [{"path": "1", "size": 60_000}]}
    id = service.post("/v1/uploads", body)["id"]
    problem = service.rejection("/v1/uploads", body | {"name": "c"}, status=413)
    assert problem["code"] == "upload_quota_exceeded"
    assert "LIMBECK_UPLOAD_QUOTA_BYTES" in problem["detail"]
    many = [{"path": str(n), "size": 0} for n in range(21)]
    assert "LIMBECK_UPLOAD_MAX_FILES" in service.rejection("/v1/uploads", {"name": "b", "files": many})["detail"]
    # Small files take a block each.
    assert service.rejection("/v1/uploads", {"name": "b", "files": many[:10]}, status=413)
    assert service.http.delete(f"/v1/uploads/{id}").status_code == 204
    # An archive needs its own bytes and those of its members while it is unpacked.
    content = zip_of(*(f"a/{n}" for n in range(19)))
    id = service.post("/v1/uploads", {"name": "b", "kind": "archive", "files": listed({"b.zip": content})})["id"]
    other = service.post("/v1/uploads", body | {"files": [{"path": "1", "size": 19_000}]})["id"]
    assert send(service, id, content, 0).status_code == 204
    assert service.rejection(f"/v1/uploads/{id}/complete", {}, status=413)["code"] == "upload_quota_exceeded"
    assert service.get(f"/v1/uploads/{id}")["reserved"] == max(len(content), 4096)
    assert service.http.delete(f"/v1/uploads/{other}").status_code == 204
    assert service.post(f"/v1/uploads/{id}/complete", {}, status=200)["reserved"] == 19 * 4096


def test_bytes_beyond_the_list_and_other_bytes_are_refused(local: Service) -> None:
    id = local.post("/v1/uploads", {"name": "b", "files": listed()})["id"]
    assert send(local, id, STREAM + b"x", 0).json()["code"] == "beyond_the_end"
    assert offset(local, id) == 0
    digest = base64.b64encode(hashlib.sha256(STREAM[:9]).digest()).decode()
    assert send(local, id, STREAM[:8], 0, Content_Digest=f"sha-256=:{digest}:").json()["code"] == "digest_mismatch"
    assert send(local, id, STREAM[:9], 0, Content_Digest="md5=:abcd:").status_code == 422
    assert offset(local, id) == 0
    assert send(local, id, STREAM[:9], 0, Content_Digest=f"md5=:ab:, sha-256=:{digest}:").status_code == 204
    assert send(local, id, STREAM[9:], 9).status_code == 204
    mismatch = local.http.post(f"/v1/uploads/{id}/complete", json={"sha256": "0" * 64})
    assert (mismatch.status_code, mismatch.json()["code"]) == (409, "digest_mismatch")
    assert service_accepts(local, id)


def service_accepts(service: Service, id: str) -> bool:
    return bool(service.post(f"/v1/uploads/{id}/complete", {}, status=200))


def test_a_file_that_the_disk_lost_is_sent_again(local: Service, tmp_path: Path) -> None:
    id = local.post("/v1/uploads", {"name": "b", "files": listed()})["id"]
    assert send(local, id, STREAM, 0).status_code == 204
    os.truncate(tmp_path / "uploads" / id / "files" / "heron" / "1.png", 3)
    damaged = local.http.post(f"/v1/uploads/{id}/complete", json={})
    start = sum(map(len, list(FILES.values())[:5]))
    assert (damaged.json()["code"], damaged.headers["upload-offset"]) == ("upload_damaged", str(start))
    assert send(local, id, STREAM[start:], start).status_code == 204
    sealed = local.post(f"/v1/uploads/{id}/complete", {"sha256": hashlib.sha256(STREAM).hexdigest()}, status=200)
    assert sealed["status"] == "complete"


def test_a_later_request_takes_over_from_one_whose_connection_is_lost(local: Service, tmp_path: Path) -> None:
    id = local.post("/v1/uploads", {"name": "b", "files": listed()})["id"]
    place, listing = UploadPlace(tmp_path / "uploads" / id), StreamListing.of(list(FILES), [*map(len, FILES.values())])
    with local.db.read() as tx:
        row = uploads.get(tx, id)
    with StreamWriter.begin(local.db, place, row, listing, offset=0) as old:
        old.write(STREAM[:50])
        assert send(local, id, STREAM[:80], 0).status_code == 204
        with pytest.raises(Conflict, match="another request"):
            old.write(b"wrong bytes")
        with pytest.raises(Conflict, match="another request"):
            old.acknowledge()
    assert offset(local, id) == 80
    assert send(local, id, STREAM[80:], 80).status_code == 204
    local.post(f"/v1/uploads/{id}/complete", {"sha256": hashlib.sha256(STREAM).hexdigest()}, status=200)


@pytest.mark.slow
def test_bytes_before_a_lost_connection_are_kept_unless_they_have_a_digest(local: Service, tmp_path: Path) -> None:
    content = bytes(3 << 20)
    id = local.post("/v1/uploads", {"name": "b", "files": listed({"a": content})})["id"]
    stored = tmp_path / "uploads" / id / "files" / "a"
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    with served(local.app) as url:
        host, port = url.removeprefix("http://").split(":")
        for header in (f"Content-Digest: sha-256=:{digest}:\r\n", ""):
            stored.unlink(missing_ok=True)
            head = f"PATCH /v1/uploads/{id}/content HTTP/1.1\r\nHost: {host}:{port}\r\nUpload-Offset: 0\r\n{header}"
            with socket.create_connection((host, int(port))) as connection:
                connection.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content[: 2 << 20])
                until(lambda: stored.exists() and stored.stat().st_size >= 1 << 20)  # before the body has ended
            assert header == "" or offset(local, id) == 0
        until(lambda: offset(local, id) >= 1 << 20)
        start = offset(local, id)
        assert send(local, id, content[start:], start).status_code == 204
    assert local.post(f"/v1/uploads/{id}/complete", {}, status=200)["received"] == len(content)


def until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_empty_files_are_made(local: Service, tmp_path: Path) -> None:
    files = {"a/0": b"", "a/1": b"x", "b/2": b"", "b/3": b""}
    id = uploaded(local, files)["id"]
    root = tmp_path / "uploads" / id / "files"
    assert {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*/*")} == files


def test_only_the_owner_sends_completes_and_deletes(sqlite_db: Database, tmp_path: Path) -> None:
    settings = settings_at(tmp_path / "home", upload_root=tmp_path / "uploads", host="0.0.0.0")
    app = create_app(settings, sqlite_db)
    service = Service(app, TestClient(app, base_url=BASE), sqlite_db, settings)
    ann, ben = (bearer(create_key(service, "read", "write", name=name)) for name in ("ann", "ben"))
    reader = bearer(create_key(service, "read", name="cleo"))
    body = {"name": "b", "files": listed()}
    id = service.http.post("/v1/uploads", json=body, headers=ann).json()["id"]
    content, complete = f"/v1/uploads/{id}/content", f"/v1/uploads/{id}/complete"
    for headers, code in ((ben, "not_owner"), (reader, "scope_missing")):
        for response in (
            service.http.patch(content, content=STREAM, headers=headers | {"Upload-Offset": "0"}),
            service.http.post(complete, json={}, headers=headers),
            service.http.delete(f"/v1/uploads/{id}", headers=headers),
        ):
            assert (response.status_code, response.json()["code"]) == (403, code)
        assert service.http.head(content, headers=headers).headers["upload-offset"] == "0"
    assert service.http.post("/v1/uploads", json=body, headers=ben).json()["id"] != id
    assert [row["id"] for row in service.http.get("/v1/uploads?owner=me", headers=ann).json()["data"]] == [id]
    assert service.http.get("/v1/uploads?status=complete", headers=ann).json()["data"] == []
    assert service.http.patch(content, content=STREAM, headers=ann | {"Upload-Offset": "0"}).status_code == 204
    assert service.http.post(complete, json={}, headers=ann).status_code == 200
    admin = bearer(create_key(service, "read", "admin", name="ops"))
    records = service.http.get("/v1/audit", params={"resource_id": id}, headers=admin).json()["data"]
    routes = [(one["method"], one["route"], one["status"]) for one in records if one["owner"] == "ann"]
    assert routes == [("POST", "/v1/uploads/{id}/complete", 200), ("POST", "/v1/uploads", 201)]


def test_a_dataset_keeps_its_upload(on: Service, tmp_path: Path) -> None:
    id = uploaded(on)["id"]
    dataset = on.post("/v1/datasets", {"upload_id": id, "vocabulary_id": on.vocabulary()})["id"]
    refused = on.http.delete(f"/v1/uploads/{id}")
    assert (refused.status_code, refused.json()["code"]) == (409, "in_use")
    assert [error["id"] for error in refused.json()["errors"]] == [dataset]
    assert (tmp_path / "uploads" / id / "files").is_dir()
    deleted = on.http.delete(f"/v1/uploads/{id}?force=true").json()
    assert deleted["counts"] == {"upload": 1, "dataset": 1}
    assert not (tmp_path / "uploads" / id).exists()
    assert on.http.get(f"/v1/datasets/{dataset}").status_code == 404


def test_uploads_that_are_not_completed_expire(on: Service, tmp_path: Path) -> None:
    kept = uploaded(on)["id"]
    old, new = (on.post("/v1/uploads", {"name": name, "files": listed()})["id"] for name in ("old", "new"))
    with on.db.write() as tx:
        tx.execute(update(Upload).where(Upload.id.in_([kept, old])).values(updated_at=time.time() - 8 * 86_400))
    (tmp_path / "uploads" / "upl_without_a_row").mkdir()
    (tmp_path / "uploads" / "of the operator").mkdir()
    swept = sweep.sweep(on.db, on.artefacts, on.settings, "test")
    assert swept is not None
    assert swept.num_uploads == 1
    assert upkeep.delete_expired(on.db, on.settings, grace_s=-60) == 1
    assert {path.name for path in (tmp_path / "uploads").iterdir()} == {kept, new, "of the operator"}
    assert {row["id"] for row in on.get("/v1/uploads")["data"]} == {kept, new}


def test_images_stay_if_the_database_is_another_one_than_that_of_the_uploads(local: Service, tmp_path: Path) -> None:
    id = uploaded(local)["id"]
    with local.db.write() as tx:
        tx.execute(delete(Upload))
    folder = tmp_path / "uploads"
    (folder / "upl_of_a_crash").mkdir()
    assert upkeep.delete_expired(local.db, local.settings, grace_s=-60) == 1
    assert {path.name for path in folder.iterdir()} == {id}
    assert (folder / id / "files").is_dir()
    # A folder that it knows: what it does not know was deleted, and its removal was interrupted.
    other = local.post("/v1/uploads", {"name": "new", "files": listed()})["id"]
    assert upkeep.delete_expired(local.db, local.settings, grace_s=-60) == 1
    assert {path.name for path in folder.iterdir()} == {other}


def test_without_the_setting_a_problem_names_it(service: Service) -> None:
    for path, body in (("/v1/uploads", {"name": "b", "files": listed()}), ("/v1/uploads/upl_1/complete", {})):
        problem = service.rejection(path, body, status=409)
        assert problem["code"] == "uploads_off"
        assert "LIMBECK_UPLOAD_ROOT" in problem["detail"]
    assert send(service, "upl_1", b"x", 0).json()["code"] == "uploads_off"
    assert service.get("/v1/uploads")["data"] == []
    assert service.rejection("/v1/datasets", {"vocabulary_id": service.vocabulary()})["errors"][0]["pointer"] == "/path"
