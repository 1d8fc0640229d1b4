"""Downloads: byte-identical however often they break off, never sent when known, and nothing but what was published."""

import base64
import hashlib
import random
from collections.abc import Callable, Iterator

import fsspec
import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store import resources
from store.artefacts import Artefacts
from store.db import Database
from store.models import Job, Vocabulary
from store.sets import attribute_sets
from tests.api.conftest import Service
from tests.api.live import served

CONTENT = random.Random(7).randbytes(3 * 2**20 + 12_345)
SHA = hashlib.sha256(CONTENT).hexdigest()
ETAG = f'"{SHA}"'
FILE = "/v1/checkpoints/ckp_1/files/image/model.safetensors"
TEXTS = "/v1/text-targets/{}/file"


def publish(db: Database, artefacts: Artefacts) -> str:
    """A checkpoint `ckp_1` of three files, and the id of its text targets."""
    stored = artefacts.put_bytes(CONTENT, "parts/p/t/image/model.safetensors")
    card = artefacts.put_bytes(b"# A student\n", "parts/p/t/README.md")
    odd = artefacts.put_bytes(b"{}", "parts/p/t/odd")
    with db.write() as tx:
        tx.add(Vocabulary(id="voc_1", name="v", domain="", digest=SHA, num_labels=1, created_at=0.0))
        tx.add(Job(id="job_1", kind="distill", status="succeeded", spec={}, tally=[], num_events=0, created_at=0.0))
        tx.flush()
        teacher = resources.put_teacher(
            tx,
            ref="t",
            digest=SHA,
            width=8,
            context_length=77,
            logit_scale=100.0,
            preprocess={"size": 64},
            tokenizer_key="k",
        )
        pages = attribute_sets.put_pages(tx, [None])
        attribute_set_id = attribute_sets.create(tx, vocabulary_id="voc_1", pages=pages, source={}).id
        targets = resources.add_text_targets(
            tx,
            vocabulary_id="voc_1",
            attribute_set_id=attribute_set_id,
            teacher_id=teacher.id,
            job_id="job_1",
            text="names",
            num_labels=1,
            width=8,
            report={"truncated": []},
            file=stored,
        )
        resources.add_dataset(
            tx, id="dst_1", vocabulary_id="voc_1", name="d", path="d", split={}, counts={}, digest=SHA, manifest_key="m"
        )
        resources.add_checkpoint(
            tx,
            id="ckp_1",
            job_id="job_1",
            dataset_id="dst_1",
            vocabulary_id="voc_1",
            attribute_set_id=attribute_set_id,
            text_targets_id=targets.id,
            teacher_id=teacher.id,
            student="resnet18",
            text="names",
            evaluation={"id": {"accuracy": 0.5}},
            digest=SHA,
            files=[("image/model.safetensors", stored), ("README.md", card), ("targets/a b#ü.json", odd)],
        )
        return targets.id


@pytest.fixture
def published(make_service: Callable[..., Service], db: Database) -> Iterator[Service]:
    """A service with files in a local folder (with SQLite), or in a store that is no folder (with Postgres)."""
    service = make_service(artefacts_url="" if db.is_sqlite else "memory://limbeck")
    publish(service.db, service.artefacts)
    yield service
    fsspec.filesystem("memory").store.clear()


def test_metadata(published: Service) -> None:
    (listed,) = published.get("/v1/checkpoints")["data"]
    found = published.get("/v1/checkpoints/ckp_1")
    files = found.pop("files")
    assert found == listed
    assert [(one["path"], one["size"]) for one in files] == [
        ("README.md", 12),
        ("image/model.safetensors", len(CONTENT)),
        ("targets/a b#ü.json", 2),
    ]
    for one in files:
        got = published.http.get(one["url"])
        assert hashlib.sha256(got.content).hexdigest() == one["sha256"]
        assert got.headers["etag"] == f'"{one["sha256"]}"'
    assert published.get("/v1/checkpoints", job_id="job_0")["data"] == []
    assert published.get("/v1/checkpoints", dataset_id="dst_1")["data"] == [listed]


def test_a_set_leads_to_all_that_was_made_from_it(published: Service) -> None:
    (student,) = published.get("/v1/checkpoints")["data"]
    set_id = student["attribute_set_id"]
    assert [one["id"] for one in published.get("/v1/checkpoints", attribute_set_id=set_id)["data"]] == ["ckp_1"]
    targets = published.get("/v1/text-targets", attribute_set_id=set_id)["data"]
    assert [one["id"] for one in targets] == [student["text_targets_id"]]
    for path in ("checkpoints", "text-targets"):
        assert published.get(f"/v1/{path}", attribute_set_id="ats_none")["data"] == []


def test_whole_and_head(published: Service) -> None:
    got, head = published.http.get(FILE), published.http.head(FILE)
    assert got.status_code == head.status_code == 200
    assert got.content == CONTENT
    assert head.content == b""
    for answer in (got, head):
        assert answer.headers["etag"] == ETAG
        assert answer.headers["content-length"] == str(len(CONTENT))
        assert answer.headers["accept-ranges"] == "bytes"
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"].endswith("''model.safetensors")
        digest = base64.b64encode(hashlib.sha256(CONTENT).digest()).decode()
        assert answer.headers["repr-digest"] == f"sha-256=:{digest}:"
    assert published.http.get("/v1/checkpoints/ckp_1/files/README.md").headers["content-type"].startswith("text/mark")


