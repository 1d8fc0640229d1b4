"""Checkpoints and the files of their bundles."""

import hashlib

import httpx2

from tests.api.conftest import Service
from tests.api.published import CONTENT, FILE


def test_checkpoint_with_files(published: Service) -> None:
    (listed,) = published.get("/v1/checkpoints")["data"]
    checkpoint = published.get("/v1/checkpoints/ckp_1")
    files = checkpoint.pop("files")
    assert checkpoint == listed
    assert [(item["path"], item["size"]) for item in files] == [
        ("README.md", 12),
        ("image/model.safetensors", len(CONTENT)),
        ("targets/a b#ü.json", 2),
    ]
    for item in files:
        got = published.http.get(item["url"])
        assert hashlib.sha256(got.content).hexdigest() == item["sha256"]
        assert got.headers["etag"] == f'"{item["sha256"]}"'
    assert published.get("/v1/checkpoints", job_id="job_0")["data"] == []
    assert published.get("/v1/checkpoints", dataset_id="dst_1")["data"] == [listed]


def test_only_published_files_can_be_downloaded(published: Service) -> None:
    inside = published.settings.home / "artefacts" / "secret"
    inside.parent.mkdir(exist_ok=True)
    inside.write_text("not yours")
    for path in (
        "nope",
        "image",
        "image/",
        "/etc/passwd",
        "%2e%2e/%2e%2e/secret",
        "..%2f..%2fsecret",
        "image/../README.md",
        "image/%2e%2e/README.md",
        "%2Fetc%2Fpasswd",
        "",
        "image//model.safetensors",
        "IMAGE/model.safetensors",
        "README.md%20",
        "....//README.md",
    ):
        url = httpx2.URL(f"http://127.0.0.1:8420/v1/checkpoints/ckp_1/files/{path}")
        for method in ("GET", "HEAD"):
            response = published.http.request(method, url)
            if "image/../README.md" in path:  # the client itself normalises this to README.md
                assert response.status_code == 200
                continue
            assert response.status_code == 404, path
    assert published.http.get("/v1/checkpoints/ckp_2/files/README.md").json()["code"] == "file_not_found"
    assert published.http.get("/v1/checkpoints/ckp_2").json()["code"] == "checkpoint_not_found"
    assert published.http.get(f"{FILE}%00").status_code == 400


def test_lists_filter_by_attribute_set(published: Service) -> None:
    (student,) = published.get("/v1/checkpoints")["data"]
    set_id = student["attribute_set_id"]
    assert [item["id"] for item in published.get("/v1/checkpoints", attribute_set_id=set_id)["data"]] == ["ckp_1"]
    targets = published.get("/v1/text-targets", attribute_set_id=set_id)["data"]
    assert [item["id"] for item in targets] == [student["text_targets_id"]]
    for path in ("checkpoints", "text-targets"):
        assert published.get(f"/v1/{path}", attribute_set_id="ats_none")["data"] == []
