"""Why no response came, in words that name the remedy."""

import os
import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

from attributes.llm.http.proxies import ProxyServer

_CA_REMEDY = "add its authority's certificate with LIMBECK_LLM_CA_FILE"
# OpenSSL's codes of a failed verification -> what is wrong, and the remedy.
_CERTIFICATE_FAULTS = {
    9: ("is not valid yet", "check the clock of this machine"),
    10: ("has expired", "renew it on the server, or check the clock of this machine"),
    18: ("is self-signed", "add it with LIMBECK_LLM_CA_FILE"),
    19: ("is signed by an unknown authority", _CA_REMEDY),
    20: ("is signed by an unknown authority, or its chain is incomplete", _CA_REMEDY),
    21: ("is signed by an unknown authority, or its chain is incomplete", _CA_REMEDY),
    62: ("is for another name", "use the name in the certificate as the host of LIMBECK_LLM_BASE_URL"),
    64: ("is for another address", "use the name in the certificate as the host of LIMBECK_LLM_BASE_URL"),
}


def is_permanent(error: BaseException) -> bool:
    """Whether waiting cannot help: a certificate, TLS where there is none, a loop of redirects, a proxy's login."""
    import httpx2

    if any(isinstance(one, ssl.SSLCertVerificationError | httpx2.TooManyRedirects) for one in _chain(error)):
        return True
    return _speaks_no_tls(error) or any(
        isinstance(one, httpx2.ProxyError) and "407" in str(one) for one in _chain(error)
    )


def describe_fault(error: BaseException, base_url: str, proxy: ProxyServer | None) -> str:
    """One line: what could not be reached, why, and what to do. It holds no credentials."""
    import httpx2

    parts = urlsplit(base_url)
    chain = list(_chain(error))
    if certificate := next((one for one in chain if isinstance(one, ssl.SSLCertVerificationError)), None):
        return _certificate_fault(certificate, base_url)
    if any(isinstance(one, httpx2.TooManyRedirects) for one in chain):
        return f"{base_url} redirects in a loop: check the address"
    through = f" through the proxy {proxy.address} ({proxy.source})" if proxy else ""
    if any(isinstance(one, httpx2.ProxyError) for one in chain):
        return _proxy_fault(chain, base_url, proxy)
    if _speaks_no_tls(error):
        return f"no TLS at {base_url}{through}: the server may want http:// instead of https://"
    if isinstance(error, httpx2.RemoteProtocolError | httpx2.ReadError):
        hint = "; if the server speaks TLS, write https:// instead of http://" if parts.scheme == "http" else ""
        return f"no answer in HTTP from {base_url}{through} ({type(error).__name__}){hint}"
    name = next((one for one in chain if isinstance(one, socket.gaierror)), None)
    if name is not None:
        host = urlsplit(proxy.address).hostname if proxy else parts.hostname
        return f"no connection to {base_url}{through}: the host name {host!r} cannot be resolved; check it"
    question = "" if proxy else ": is the LLM server running there?"
    return f"no connection to {base_url}{through}{_reason_of(chain)}{_exemption(parts.hostname, proxy)}{question}"


def _certificate_fault(error: ssl.SSLCertVerificationError, base_url: str) -> str:
    fault, remedy = _CERTIFICATE_FAULTS.get(
        error.verify_code, (f"cannot be verified ({error.verify_message})", "see LIMBECK_LLM_CA_FILE")
    )
    return f"the certificate of {base_url} {fault}: {remedy}"


def _proxy_fault(chain: list[BaseException], base_url: str, proxy: ProxyServer | None) -> str:
    import httpx2

    place = f"the proxy {proxy.address} ({proxy.source})" if proxy else "the proxy"
    said = next(str(one) for one in chain if isinstance(one, httpx2.ProxyError))
    if "407" in said or "auth" in said.lower():
        return f"{place} wants a user and a password, or refuses them: set them as USER:PASSWORD@ in its address"
    return f"{place} cannot reach {base_url} ({said[:100]}){_exemption(urlsplit(base_url).hostname, proxy)}"


def _exemption(host: str | None, proxy: ProxyServer | None) -> str:
    """How to reach a server without the environment's proxy."""
    if proxy is None or proxy.source == "LIMBECK_LLM_PROXY":
        return ""
    return f"; for a direct connection add {host} to NO_PROXY"


def _reason_of(chain: list[BaseException]) -> str:
    """The operating system's reason, if there is one."""
    for one in reversed(chain):
        if isinstance(one, OSError) and one.strerror and not isinstance(one, ssl.SSLError):
            # asyncio replaces the operating system's text: "Connect call failed ('::1', 9)".
            return f" ({(os.strerror(one.errno) if one.errno and one.errno > 0 else one.strerror).lower()})"
    return ""


def _speaks_no_tls(error: BaseException) -> bool:
    texts = [str(one) for one in _chain(error) if isinstance(one, ssl.SSLError) or "SSL" in str(one)]
    return any("WRONG_VERSION_NUMBER" in text or "RECORD_LAYER_FAILURE" in text for text in texts)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and its causes."""
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        if isinstance(following, BaseExceptionGroup) and following.exceptions:
            following = following.exceptions[0]
        else:
            following = following.__cause__ or following.__context__
