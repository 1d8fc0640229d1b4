"""The HTTP client for one server: trusted certificates, proxy, redirects.

`check_connection` reports what cannot work before the first request. The environment variables are read here and not by
the HTTP client, which reports some faults only as an exception of the first request, and others not at all.
"""

import os
import ssl
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from attributes.llm.http.proxies import ProxyServer, proxy_of

if TYPE_CHECKING:
    import httpx2

MAX_CONNECT_TIMEOUT_S = 10.0
MAX_REDIRECTS = 10
_MIN_KEEPALIVE_CONNECTIONS = 100
_SECRET_HEADERS = ("authorization", "api-key", "x-api-key", "cookie")
_KEEPS_METHOD = {301: 308, 302: 307}


class ConnectionFault(ValueError):
    """A proxy or certificate file that cannot be used: one line that names the setting or variable, and the remedy."""


@dataclass(frozen=True, kw_only=True)
class ConnectionOptions:
    """How to reach a server. `secret_headers`: names of headers that no other server may get."""

    base_url: str
    proxy: str = ""
    ca_file: Path | None = None
    timeout_s: float = 60.0
    concurrency: int = 16
    secret_headers: Collection[str] = ()


def check_connection(options: ConnectionOptions) -> None:
    """Raises ConnectionFault if no connection can be made with these."""
    _check(options.base_url, options.proxy, options.ca_file, tuple(sorted(_environment().items())))


@lru_cache(maxsize=64)
def _check(base_url: str, proxy: str, ca_file: Path | None, environment: tuple[tuple[str, str], ...]) -> None:
    """Loading certificates takes long, so what was found to work is not checked again in the same `environment`."""
    options = ConnectionOptions(base_url=base_url, proxy=proxy, ca_file=ca_file)
    if _needs_certificates(options, _proxy(base_url, proxy)):
        ssl_context(ca_file)


def _proxy(base_url: str, setting: str) -> ProxyServer | None:
    try:
        return proxy_of(base_url, setting)
    except ValueError as error:
        raise ConnectionFault(str(error)) from None


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy") or "SSL_CERT" in name}


def ssl_context(ca_file: Path | None) -> ssl.SSLContext:
    """Trust the system's authorities, or those of SSL_CERT_FILE and SSL_CERT_DIR, and those in `ca_file`.

    Raises ConnectionFault for a file that is missing or has no certificate.
    """
    import httpx2

    name = next((name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)), None)
    if name is not None:  # the first of them counts
        _require(Path(os.environ[name]), name, is_folder=name == "SSL_CERT_DIR")
    try:
        context = httpx2.create_ssl_context()
    except (ssl.SSLError, OSError) as error:
        raise ConnectionFault(f"{name or 'the CA certificates'}: {_reason(error)}") from None
    if ca_file is not None:
        _require(ca_file, "LIMBECK_LLM_CA_FILE", is_folder=False)
        try:
            context.load_verify_locations(cafile=ca_file)
        except (ssl.SSLError, OSError) as error:
            raise ConnectionFault(f"LIMBECK_LLM_CA_FILE: {ca_file}: {_reason(error)}") from None
    return context


def http_client(options: ConnectionOptions) -> "tuple[httpx2.AsyncClient, ProxyServer | None]":
    """The client, and the proxy that it uses. Raises ConnectionFault as `check_connection` does."""
    import httpx2

    proxy = _proxy(options.base_url, options.proxy)
    verify = ssl_context(options.ca_file) if _needs_certificates(options, proxy) else True
    connect_s = min(options.timeout_s, MAX_CONNECT_TIMEOUT_S)
    keepalive = max(options.concurrency, _MIN_KEEPALIVE_CONNECTIONS)
    client = httpx2.AsyncClient(
        timeout=httpx2.Timeout(options.timeout_s, connect=connect_s),
        # One kept-alive connection per call in flight; further calls would each open a new connection.
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=keepalive),
        follow_redirects=True,
        max_redirects=MAX_REDIRECTS,
        verify=verify,
        proxy=_proxy_for_client(proxy, verify) if proxy else None,
        trust_env=False,
        event_hooks={"request": [_SecretsGuard(options)], "response": [_keep_method]},
    )
    return client, proxy


def _needs_certificates(options: ConnectionOptions, proxy: ProxyServer | None) -> bool:
    addresses = [options.base_url, *([proxy.address] if proxy else [])]
    return options.ca_file is not None or any(address.startswith("https:") for address in addresses)


def _proxy_for_client(proxy: ProxyServer, verify: ssl.SSLContext | bool) -> "httpx2.Proxy":
    import httpx2

    context = verify if isinstance(verify, ssl.SSLContext) and proxy.address.startswith("https:") else None
    return httpx2.Proxy(proxy.address, auth=proxy.auth, ssl_context=context)


class _SecretsGuard:
    """Removes secrets from a request that was redirected to another server."""

    def __init__(self, options: ConnectionOptions) -> None:
        import httpx2

        self._own = httpx2.URL(options.base_url)
        self._names = {*_SECRET_HEADERS, *(name.lower() for name in options.secret_headers)}

    async def __call__(self, request: "httpx2.Request") -> None:
        own, url = self._own, request.url
        if (url.scheme, url.host, url.port) == (own.scheme, own.host, own.port):
            return
        is_upgrade = url.host == own.host and url.scheme == "https" and own.port is None and url.port is None
        if not is_upgrade:
            for name in self._names:
                request.headers.pop(name, None)


async def _keep_method(response: "httpx2.Response") -> None:
    """Let a POST stay a POST after 301 and 302. The client would send a GET, as browsers do after a form."""
    if response.request.method == "POST" and response.status_code in _KEEPS_METHOD:
        response.status_code = _KEEPS_METHOD[response.status_code]


def _require(path: Path, source: str, *, is_folder: bool) -> None:
    """Raises ConnectionFault if the file or folder is missing."""
    if not (path.is_dir() if is_folder else path.is_file()):
        kind = "folder" if is_folder else "file"
        raise ConnectionFault(
            f"{source}: there is no {kind} {path}; name a {kind} of CA certificates (PEM), or unset it"
        )


def _reason(error: OSError) -> str:
    """Why certificates cannot be loaded. OpenSSL's texts, such as `NO_CERTIFICATE_OR_CRL_FOUND`, name no remedy."""
    if isinstance(error, ssl.SSLError):
        return "the file has no certificate in PEM format (-----BEGIN CERTIFICATE-----)"
    return error.strerror or str(error)
