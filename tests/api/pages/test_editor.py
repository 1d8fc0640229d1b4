"""The editor page: its content security policy, its API requests and, if Chromium is installed, a session in it."""

import base64
import hashlib
import itertools
import json
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from api.app import create_app
from limbeck.client import Limbeck
from store.db import Database
from store.enrich import results
from tests.api.conftest import Service, settings_at
from tests.api.drafting import IMPORT, NECK, TALL
from tests.api.live import served

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
EVIL = '<img src=x onerror="document.title=1">'


def test_the_policy_allows_only_the_script_of_the_page(service: Service) -> None:
    response = service.http.get("/attributes/ats_any")
    assert response.status_code == 200
    policy = dict(part.strip().partition(" ")[::2] for part in response.headers["content-security-policy"].split(";"))
    for tag in ("script", "style"):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", response.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert policy.pop(f"{tag}-src") == f"'sha256-{digest}'"
    assert policy == {
        "default-src": "'none'",
        "connect-src": "'self'",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|https?://", response.text)
    assert not re.search(r"<[^>]+\s(on\w+|style)=", response.text)
    assert "ats_any" not in response.text
    assert service.http.get("/").headers["content-security-policy"].startswith("default-src 'none'; style-src")


def test_the_page_needs_no_key_but_its_data_do(make_service: Callable[..., Service]) -> None:
    service = make_service(host="0.0.0.0")
    assert service.http.get("/attributes/ats_1").status_code == 200
    assert service.http.get("/v1/attribute-sets/ats_1").status_code == 401
    assert service.http.get("/attributes").status_code == 401
    assert service.http.post("/attributes/ats_1").status_code == 405


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


class BrowserPage:
    """A page in Chromium, controlled by the DevTools protocol."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            result: dict[str, Any] = json.loads(self._socket.recv(timeout=30))
            if result.get("id") == number:
                result: dict[str, Any] = result["result"]
                return result

    def run(self, script: str) -> Any:
        result = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def until(self, script: str) -> Any:
        give_up = time.monotonic() + 30
        while not (value := self.run(script)):
            assert time.monotonic() < give_up, (script, self.run("document.body.innerText"))
            time.sleep(0.05)
        return value

    def click(self, text: str, within: str = "body") -> None:
        """Wait for the button with this text and click it."""
        find = f"[...document.querySelectorAll({within + ' button'!r})].find(b => b.textContent === {text!r})"
        self.until(f"!!{find} && !{find}.disabled")
        self.run(f"{find}.click()")


@contextmanager
def browser(profile: Path, url: str) -> Iterator[BrowserPage]:
    """A page in headless Chromium at `url`."""
    assert BROWSER is not None
    arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-port=0"]
    process = subprocess.Popen(
        [BROWSER, *arguments, f"--user-data-dir={profile}", url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        port_file, give_up = profile / "DevToolsActivePort", time.monotonic() + 60
        while not (port_file.exists() and port_file.read_text().count("\n")):
            assert time.monotonic() < give_up, "the browser did not start"
            time.sleep(0.05)
        port = port_file.read_text().split()[0]
        while True:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=30) as response:
                pages = [item for item in json.load(response) if item["type"] == "page" and item["url"].startswith(url)]
            if pages:
                break
            assert time.monotonic() < give_up, "the browser did not open the page"
            time.sleep(0.05)
        with connect(pages[0]["webSocketDebuggerUrl"], max_size=None, proxy=None) as socket:
            yield BrowserPage(socket)
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium on this machine")
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
    with served(create_app(settings_at(tmp_path / "home"), sqlite_db)) as url, Limbeck(url) as client:
        created = client.import_attributes(json.dumps(document), name="birds")
        with browser(tmp_path / "profile", f"{url}/attributes/{created.id}") as page:
            page.until("document.querySelectorAll('.label').length === 2")
            assert page.run("document.querySelector('[data-position=\"0\"] .line:nth-of-type(3) .text').innerText") == (
                f"{EVIL} part: neck, value: long"
            )
            crane, heron = '[data-position="0"]', '[data-position="1"]'
            page.click("source", crane)
            page.until("document.getElementById('response').textContent.includes('the response')")
            page.click("Close")
            page.click("+ add a line", crane)
            page.run("document.querySelector('.form input').value = 'a red crown'")
            page.click("Add", crane)
            page.until("document.getElementById('draft').textContent === '1 label edited, not sealed'")
            page.until(f"document.querySelectorAll('{crane} .line').length === 3")
            page.click("lock", heron)
            page.until(f"!!document.querySelector('{heron} .badge.locked')")
            page.click("edit", crane)
            page.run("document.querySelector('.form input').value = '.'")
            page.click("Save", crane)
            page.until("document.getElementById('status').textContent.includes('no letter or digit')")
            page.run("document.querySelector('.form input').value = 'A very tall bird.'")
            page.click("Save", crane)
            page.until(f"document.querySelectorAll('{crane} .badge.human').length === 2")
            # A concurrent edit: the page shows a message and the other edit.
            client.drafts.change(
                created.id, [{"op": "add", "position": 1, "kind": "phrase", "text": "grey"}], version=None
            )
            page.click("delete", crane)
            page.until("document.getElementById('status').textContent.includes('someone else')")
            page.until(f"document.querySelectorAll('{heron} .line').length === 2")
            page.run("document.getElementById('q').value = 'HER'")
            page.run("document.getElementById('q').dispatchEvent(new Event('input'))")
            page.until("document.querySelectorAll('.label').length === 1")
            page.click("Seal as a new set")
            page.until(f"!location.pathname.endsWith('{created.id}') && !!document.querySelector('.label')")
            page.click("Compare with parent")
            page.until("document.querySelectorAll('.added').length === 3")
            assert page.run("document.title") != "1"
        (child,) = client.attribute_sets(parent_id=created.id)
        texts = [[line.text for line in item.lines] for item in client.attributes(child.id)]
        assert texts == [["A very tall bird.", EVIL, "a red crown"], ["a long neck", "grey"]]
