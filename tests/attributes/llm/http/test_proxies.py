"""Proxies, from the settings and from the environment."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr, ValidationError

from attributes.llm.http.proxies import proxy_of
from attributes.llm.settings import LLMSettings
from tests.attributes.fake_llm import FakeLLM, FakeResponse, completion, respond_in_turn
from tests.attributes.llm.http.conftest import send_once
from tests.attributes.llm.http.fake_proxies import FakeProxy

NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
PASSWORD = "s3cret-of-the-proxy"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def target(llm: FakeLLM) -> tuple[str, int]:
    llm.script = respond_in_turn(FakeResponse(body=completion("a robin")))
    return "127.0.0.1", urlsplit(llm.url).port or 0


@pytest.fixture
def proxy(target: tuple[str, int]) -> Iterator[FakeProxy]:
    with FakeProxy(target=target) as fake:
        yield fake


def send_ok(url: str, **settings: object) -> None:
    raw = send_once(base_url=url, **settings)
    assert raw.text == "a robin", raw.detail


def test_without_a_proxy_the_connection_is_direct(llm: FakeLLM, proxy: FakeProxy) -> None:
    send_ok(llm.url)
    assert proxy.requests == []


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.quirk("proxies", "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, in upper or lower case", "they apply, as with curl")
def test_the_environment_names_a_proxy(name: str, proxy: FakeProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, f"http://{proxy.address}")
    send_ok("http://llm.example/v1")
    assert proxy.requests == ["POST http://llm.example/v1/chat/completions HTTP/1.1"]


def test_the_setting_comes_before_the_environment(proxy: FakeProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "*")
    send_ok("http://llm.example/v1", proxy=SecretStr(f" {proxy.address} "))
    assert len(proxy.requests) == 1


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
@pytest.mark.quirk("proxies", "`socks5://` and `socks5h://`", "supported; the proxy resolves the name")
def test_a_socks_proxy_is_used(scheme: str, target: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeProxy(kind="socks5", target=target) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"{scheme}://{proxy.address}")
        send_ok("http://llm.example:81/v1")
        monkeypatch.setenv("ALL_PROXY", f"{scheme}://user:{PASSWORD}@{proxy.address}")
        send_ok("http://llm.example:81/v1")
    assert proxy.requests == ["llm.example:81"] * 2


@pytest.mark.quirk("proxies", "a user and a password in the proxy's address", "sent to the proxy, shown nowhere")
def test_a_proxy_gets_its_credentials_and_nobody_sees_them(target: tuple[str, int]) -> None:
    with FakeProxy(login=f"user:{PASSWORD}", target=target) as proxy:
        address = SecretStr(f"http://user:{PASSWORD}@{proxy.address}")
        send_ok("http://llm.example/v1", proxy=address)
        assert PASSWORD not in repr(LLMSettings(model="m", proxy=address))
    raw = send_once(base_url="http://llm.example/v1", proxy=address)  # the proxy is away now
    assert raw.status == "llm_unreachable"
    assert proxy.address in raw.detail
    assert PASSWORD not in repr(raw)


@pytest.mark.parametrize("url", ["http://llm.example/v1", "https://llm.example/v1"])
@pytest.mark.quirk("proxies", "407", "the message says that the proxy, not the LLM server, wants a user and a password")
def test_a_proxy_that_wants_credentials_is_named(url: str) -> None:
    with FakeProxy(login="user:other") as proxy:
        raw = send_once(base_url=url, proxy=SecretStr(proxy.address))
    assert raw.status == "llm_unreachable"
    assert "proxy" in raw.detail
    assert "a user and a password" in raw.detail


@pytest.mark.quirk("proxies", "HTTP_PROXY for a server on this machine", "the message names NO_PROXY")
def test_an_unreachable_proxy_of_the_environment_hints_at_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    raw = send_once(base_url="http://127.0.0.1:10/v1")
    assert raw.status == "llm_unreachable"
    assert "through the proxy http://127.0.0.1:9 (HTTP_PROXY)" in raw.detail
    assert "add 127.0.0.1 to NO_PROXY" in raw.detail


@pytest.mark.parametrize(
    ("no_proxy", "url", "is_direct"),
    [
        ("llm.example", "http://llm.example/v1", True),
        ("llm.example", "http://api.llm.example/v1", True),
        (".llm.example", "http://api.llm.example/v1", True),
        ("*.llm.example", "http://api.llm.example/v1", True),
        ("LLM.example", "http://llm.EXAMPLE/v1", True),
        ("lm.example", "http://llm.example/v1", False),
        ("other, llm.example", "http://llm.example/v1", True),
        ("other llm.example", "http://llm.example/v1", True),
        ("llm.example:80", "http://llm.example/v1", True),
        ("llm.example:8080", "http://llm.example:8080/v1", True),
        ("llm.example:8080", "http://llm.example:8081/v1", False),
        ("10.0.0.0/8", "http://10.1.2.3/v1", True),
        ("10.0.0.0/8", "http://11.1.2.3/v1", False),
        ("10.1.2.3", "http://10.1.2.3/v1", True),
        ("::1", "http://[::1]:8080/v1", True),
        ("[::1]:8080", "http://[::1]:8080/v1", True),
        ("fd00::/8", "http://[fd12::5]/v1", True),
        ("localhost,127.0.0.1", "http://localhost:1234/v1", True),
        ("*", "http://llm.example/v1", True),
        ("", "http://localhost:1234/v1", False),
        ("nonsense[/", "http://10.1.2.3/v1", False),
    ],
)
@pytest.mark.quirk("proxies", "NO_PROXY with names, domains, ports, addresses, networks and `*`", "a direct connection")
def test_no_proxy_exempts_servers(no_proxy: str, url: str, is_direct: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert (proxy_of(url, "") is None) == is_direct


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("socks://127.0.0.1:7890", "write socks5://127.0.0.1:7890"),
        ("socks4://127.0.0.1:7890", "write socks5://127.0.0.1:7890"),
        ("ftp://127.0.0.1:7890", "not supported, only http, https, socks5, socks5h"),
        ("http://", "must be the address of a proxy"),
        ("http://host:port", "must be the address of a proxy"),
        ("http://a b:1", "must be the address of a proxy"),
        (f"socks4://user:{PASSWORD}@127.0.0.1:7890", "write socks5://127.0.0.1:7890"),
    ],
)
@pytest.mark.quirk(
    "proxies", "`socks://`, `socks4://` or an address that is none", "one line at the start says what to write"
)
def test_a_proxy_that_cannot_be_used_is_one_line(address: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", address)
    with pytest.raises(ValueError, match="^HTTPS_PROXY: .*") as caught:
        proxy_of("https://llm.example/v1", "")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValidationError) as refused:
        LLMSettings(model="m", proxy=SecretStr(address))
    assert words in refused.value.errors()[0]["msg"]
    assert PASSWORD not in f"{caught.value}{refused.value}"
    assert proxy_of("http://llm.example/v1", "") is None  # a proxy for another scheme does not matter
