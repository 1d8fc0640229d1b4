"""The editor page: its API requests, and an editing session in a browser."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from api.app import create_app
from limbeck import Client
from store.db import Database
from store.enrich import results
from tests.api.conftest import Service, settings_at
from tests.api.drafting import IMPORT, NECK, TALL
from tests.api.live import served
from tests.api.pages.browser import opened

EVIL = '<img src=x onerror="document.title=1">'


def test_the_requests_of_the_page(service: Service) -> None:
    """The paths, parameters and fields that the script uses, in the order of an editing session."""
    document = {
        "format": "limbeck.attributes",
        "version": 2,
        "entries": [{"label": "crane", "lines": [TALL, NECK]}, {"label": "heron"}],
    }
    id = service.post(IMPORT, {"format": "json", "document": document})["id"]
    base = f"/v1/attribute-sets/{id}"
    assert service.get(base)["parent_id"] is None
    draft = service.get(f"{base}/draft")
    page = service.get(f"{base}/labels", draft="true", limit="50", q="CRA", origin="llm")
    (crane,) = page["data"]
    version = draft["version"]
    for operation in (
        {"op": "edit", "line": crane["lines"][1]["id"], "kind": "phrase", "text": "a neck", "part": "", "value": ""},
        {"op": "lock", "line": crane["lines"][0]["id"]},
        {"op": "add", "kind": "contrast", "text": EVIL, "about": "heron", "part": "", "value": "", "other_value": ""},
    ):
        response = service.http.patch(
            f"{base}/draft",
            json={"operations": [{**operation, "position": 0}]},
            headers={"If-Match": f'"{version}"', "Idempotency-Key": f"k{version}"},
        )
        assert response.status_code == 200, response.text
        version = response.json()["version"]
    (shown,) = service.get(f"{base}/labels", draft="true", limit=1)["data"]
    assert [(line["text"], line["origin"], line["locked"]) for line in shown["lines"]] == [
        ("A tall grey bird.", "llm", True),
        ("a neck", "human", False),
        (EVIL, "human", False),
    ]
    response = service.http.post(f"{base}/draft/seal", headers={"If-Match": f'"{version}"'})
    created = response.json()
    result = service.get(f"/v1/attribute-sets/{created['id']}/compare", **{"with": id, "limit": "50"})["data"]
    assert [len(result[0][what]) for what in ("added", "removed", "locked", "unlocked")] == [2, 1, 1, 0]


def edit_and_seal(page: Page, client: Client, set_id: str) -> None:
    """Show a source; add, lock, edit and delete lines; search; seal; compare with the parent."""
    labels, crane, heron = (
        page.locator(".label"),
        page.locator('[data-position="0"]'),
        page.locator('[data-position="1"]'),
    )
    status, text = page.locator("#status"), page.locator(".form").get_by_label("text")
    expect(labels).to_have_count(2)
    expect(crane.locator(".line .text").nth(1)).to_have_text(f"{EVIL}  part: neck, value: long")
    crane.get_by_role("button", name="source").first.click()
    expect(page.locator("#response")).to_contain_text("the response")
    page.get_by_role("button", name="Close").click()
    crane.get_by_role("button", name="+ add a line").click()
    text.fill("a red crown")
    crane.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("#draft")).to_have_text("1 label edited, not sealed")
    expect(crane.locator(".line")).to_have_count(3)
    heron.get_by_role("button", name="lock").click()
    expect(heron.locator(".badge.locked")).to_be_visible()
    crane.get_by_role("button", name="edit", exact=True).first.click()
    text.fill(".")
    crane.get_by_role("button", name="Save").click()
    expect(status).to_contain_text("no letter or digit")
    text.fill("A very tall bird.")
    crane.get_by_role("button", name="Save").click()
    expect(crane.locator(".badge.human")).to_have_count(2)
    # A concurrent edit: the page shows a message and the other edit.
    client.drafts.change(set_id, [{"op": "add", "position": 1, "kind": "phrase", "text": "grey"}], version=None)
    crane.get_by_role("button", name="delete").first.click()
    expect(status).to_contain_text("someone else")
    expect(heron.locator(".line")).to_have_count(2)
    page.get_by_label("search labels").fill("HER")
    expect(labels).to_have_count(1)
    page.get_by_role("button", name="Seal as a new set").click()
    page.wait_for_url(lambda url: not url.endswith(set_id))
    expect(labels).to_have_count(2)
    page.get_by_role("button", name="Compare with parent").click()
    expect(page.locator(".added")).to_have_count(3)
    assert page.title() != "1"  # the script in a line's text did not run


@pytest.mark.slow
def test_edit_a_set_in_a_browser(sqlite_db: Database, tmp_path: Path) -> None:
    lines = [TALL, {**NECK, "text": EVIL}]
    document = {
        "format": "limbeck.attributes",
        "version": 2,
        "entries": [{"label": "crane", "lines": lines}, {"label": "heron", "lines": [NECK]}],
    }
    response = {
        "key": "ab12",
        "model": "m",
        "base_url": "",
        "strategy": "describe@1",
        "messages": [],
        "answer": "the response",
        "lines": [],
        "other_lines": None,
        "flags": [],
    }
    with sqlite_db.write() as tx:
        results.record_responses(tx, [response])
    with served(create_app(settings_at(tmp_path / "home"), sqlite_db)) as url, Client(url) as client:
        created = client.attribute_sets.import_file(json.dumps(document), name="birds")
        with opened(f"{url}/attributes/{created.id}") as browser:
            edit_and_seal(browser.page, client, created.id)
            assert browser.errors == []
        (child,) = client.attribute_sets.list(parent_id=created.id)
        texts = [[line.text for line in item.lines] for item in client.attribute_sets.labels(child.id)]
        assert texts == [["A very tall bird.", EVIL, "a red crown"], ["a long neck", "grey"]]