def test_known_content_is_not_sent_again(published: Service) -> None:
    for known in (ETAG, f'"x", W/{ETAG}', "*"):
        for method in ("GET", "HEAD"):
            answer = published.http.request(method, FILE, headers={"If-None-Match": known, "Range": "bytes=0-1"})
            assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", ETAG)
    answer = published.http.get(FILE, headers={"If-None-Match": '"other"'})
    assert (answer.status_code, answer.content) == (200, CONTENT)


def test_if_range_sends_the_whole_of_what_has_changed(published: Service) -> None:
    tail = {"Range": f"bytes={len(CONTENT) - 5}-"}
    answer = published.http.get(FILE, headers={**tail, "If-Range": ETAG})
    assert (answer.status_code, answer.content) == (206, CONTENT[-5:])
    assert answer.headers["content-range"] == f"bytes {len(CONTENT) - 5}-{len(CONTENT) - 1}/{len(CONTENT)}"
    for stale in ('"other"', f"W/{ETAG}", "Mon, 23 Nov 2026 21:00:00 GMT"):
        answer = published.http.get(FILE, headers={**tail, "If-Range": stale})
        assert (answer.status_code, len(answer.content)) == (200, len(CONTENT))


def test_ranges_that_lie_outside(published: Service) -> None:
    for outside in (f"bytes={len(CONTENT)}-", "bytes=99999999-99999999", "bytes=-0"):
        answer = published.http.get(FILE, headers={"Range": outside})
        assert (answer.status_code, answer.json()["code"]) == (416, "range_not_satisfiable")
        assert answer.headers["content-range"] == f"bytes */{len(CONTENT)}"
    for no_range in ("bytes=5-2", "bytes=-", "bytes=a-b", "lines=1-2", "bytes=0-1,5-6", "bytes=" + "9" * 30 + "-"):
        answer = published.http.head(FILE, headers={"Range": no_range})
        assert (answer.status_code, answer.headers["content-length"]) == (200, str(len(CONTENT)))


@given(
    first=st.one_of(st.none(), st.integers(0, len(CONTENT) - 1)),
    last=st.one_of(st.none(), st.integers(1, 2 * len(CONTENT))),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_range_is_that_part_of_the_file(published: Service, first: int | None, last: int | None) -> None:
    if first is None and last is None or (first is not None and last is not None and last < first):
        return
    header = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    answer = published.http.get(FILE, headers={"Range": header})
    expected = CONTENT[-min(last or 0, len(CONTENT)) :] if first is None else CONTENT[first : last and last + 1]
    assert answer.content == expected
    assert answer.status_code == (200 if len(expected) == len(CONTENT) else 206)


def test_a_download_broken_off_again_and_again_is_byte_identical(published: Service) -> None:
    rng = random.Random(3)
    have = b""
    with served(published.app) as url, httpx2.Client(base_url=url, timeout=20, verify=False) as client:
        while len(have) < len(CONTENT):
            headers = {"Range": f"bytes={len(have)}-", "If-Range": ETAG} if have else {}
            with client.stream("GET", FILE, headers=headers) as stream:
                assert stream.status_code == (206 if have else 200)
                until = len(have) + rng.randrange(1, 10**6)
                for block in stream.iter_bytes(8192):
                    have += block
                    if len(have) >= until:
                        break  # the line is lost
    assert have == CONTENT


def test_nothing_but_what_was_published(published: Service) -> None:
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
            answer = published.http.request(method, url)
            if "image/../README.md" in path:  # the client itself makes README.md of it
                assert answer.status_code == 200
                continue
            assert answer.status_code == 404, path
    assert published.http.get("/v1/checkpoints/ckp_2/files/README.md").json()["code"] == "file_not_found"
    assert published.http.get("/v1/checkpoints/ckp_2").json()["code"] == "checkpoint_not_found"
    assert published.http.get(f"{FILE}%00").status_code == 400


def test_a_file_that_was_deleted_behind_our_back(published: Service) -> None:
    published.artefacts.delete_below("parts")
    answer = published.http.get(FILE)
    assert (answer.status_code, answer.json()["code"]) == (410, "file_gone")


def test_text_targets_and_teachers(published: Service) -> None:
    (row,) = published.get("/v1/text-targets")["data"]
    assert row == published.get(f"/v1/text-targets/{row['id']}")
    assert (row["object"], row["text"], row["width"], row["size"]) == ("text_targets", "names", 8, len(CONTENT))
    got = published.http.get(TEXTS.format(row["id"]))
    assert (got.content == CONTENT, got.headers["etag"]) == (True, ETAG)
    assert published.http.head(TEXTS.format(row["id"])).headers["content-length"] == str(len(CONTENT))
    assert published.http.get(TEXTS.format("txt_none")).json()["code"] == "text_targets_not_found"
    assert published.get("/v1/text-targets", vocabulary_id="voc_2")["data"] == []
    (teacher,) = published.get("/v1/teachers", ref="t")["data"]
    assert teacher == published.get(f"/v1/teachers/{teacher['id']}")
    assert (teacher["preprocess"], teacher["context_length"]) == ({"size": 64}, 77)
    assert "tokenizer_key" not in teacher
    assert published.http.get("/v1/teachers/tch_none").json()["code"] == "teacher_not_found"
    assert published.get("/v1/teachers", ref="u")["data"] == []


def test_the_bytes_are_those_of_the_folder(make_service: Callable[..., Service]) -> None:
    service = make_service()
    publish(service.db, service.artefacts)
    local = service.artefacts.local_path("parts/p/t/image/model.safetensors")
    assert local is not None
    assert service.http.get(FILE).content == local.read_bytes()
