"""The Hub's protocol: repositories, files, revisions, keys as tokens, and errors that the Hub's clients understand."""

from collections.abc import Callable, Iterator
from typing import Any

import fsspec
import pytest
from starlette.testclient import TestClient

from store.db import Database
from store.models import Checkpoint, CheckpointFile, Job
from tests.api.conftest import BASE, Service, bearer, create_key
from tests.api.published import CONTENT, ETAG, SHA, publish

REPOSITORY = "/api/models/limbeck/ckp_1"
FILES = "/limbeck/ckp_1/resolve/main"
REVISION = SHA[:40]
PATHS = [
    "README.md",
    "config.json",
    "image/config.json",
    "image/model.safetensors",
    "model.safetensors",
    "targets/a b#ü.json",
]


def publish_pairing(service: Service) -> None:
    """The checkpoint `ckp_1`, whose bundle has files of timm and of open_clip."""
    publish(service.db, service.artefacts)
    with service.db.write() as tx:
        for path in ("image/config.json", "pairing/open_clip_config.json", "pairing/open_clip_model.safetensors"):
            file = service.artefacts.put_bytes(path.encode(), f"parts/p/t/{path}")
            tx.add(
                CheckpointFile(checkpoint_id="ckp_1", path=path, sha256=file.sha256, size=file.size, file_key=file.key)
            )


@pytest.fixture
def db(sqlite_db: Database) -> Database:
    """The routes use queries that other tests run on both databases."""
    return sqlite_db


@pytest.fixture
def repository(make_service: Callable[..., Service]) -> Iterator[Service]:
    """A service on loopback with the checkpoint, whose files are in a store without local paths."""
    service = make_service(artefacts_url="memory://limbeck")
    publish_pairing(service)
    yield service
    fsspec.filesystem("memory").store.clear()


def error(service: Service, path: str, status: int = 404, **options: Any) -> str:
    """The error code of a response, which must also have its message where clients look for it."""
    response = service.http.get(path, **options)
    assert response.status_code == status, response.text
    assert response.headers["X-Error-Message"]
    assert response.json()["error"] == response.json()["detail"]
    return response.headers.get("X-Error-Code", "")


def test_a_repository_has_the_bundle_and_the_files_of_timm_at_its_root(repository: Service) -> None:
    model = repository.get(REPOSITORY)
    assert (model["id"], model["sha"], model["library_name"]) == ("limbeck/ckp_1", REVISION, "timm")
    assert [file["rfilename"] for file in model["siblings"]] == PATHS
    assert repository.get(f"{REPOSITORY}/revision/{REVISION}") == repository.get(f"{REPOSITORY}/revision/main") == model
    sizes = {file["rfilename"]: file["size"] for file in repository.get(REPOSITORY, blobs="true")["siblings"]}
    assert sizes["model.safetensors"] == len(CONTENT)
    assert repository.get(f"{REPOSITORY}/refs")["branches"][0]["targetCommit"] == REVISION


def test_a_pairing_is_a_repository_with_the_files_of_open_clip_at_its_root(repository: Service) -> None:
    model = repository.get(f"{REPOSITORY}-pairing")
    names = [file["rfilename"] for file in model["siblings"]]
    assert names == ["README.md", "open_clip_config.json", "open_clip_model.safetensors"]
    assert (model["sha"], model["library_name"]) == (REVISION, "open_clip")
    content = repository.http.get("/limbeck/ckp_1-pairing/resolve/main/open_clip_config.json").content
    assert content == b"pairing/open_clip_config.json"


def test_a_checkpoint_without_a_pairing_has_no_repository_for_it(published: Service) -> None:
    assert error(published, f"{REPOSITORY}-pairing") == "RepoNotFound"


