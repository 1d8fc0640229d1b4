"""Certificates, TLS, names, redirects: what cannot be reached is named with its remedy."""

import asyncio
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from attributes.llm.http.connections import ConnectionFault, ConnectionOptions, check_connection
from attributes.llm.settings import LLMSettings
from attributes.llm.transport import RawResponse, Transport
from tests.attributes.fake_llm import FakeLLM, FakeResponse, completion, respond_in_turn
from tests.attributes.llm.http import certificates
from tests.attributes.llm.http.conftest import BODY, send_once

GOOD = FakeResponse(body=completion("a robin"))


@pytest.fixture(autouse=True)
def no_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(
            certificates.self_signed,
            "is self-signed: add it with LIMBECK_LLM_CA_FILE",
            marks=pytest.mark.quirk("TLS", "a self-signed certificate", "the message names LIMBECK_LLM_CA_FILE"),
        ),
        pytest.param(
            certificates.expired,
            "has expired",
            marks=pytest.mark.quirk("TLS", "an expired certificate", "the message says so"),
        ),
        pytest.param(
            lambda folder: certificates.signed(folder)[0],
            "is signed by an unknown authority",
            marks=pytest.mark.quirk("TLS", "a certificate of a company's authority", "the message names the setting"),
        ),
    ],
    ids=["self-signed", "expired", "unknown authority"],
)
def test_a_certificate_that_is_not_trusted_says_so(
    make: Callable[[Path], Path], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = make(tmp_path)
    if "expired" in words:
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with FakeLLM(tls=certificates.server_context(file)) as llm:
        raw = send_once(base_url=llm.url)
    assert raw.status == "llm_unreachable"
    assert words in raw.detail


def test_a_server_that_went_away_refuses_connections_in_plain_words() -> None:
    async def talk() -> tuple[RawResponse, RawResponse]:
        with FakeLLM(respond_in_turn(GOOD)) as llm:
            transport = Transport(LLMSettings(base_url=llm.url, model="m"))
            first = await transport.send(BODY)
            await transport.close()  # else the second request uses the first one's connection
        try:
            return first, await transport.send(BODY)
        finally:
            await transport.close()

    first, second = asyncio.run(talk())
    assert (first.status, second.status) == ("ok", "connection")
    assert "(connection refused): is the LLM server running there?" in second.detail


@pytest.mark.slow
def test_a_trusted_authority_is_trusted_and_names_are_compared(tmp_path: Path) -> None:
    file, authority = certificates.signed(tmp_path)
    with FakeLLM(respond_in_turn(GOOD), tls=certificates.server_context(file)) as llm:
        assert send_once(base_url=llm.url, ca_file=authority).text == "a robin"
        raw = send_once(base_url=llm.url.replace("127.0.0.1", "localhost"), ca_file=authority)
    assert raw.status == "llm_unreachable"
    assert "is for another name" in raw.detail


def test_the_environment_names_trusted_authorities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, authority = certificates.signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    with FakeLLM(respond_in_turn(GOOD), tls=certificates.server_context(file)) as llm:
        assert send_once(base_url=llm.url).text == "a robin"


def options(url: str = "https://llm.example/v1", ca_file: Path | None = None) -> ConnectionOptions:
    return ConnectionOptions(base_url=url, ca_file=ca_file)


@pytest.mark.quirk("TLS", "a CA file that is missing or has no certificate", "one line at the start names it")
def test_a_ca_file_that_cannot_be_used_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty, text, missing = tmp_path / "empty.pem", tmp_path / "text.pem", tmp_path / "missing.pem"
    empty.touch()
    text.write_text("no certificate")
    for file, words in ((missing, "there is no file"), (empty, "has no certificate"), (text, "has no certificate")):
        with pytest.raises(ConnectionFault, match=f"^LIMBECK_LLM_CA_FILE: .*{words}") as caught:
            check_connection(options(ca_file=file))
        assert "\n" not in str(caught.value)
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        with pytest.raises(ConnectionFault, match=f"^SSL_CERT_FILE: .*{words}"):
            check_connection(options())
        check_connection(options("http://llm.example/v1"))  # not needed without TLS
        monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(ConnectionFault, match="there is no file"):
        check_connection(options(ca_file=tmp_path))
    monkeypatch.setenv("SSL_CERT_DIR", str(missing))
    with pytest.raises(ConnectionFault, match="^SSL_CERT_DIR: there is no folder"):
        check_connection(options())


@pytest.mark.slow
@pytest.mark.quirk(
    "TLS", "https:// to a port without TLS, and http:// to one with it", "the message names the other scheme"
)
def test_the_wrong_scheme_is_named(llm: FakeLLM, tmp_path: Path) -> None:
    raw = send_once(base_url=llm.url.replace("http:", "https:"))
    assert (raw.status, "may want http:// instead of https://" in raw.detail) == ("llm_unreachable", True)
    context = certificates.server_context(certificates.self_signed(tmp_path))
    with FakeLLM(tls=context) as secure:
        raw = send_once(base_url=secure.url.replace("https:", "http:"))
    assert raw.status in ("connection", "llm_unreachable")
    assert "write https:// instead of http://" in raw.detail
    page = b"<html><title>400 The plain HTTP request was sent to HTTPS port</title></html>"
    llm.script = respond_in_turn(FakeResponse(400, page))
    assert "plain HTTP request was sent to HTTPS port" in send_once(base_url=llm.url).detail


@pytest.mark.quirk(
    "all servers", "a host name that does not exist, a port where nothing listens", "the reason is named"
)
def test_the_reason_without_a_connection_is_named() -> None:
    raw = send_once(base_url="http://no-such-host.invalid/v1")
    assert (raw.status, "'no-such-host.invalid' cannot be resolved" in raw.detail) == ("llm_unreachable", True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        raw = send_once(base_url=f"http://127.0.0.1:{free.getsockname()[1]}/v1")
    assert raw.status == "llm_unreachable"
    assert raw.detail.startswith("no connection to http://127.0.0.1:")


def test_what_speaks_no_http_is_named() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()

        def greet() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"SSH-2.0-OpenSSH_9\r\n")
                connection.recv(65536)

        thread = threading.Thread(target=greet)
        thread.start()
        raw = send_once(base_url=f"http://127.0.0.1:{server.getsockname()[1]}/v1")
        thread.join()
    assert "no answer in HTTP from" in raw.detail


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.quirk("web servers", "a redirect with 301 or 302", "the request stays a POST with its body")
def test_a_redirect_keeps_the_request(status: int, llm: FakeLLM) -> None:
    moved = FakeResponse(status, None, {"Location": f"{llm.url}/new/chat/completions"})
    llm.script = respond_in_turn(moved, GOOD)
    assert send_once(base_url=llm.url).text == "a robin"
    assert [request.body for request in llm.requests] == [BODY, BODY]
    assert llm.requests[1].headers["authorization"].startswith("Bearer ")


@pytest.mark.slow
@pytest.mark.quirk("web servers", "redirects in a loop, or without a target", "the run ends and says so")
def test_a_redirect_that_leads_nowhere_ends(llm: FakeLLM) -> None:
    llm.script = respond_in_turn(FakeResponse(301, None, {"Location": f"{llm.url}/chat/completions"}))
    raw = send_once(base_url=llm.url)
    assert (raw.status, "redirects in a loop" in raw.detail) == ("llm_unreachable", True)
    llm.script = respond_in_turn(FakeResponse(302, None))
    raw = send_once(base_url=llm.url)
    assert (raw.status, "redirect" in raw.detail) == ("llm_unreachable", True)


def test_the_target_of_a_redirect_is_named_if_it_refuses(llm: FakeLLM) -> None:
    with FakeLLM(respond_in_turn(FakeResponse(401, {"error": "no key"}))) as other:
        llm.script = respond_in_turn(FakeResponse(308, None, {"Location": f"{other.url}/chat/completions"}))
        raw = send_once(base_url=llm.url)
    assert raw.status == "llm_wrong_key"
    assert "after a redirect to http://127.0.0.1/v1/chat/completions" in raw.detail
