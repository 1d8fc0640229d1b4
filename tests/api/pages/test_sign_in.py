"""Signing in: the cookie, where it leads, CSRF, signing out, and problems as pages."""

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from api.app import create_app
from api.auth import COOKIE
from store.access import api_keys, browser_sessions
from store.db import Database
from store.models import BrowserSession
from tests.api.conftest import Service, create_key, settings_at
from tests.api.live import served
from tests.api.pages.browser import opened

HTML = {"Accept": "text/html,application/xhtml+xml"}


def _sign_in(service: Service, secret: str, *, next: str = "/jobs", **headers: str) -> int:
    response = service.http.post(
        "/sign-in", data={"key": secret, "next": next}, headers={**HTML, **headers}, follow_redirects=False
    )
    return response.status_code


def _csrf(service: Service) -> str:
    (token,) = re.findall(r'<meta name="csrf" content="([0-9a-f]*)">', service.http.get("/jobs", headers=HTML).text)
    assert isinstance(token, str)
    return token


@pytest.mark.slow
def test_a_page_leads_to_the_form_and_back(public: Service) -> None:
    before_first_key = public.http.get("/jobs", headers=HTML, follow_redirects=False)
    assert before_first_key.status_code == 503
    assert "limbeck key create" in before_first_key.text
    secret = create_key(public, "read", "write")
    response = public.http.get("/jobs?status=failed", headers=HTML, follow_redirects=False)
    assert response.status_code == 303
    assert response.headers["location"] == "/sign-in?next=/jobs%3Fstatus%3Dfailed"
    form = public.http.get(response.headers["location"], headers=HTML)
    assert 'value="/jobs?status=failed"' in form.text
    # The API responds with a problem for every `Accept` header.
    assert public.http.get("/v1/jobs", headers=HTML).status_code == 401
    done = public.http.post("/sign-in", data={"key": secret, "next": "/jobs?status=failed"}, follow_redirects=False)
    assert (done.status_code, done.headers["location"]) == (303, "/jobs?status=failed")
    cookie = done.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert secret not in done.headers["set-cookie"]
    page = public.http.get("/jobs", headers=HTML)
    assert page.status_code == 200
    assert "<bdi>k</bdi>" in page.text
    assert public.http.get("/v1/jobs").status_code == 200


@pytest.mark.parametrize("next", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_the_form_leads_to_no_other_site(public: Service, next: str) -> None:
    assert 'name="next" value="/"' in public.http.get("/sign-in", params={"next": next}, headers=HTML).text
    response = public.http.post(
        "/sign-in", data={"key": create_key(public, "read"), "next": next}, follow_redirects=False
    )
    assert response.headers["location"] == "/"


@pytest.mark.slow
def test_a_write_repeats_the_token_of_its_page(public: Service) -> None:
    assert _sign_in(public, create_key(public, "read", "write")) == 303
    body = {"name": "birds", "labels": ["crane"]}
    for headers in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": "0" * 64}):
        response = public.http.post("/v1/vocabularies", json=body, headers=headers)
        assert (response.status_code, response.json()["code"]) == (403, "csrf_token_invalid")
    response = public.http.post("/v1/vocabularies", json=body, headers={"X-CSRF-Token": _csrf(public)})
    assert response.status_code == 201
    assert response.json()["owner"] == "k"


@pytest.mark.slow
def test_a_session_has_the_scopes_of_its_key_and_ends_with_it(public: Service) -> None:
    create_key(public, "read")  # of somebody else, so that the service has a key to the end
    secret = create_key(public, "read")
    assert _sign_in(public, secret) == 303
    csrf = _csrf(public)
    response = public.http.post("/v1/vocabularies", json={}, headers={"X-CSRF-Token": csrf})
    assert (response.status_code, response.json()["code"]) == (403, "scope_missing")
    with public.db.write() as tx:
        key = api_keys.find(tx, secret)
        assert key is not None
        api_keys.revoke(tx, key.id)
    assert public.http.get("/v1/jobs").status_code == 401
    assert public.http.get("/jobs", headers=HTML, follow_redirects=False).status_code == 303


@pytest.mark.slow
def test_signing_out_and_expiry(public: Service) -> None:
    secret = create_key(public, "read")
    assert _sign_in(public, secret) == 303
    token = public.http.cookies[COOKIE]
    assert public.http.delete("/session").status_code == 403
    assert public.http.delete("/session", headers={"X-CSRF-Token": _csrf(public)}).status_code == 204
    public.http.cookies.set(COOKIE, token)
    assert public.http.get("/v1/jobs").status_code == 401
    public.http.cookies.clear()
    assert _sign_in(public, secret) == 303
    with public.db.write() as tx:
        for row in tx.query(BrowserSession):
            row.expires_at = time.time() - 1
    assert public.http.get("/v1/jobs").status_code == 401
    with public.db.write() as tx:
        browser_sessions.delete_expired(tx)
        assert tx.query(BrowserSession).count() == 0


def test_a_wrong_key_and_another_site_begin_no_session(public: Service) -> None:
    assert _sign_in(public, "lbk_wrong") == 403
    assert _sign_in(public, create_key(public, "read"), **{"Sec-Fetch-Site": "cross-site"}) == 403
    assert COOKIE not in public.http.cookies


def test_another_site_changes_nothing_on_loopback(service: Service) -> None:
    body = {"name": "birds", "labels": ["crane"]}
    for site, status in (("cross-site", 403), ("same-site", 403), ("same-origin", 201), ("none", 200)):
        response = service.http.post("/v1/vocabularies", json=body, headers={"Sec-Fetch-Site": site})
        assert response.status_code == status, site


def test_a_problem_is_a_page_for_people_and_json_for_programs(service: Service) -> None:
    page = service.http.get("/jobs/job_<b>", headers=HTML)
    assert page.status_code == 404
    assert page.headers["content-type"].startswith("text/html")
    assert "job_&lt;b&gt;" in page.text
    problem = service.http.get("/jobs/job_x")
    assert problem.headers["content-type"] == "application/problem+json"
    assert service.http.get("/nothing", headers=HTML).headers["content-type"].startswith("text/html")


@pytest.mark.slow
def test_in_a_browser(sqlite_db: Database, tmp_path: Path, make_service: Callable[..., Service]) -> None:
    with sqlite_db.write() as tx:
        secret = api_keys.create(tx, name="team", scopes=["read", "write"], expires_at=None)[1]
    app = create_app(settings_at(tmp_path / "home", host="0.0.0.0"), sqlite_db)
    with served(app) as url, opened(f"{url}/vocabularies") as browser:
        page = browser.page
        page.get_by_label("API key").fill("lbk_wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert").first).to_contain_text("unknown, expired or revoked")
        page.get_by_label("API key").fill(secret)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="Vocabularies")).to_be_visible()
        assert page.url == f"{url}/vocabularies"
        assert page.evaluate("document.cookie") == ""
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("API key")).to_be_visible()
        page.goto(f"{url}/jobs")
        expect(page.get_by_label("API key")).to_be_visible()
        assert browser.errors == []