def test_the_tree_of_a_folder_and_of_all(repository: Service) -> None:
    tree: Any = repository.get(f"{REPOSITORY}/tree/main", recursive="true")
    assert [entry["path"] for entry in tree if entry["type"] == "file"] == PATHS
    weights = next(entry for entry in tree if entry["path"] == "model.safetensors")
    assert (weights["size"], weights["lfs"]["oid"], len(weights["oid"])) == (len(CONTENT), SHA, 40)
    root: Any = repository.get(f"{REPOSITORY}/tree/{REVISION}")
    assert [(entry["path"], entry["type"]) for entry in root] == [
        ("README.md", "file"),
        ("config.json", "file"),
        ("image", "directory"),
        ("model.safetensors", "file"),
        ("targets", "directory"),
    ]
    image: Any = repository.get(f"{REPOSITORY}/tree/main/image", expand="true")
    assert [entry["path"] for entry in image] == ["image/config.json", "image/model.safetensors"]
    assert {entry["lastCommit"]["id"] for entry in image} == {REVISION}
    assert error(repository, f"{REPOSITORY}/tree/main/imag") == "EntryNotFound"


def test_a_page_of_the_tree_links_to_the_next(repository: Service) -> None:
    proxy = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "models.example", "X-Forwarded-Prefix": "/limbeck"}
    key = bearer(create_key(repository, "read"))
    whole: Any = repository.get(f"{REPOSITORY}/tree/main", recursive="true")
    found: list[Any] = []
    response = repository.http.get(f"{REPOSITORY}/tree/main?recursive=true&limit=3", headers=key | proxy)
    for _ in whole:
        found += response.json()
        if "next" not in response.links:
            break
        url = response.links["next"]["url"]
        assert url.startswith(f"https://models.example/limbeck{REPOSITORY}/tree/main?")
        response = repository.http.get(url.removeprefix("https://models.example/limbeck"), headers=key | proxy)
    assert found == whole


def test_paths_info_reads_a_form_or_json(repository: Service) -> None:
    url = f"{REPOSITORY}/paths-info/main"
    key = bearer(create_key(repository, "read"))  # a POST that only reads
    paths = ["config.json", "image", "nothing"]
    for body in ({"data": {"paths": paths}}, {"json": {"paths": paths}}):
        response = repository.http.post(url, headers=key, **body)
        assert [(entry["path"], entry["type"]) for entry in response.json()] == [
            ("config.json", "file"),
            ("image", "directory"),
        ]
    for content in (b"[]", b"{", b'{"paths": 3}', b"[" * 100_000):
        response = repository.http.post(url, content=content, headers={"Content-Type": "application/json"})
        assert response.status_code in (200, 400)
    assert repository.http.post(f"{REPOSITORY}/paths-info/other", data={"paths": paths}).status_code == 404


def test_a_file_is_resolved_with_its_commit_and_digest(repository: Service) -> None:
    for url in (f"{FILES}/model.safetensors", f"/limbeck/ckp_1/resolve/{REVISION}/image/model.safetensors"):
        head, got = repository.http.head(url), repository.http.get(url)
        assert (got.content, head.content) == (CONTENT, b"")
        for response in (head, got):
            assert response.status_code == 200
            assert response.headers["X-Repo-Commit"] == REVISION
            assert response.headers["ETag"] == response.headers["X-Linked-Etag"] == ETAG
            assert response.headers["Content-Length"] == response.headers["X-Linked-Size"] == str(len(CONTENT))
    rest = repository.http.get(f"{FILES}/model.safetensors", headers={"Range": "bytes=1000-"})
    assert (rest.status_code, rest.content) == (206, CONTENT[1000:])
    quoted = repository.http.get(f"{FILES}/targets/a%20b%23%C3%BC.json")
    assert quoted.content == b"{}"


def test_head_opens_no_file(repository: Service) -> None:
    repository.artefacts.delete_below("parts")
    assert repository.http.head(f"{FILES}/model.safetensors").status_code == 200
    assert error(repository, f"{FILES}/model.safetensors", 410) == "EntryNotFound"


def test_errors_name_what_is_missing(repository: Service) -> None:
    for path in ("limbeck/ckp_2", "limbeck/ckp_2-pairing", "timm/resnet18", "resnet18", "limbeck/ckp_1/nothing"):
        assert error(repository, f"/api/models/{path}") == "RepoNotFound"
    assert error(repository, "/limbeck/ckp_2/resolve/main/config.json") == "RepoNotFound"
    assert error(repository, "/resnet18/resolve/main/config.json") == "RepoNotFound"
    for revision in ("other", "refs%2Fpr%2F1", SHA, "0" * 40):
        assert error(repository, f"{REPOSITORY}/revision/{revision}") == "RevisionNotFound"
    assert error(repository, "/limbeck/ckp_1/resolve/other/config.json") == "RevisionNotFound"
    for path in ("nothing.bin", "", "image", "..%2f..%2fsecret", "pairing/open_clip_config.json"):
        assert error(repository, f"{FILES}/{path}") == "EntryNotFound"
    assert error(repository, f"{REPOSITORY}/tree/main?limit=none", 422) == ""
    assert error(repository, f"{REPOSITORY}/tree/main?cursor=%00", 400) == ""
    head = repository.http.head(f"{FILES}/%E2%82%AC%0A")
    assert (head.headers["X-Error-Code"], "\n" in head.headers["X-Error-Message"]) == ("EntryNotFound", False)


