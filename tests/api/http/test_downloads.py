"""Downloads of artefacts: ETag, Range, If-Range, If-None-Match and HEAD."""

import base64
import hashlib
import io
import random
import zipfile
from collections.abc import Callable

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.conftest import Service
from tests.api.live import served
from tests.api.published import BUNDLE, CONTENT, ETAG, FILE, publish


def test_get_and_head(published: Service) -> None:
    got, head = published.http.get(FILE), published.http.head(FILE)
    assert got.status_code == head.status_code == 200
    assert got.content == CONTENT
    assert head.content == b""
    for response in (got, head):
        assert response.headers["etag"] == ETAG
        assert response.headers["content-length"] == str(len(CONTENT))
        assert response.headers["accept-ranges"] == "bytes"
        assert response.headers["content-type"] == "application/octet-stream"
        assert response.headers["content-disposition"].endswith("''model.safetensors")
        digest = base64.b64encode(hashlib.sha256(CONTENT).digest()).decode()
        assert response.headers["repr-digest"] == f"sha-256=:{digest}:"
    assert published.http.get("/v1/checkpoints/ckp_1/files/README.md").headers["content-type"].startswith("text/mark")


def test_if_none_match_returns_304(published: Service) -> None:
    for etag in (ETAG, f'"x", W/{ETAG}', "*"):
        for method in ("GET", "HEAD"):
            response = published.http.request(method, FILE, headers={"If-None-Match": etag, "Range": "bytes=0-1"})
            assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", ETAG)
    response = published.http.get(FILE, headers={"If-None-Match": '"other"'})
    assert (response.status_code, response.content) == (200, CONTENT)


def test_if_range_with_another_etag_returns_the_whole_file(published: Service) -> None:
    tail = {"Range": f"bytes={len(CONTENT) - 5}-"}
    response = published.http.get(FILE, headers={**tail, "If-Range": ETAG})
    assert (response.status_code, response.content) == (206, CONTENT[-5:])
    assert response.headers["content-range"] == f"bytes {len(CONTENT) - 5}-{len(CONTENT) - 1}/{len(CONTENT)}"
    for stale in ('"other"', f"W/{ETAG}", "Mon, 23 Nov 2026 21:00:00 GMT"):
        response = published.http.get(FILE, headers={**tail, "If-Range": stale})
        assert (response.status_code, len(response.content)) == (200, len(CONTENT))


def test_ranges_out_of_bounds_and_malformed_ranges(published: Service) -> None:
    for outside in (f"bytes={len(CONTENT)}-", "bytes=99999999-99999999", "bytes=-0"):
        response = published.http.get(FILE, headers={"Range": outside})
        assert (response.status_code, response.json()["code"]) == (416, "range_not_satisfiable")
        assert response.headers["content-range"] == f"bytes */{len(CONTENT)}"
    for no_range in ("bytes=5-2", "bytes=-", "bytes=a-b", "lines=1-2", "bytes=0-1,5-6", "bytes=" + "9" * 30 + "-"):
        response = published.http.head(FILE, headers={"Range": no_range})
        assert (response.status_code, response.headers["content-length"]) == (200, str(len(CONTENT)))


@pytest.mark.slow
@given(
    first=st.one_of(st.none(), st.integers(0, len(CONTENT) - 1)),
    last=st.one_of(st.none(), st.integers(1, 2 * len(CONTENT))),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_range_returns_that_part_of_the_file(published: Service, first: int | None, last: int | None) -> None:
    if first is None and last is None or (first is not None and last is not None and last < first):
        return
    header = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    response = published.http.get(FILE, headers={"Range": header})
    expected = CONTENT[-min(last or 0, len(CONTENT)) :] if first is None else CONTENT[first : last and last + 1]
    assert response.content == expected
    assert response.status_code == (200 if len(expected) == len(CONTENT) else 206)


@pytest.mark.slow
def test_a_download_resumed_many_times_is_byte_identical(published: Service) -> None:
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
                        break  # disconnect
    assert have == CONTENT


def test_a_deleted_artefact_returns_410(published: Service) -> None:
    published.artefacts.delete_below("parts")
    response = published.http.get(FILE)
    assert (response.status_code, response.json()["code"]) == (410, "file_gone")


def test_all_files_are_downloaded_as_one_archive(published: Service) -> None:
    response = published.http.get("/v1/checkpoints/ckp_1/archive")
    assert (response.status_code, response.headers["content-type"]) == (200, "application/zip")
    assert response.headers["content-disposition"] == "attachment; filename*=UTF-8''ckp_1.zip"
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            f"ckp_1/{path}": content for path, content in BUNDLE.items()
        }
        assert all(one.external_attr >> 16 == 0o644 for one in archive.infolist())
    assert published.http.get("/v1/checkpoints/ckp_2/archive").status_code == 404


def test_an_archive_of_which_a_file_is_gone_returns_410_before_it_begins(published: Service) -> None:
    published.artefacts.delete_below("parts")
    response = published.http.get("/v1/checkpoints/ckp_1/archive")
    assert (response.status_code, response.json()["code"]) == (410, "file_gone")


def test_local_artefacts_are_downloaded_unchanged(make_service: Callable[..., Service]) -> None:
    service = make_service()
    publish(service.db, service.artefacts)
    assert service.http.get(FILE).content == CONTENT
