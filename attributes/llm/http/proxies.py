"""The proxy of a server: from the settings, else from the environment.

    proxy = proxy_of("https://api.example.com/v1", "")   # by HTTPS_PROXY, ALL_PROXY and NO_PROXY

The variables mean what they mean for curl, in upper and lower case. A server on this machine is no exception: NO_PROXY
must list it. `socks5://` and `socks5h://` both let the proxy resolve names.
"""

import ipaddress
import re
from dataclasses import dataclass, field
from importlib.util import find_spec
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies_environment

SETTING = "LIMBECK_LLM_PROXY"
SCHEMES = ("http", "https", "socks5", "socks5h")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class ProxyServer:
    """A proxy. `address` has no credentials and can be shown; `source` is where it is set. `auth`: user, password."""

    address: str
    source: str
    auth: tuple[str, str] | None = field(default=None, repr=False)

    def secrets(self) -> set[str]:
        """The texts that no message may show."""
        return {self.auth[1]} if self.auth else set()


def proxy_of(base_url: str, setting: str) -> ProxyServer | None:
    """The proxy for a server; None for a direct connection. Raises ValueError with one line that names the source."""
    if setting.strip():
        return _named(setting, SETTING)
    parts = urlsplit(base_url)
    environment = getproxies_environment()
    name = parts.scheme if environment.get(parts.scheme) else "all"
    if not environment.get(name) or _is_exempt(parts, environment.get("no", "")):
        return None
    return _named(environment[name], f"{name.upper()}_PROXY")


def _named(text: str, source: str) -> ProxyServer:
    try:
        return parse_proxy(text, source)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None


def parse_proxy(text: str, source: str = SETTING) -> ProxyServer:
    """The proxy that a URL names. Raises ValueError; the message holds no credentials."""
    url = text.strip()
    url = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
        parts = urlsplit("")
    if not host or re.search(r"\s", url):
        raise ValueError("must be the address of a proxy, in a form such as http://proxy.example:3128")
    name = f"[{host}]" if ":" in host else host
    place = name if port is None else f"{name}:{port}"
    scheme = parts.scheme.lower()
    if scheme not in SCHEMES:
        other = f"socks5://{place}" if scheme.startswith("socks") else f"http://{place}"
        raise ValueError(
            f"a proxy of the kind {scheme}:// is not supported, only {', '.join(SCHEMES)}; if it is one, write {other}"
        )
    if scheme.startswith("socks") and find_spec("socksio") is None:
        raise ValueError("a SOCKS proxy needs the package socksio; install it with: pip install socksio")
    auth = (unquote(parts.username or ""), unquote(parts.password or "")) if parts.username or parts.password else None
    return ProxyServer(f"{scheme}://{place}", source, auth)


def _is_exempt(parts: SplitResult, no_proxy: str) -> bool:
    """Whether NO_PROXY names the server: its name, a domain above it, its address or network; each may have a port."""
    host = (parts.hostname or "").rstrip(".").lower()
    port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    return any(_matches(entry, host, port) for entry in re.split(r"[,\s]+", no_proxy.lower()) if entry)


def _matches(entry: str, host: str, port: int | None) -> bool:
    if entry == "*":
        return True
    entry = entry.partition("://")[2] or entry
    name, entry_port = _split_port(entry)
    if entry_port is not None and entry_port != port:
        return False
    address = _address(host)
    if address is not None:
        try:
            return address in ipaddress.ip_network(name, strict=False)
        except ValueError:
            return False
    domain = name.removeprefix("*").strip(".")
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))


def _split_port(entry: str) -> tuple[str, int | None]:
    """`host:8080` or `[::1]:8080` as host and port. An IPv6 address without brackets has no port."""
    match = re.fullmatch(r"\[(?P<v6>[^\]]+)\](?::(?P<port6>\d+))?|(?P<name>[^:]+):(?P<port>\d+)", entry)
    if match is None:
        return entry, None
    port = match["port6"] or match["port"]
    return match["v6"] or match["name"], int(port) if port else None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