def test_a_key_is_a_token(make_service: Callable[..., Service]) -> None:
    public = make_service(host="0.0.0.0")
    publish_pairing(public)
    reader = bearer(create_key(public, "read"))
    assert public.http.get(f"{FILES}/config.json", headers=reader).status_code == 200
    assert error(public, f"{FILES}/config.json", 401) == "RepoNotFound"
    assert error(public, f"{FILES}/config.json", 403, headers=bearer(create_key(public, "write"))) == "GatedRepo"
    for token in ("lbk_unknown", "hf_of_the_real_hub"):
        unknown = public.http.get(f"{FILES}/config.json", headers=bearer(token))
        assert unknown.status_code == 401
    account = public.http.get("/api/whoami-v2", headers=reader).json()
    assert (account["name"], account["auth"]["accessToken"]["role"]) == ("k", "read")
    invalid = public.http.get("/api/whoami-v2", headers=bearer("lbk_unknown"))
    assert invalid.headers["X-Error-Message"] == "Invalid credentials in Authorization header"


def test_a_token_of_the_real_hub_is_no_key(repository: Service) -> None:
    token = bearer("hf_of_the_real_hub")
    assert repository.http.get(f"{FILES}/config.json", headers=token).status_code == 200
    assert repository.http.get("/api/whoami-v2", headers=token).json()["name"] == "local"
    assert repository.http.get("/v1/checkpoints", headers=token).status_code == 401
    assert repository.http.get(f"{FILES}/config.json", headers=token | {"Host": "example.com"}).status_code == 403


def test_the_list_of_repositories(repository: Service) -> None:
    with repository.db.write() as tx:
        first = tx.get_one(Checkpoint, "ckp_1")
        for id in ("2", "3"):
            tx.add(
                Job(id=f"job_{id}", kind="distill", status="succeeded", spec={}, tally=[], num_events=0, created_at=0)
            )
            tx.flush()
            columns = {column.name: getattr(first, column.name) for column in Checkpoint.__table__.columns}
            tx.add(Checkpoint(**columns | {"id": f"ckp_{id}", "job_id": f"job_{id}", "digest": id * 64}))
    listed: Any = repository.get("/api/models", author="limbeck")
    assert [model["id"] for model in listed] == ["limbeck/ckp_3", "limbeck/ckp_2", "limbeck/ckp_1"]
    first_page = repository.http.get("/api/models?limit=2")
    assert [model["sha"][0] for model in first_page.json()] == ["3", "2"]
    second: Any = repository.http.get(first_page.links["next"]["url"])
    assert ([model["id"] for model in second.json()], second.links) == (["limbeck/ckp_1"], {})
    for query, count in (("author=timm", 0), ("search=CKP_2", 1), ("search=resnet", 3), ("limit=99999", 3)):
        assert len(repository.http.get(f"/api/models?{query}").json()) == count


def test_a_server_may_have_a_root_path(repository: Service) -> None:
    with TestClient(repository.app, base_url=BASE, root_path="/prefix") as client:
        assert client.get(f"/prefix{FILES}/config.json").content == b"image/config.json"
        assert client.post(f"/prefix{REPOSITORY}/paths-info/main", data={"paths": "image"}).json()[0]["path"] == "image"
        missing = client.get(f"/prefix{FILES}/none", headers=bearer("hf_of_the_real_hub"))
        assert missing.headers["X-Error-Code"] == "EntryNotFound"
        page = client.get(f"/prefix{REPOSITORY}/tree/main?limit=1")
        assert client.get(page.links["next"]["url"]).json()[0]["path"] == "config.json"
