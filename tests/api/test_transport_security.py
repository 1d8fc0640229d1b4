"""TLS of the API, trusted proxies, and the warning of keys in plain text."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn

from api.server import server_config
from api.transport_security import check_certificate, trusted_proxies, warn_of_plain_text
from limbeck import Client
from limbeck.errors import PlainTextKey
from store.access import api_keys
from store.db import Database
from store.errors import SettingInvalid
from store.settings import Settings
from tests.api.conftest import settings_at
from tests.attributes.llm.http.certificates import self_signed


@pytest.mark.parametrize(
    ("changes", "warns"),
    [
        ({"host": "0.0.0.0"}, True),
        ({"host": "10.0.0.1"}, True),
        ({"host": "127.0.0.1"}, False),
        ({"host": "0.0.0.0", "tls_cert": "c", "tls_key": "k"}, False),
        ({"host": "0.0.0.0", "allow_plain_http": True}, False),
        ({"host": "0.0.0.0", "bind": "127.0.0.1"}, False),
        ({"host": "0.0.0.0", "bind": "0.0.0.0"}, True),
    ],
)
def test_the_service_warns_of_keys_in_plain_text(
    changes: dict[str, Any], warns: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    warn_of_plain_text(settings_at(tmp_path, **changes))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == warns
    assert all("LIMBECK_TLS_CERT" in line for line in lines)


def test_unusable_certificates_are_named(tmp_path: Path) -> None:
    file = tmp_path / "text.pem"
    file.write_text("no certificate")
    for changes, message in (
        ({"tls_cert": file}, "belong together"),
        ({"tls_cert": tmp_path / "none", "tls_key": file}, "LIMBECK_TLS_CERT: .*cannot be read"),
        ({"tls_cert": file, "tls_key": file}, "without a password"),
    ):
        with pytest.raises(SettingInvalid, match=message):
            check_certificate(settings_at(tmp_path, **changes))
    with pytest.raises(SettingInvalid, match="LIMBECK_TRUSTED_PROXIES"):
        trusted_proxies(settings_at(tmp_path, trusted_proxies="10.0.0.0/8, proxy"))
    assert trusted_proxies(settings_at(tmp_path, trusted_proxies="10.0.0.0/8,::1 ")) == ["10.0.0.0/8", "::1"]


@contextmanager
def _served(settings: Settings, db: Database) -> Iterator[int]:
    server = uvicorn.Server(server_config(settings, db))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def test_https_and_the_address_behind_a_trusted_proxy(sqlite_db: Database, tmp_path: Path) -> None:
    certificate = self_signed(tmp_path)
    settings = settings_at(
        tmp_path / "home", tls_cert=certificate, tls_key=certificate, trusted_proxies="127.0.0.1", host="0.0.0.0"
    )
    with sqlite_db.write() as tx:
        secret = api_keys.create(tx, name="ops", scopes=["admin"], expires_at=None)[1]
    with _served(settings, sqlite_db) as port:
        context = ssl.create_default_context(cafile=str(certificate))
        headers = {"Authorization": f"Bearer {secret}", "X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
        with httpx2.Client(base_url=f"https://127.0.0.1:{port}", verify=context, headers=headers) as http:
            assert http.post("/v1/vocabularies", json={"name": "b", "labels": ["crane"]}).status_code == 201
            (record,) = http.get("/v1/audit").json()["data"]
    assert record["client"] == "203.0.113.7"


@pytest.mark.parametrize(
    ("url", "key", "allowed", "warns"),
    [
        ("http://limbeck.example", "lbk_x", "", True),
        ("http://limbeck.example", "lbk_x", "true", False),
        ("http://limbeck.example", "", "", False),
        ("https://limbeck.example", "lbk_x", "", False),
        ("http://127.0.0.1:8420", "lbk_x", "", False),
    ],
)
def test_the_client_warns_of_a_key_in_plain_text(
    url: str, key: str, allowed: str, warns: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIMBECK_ALLOW_PLAIN_HTTP", allowed)
    if not warns:
        Client(url, key).close()
        return
    with pytest.warns(PlainTextKey, match="limbeck.example in plain text") as caught:
        Client(url, key).close()
    assert "lbk_x" not in str(caught[0].message)
