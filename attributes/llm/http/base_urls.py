"""The base URL of a server: its validation, and the hint for an address at which no API is.

    normal_base_url(" http://127.0.0.1:1234/v1/chat/completions ")   # http://127.0.0.1:1234/v1

The base URL is what stands before `/chat/completions`. Sources of the known ones: the documentation of each server.
"""

import ipaddress
import re
from urllib.parse import urlsplit

CHAT_PATH = "/chat/completions"
# Pasted from an example for another endpoint. Only these: `/models` without `/v1` is a base URL of Azure AI.
_ENDPOINT = re.compile(r"/chat/completions$|(?<=/v1)/(completions|models|embeddings|responses|messages)$")
_AZURE_DEPLOYMENT = re.compile(r"/openai/deployments/[^/]+$")
_SCHEME = re.compile(
    r"[\s'\"<]*(?:(?P<scheme>[a-z]{2,6})\s?:?/{1,3})?[\s/]*(?P<rest>.*?)[\s'\">]*", re.IGNORECASE | re.DOTALL
)
_MISSPELT = ("", "http", "https", "htp", "htps", "ttp", "ttps", "hhtp", "hhtps", "httpp", "htttp", "htttps")
_EXAMPLE = "http://127.0.0.1:8080/v1"
_PATH = re.compile(r"(/(api|openai|inference|compatible-mode|paas|llm|v\d+\w{0,6}))*/?")
# The path of the API at servers whose API is not below `/v1`.
_PATHS = {
    "api.groq.com": "/openai/v1",
    "openrouter.ai": "/api/v1",
    "generativelanguage.googleapis.com": "/v1beta/openai",
    "api.fireworks.ai": "/inference/v1",
    "dashscope.aliyuncs.com": "/compatible-mode/v1",
    "dashscope-intl.aliyuncs.com": "/compatible-mode/v1",
    "open.bigmodel.cn": "/api/paas/v4",
    "api.z.ai": "/api/paas/v4",
    "ark.cn-beijing.volces.com": "/api/v3",
    "api.cohere.ai": "/compatibility/v1",
    "api.cohere.com": "/compatibility/v1",
    "api.deepinfra.com": "/v1/openai",
    "qianfan.baidubce.com": "/v2",
    "models.github.ai": "/inference",
}
_AZURE_HOSTS = (".openai.azure.com", ".cognitiveservices.azure.com")


def normal_base_url(text: str) -> str:
    """The base URL without what does not belong to it. Raises ValueError with the address that may be meant."""
    url = text.strip()
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    is_url = parts.scheme in ("http", "https") and url.isprintable() and " " not in url
    if not host or not is_url or not _is_host(host) or host in ("http", "https"):
        raise ValueError(f"must be an http:// or https:// address such as {_suggestion(text)}")
    if parts.username or parts.password:
        raise ValueError("must not contain a user or a key; give the key in its own setting")
    if parts.query or parts.fragment:
        if "api-version" in parts.query:
            raise ValueError("must not contain a query; set the API version as api_version, and only the endpoint here")
        raise ValueError("must not contain a query or a fragment")
    url = f"{parts.scheme}://{parts.netloc}{_without_endpoint(parts.path)}"
    return url.rstrip("/")


def path_hint(base_url: str) -> str:
    """What to try when nothing of the API is at a base URL."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    at = f"nothing of an OpenAI-compatible API is at {base_url}{CHAT_PATH}"
    if host.endswith(_AZURE_HOSTS) and parts.path != "/openai/v1":
        other = f"{parts.scheme}://{parts.netloc}/openai/v1"
        return f"{at}; for Azure OpenAI set LIMBECK_LLM_API_VERSION, or LIMBECK_LLM_BASE_URL={other}"
    other = f"{parts.scheme}://{parts.netloc}{_other_path(host, parts.path)}"
    if parts.path == "/v1" and other.endswith(parts.netloc):
        return f"{at}; check the address, or try it without /v1: LIMBECK_LLM_BASE_URL={other}"
    return f"{at}; try LIMBECK_LLM_BASE_URL={other}"


def _other_path(host: str, path: str) -> str:
    """The path at which the API probably is."""
    known = _PATHS.get(host)
    if known and path != known:
        return known
    if "/v1/v1" in path:
        return path.replace("/v1/v1", "/v1")
    if re.search(r"/api(/(chat|generate|v0|tags))?$", path):  # Ollama's and LM Studio's own APIs
        return re.sub(r"/api(/(chat|generate|v0|tags))?$", "/v1", path)
    return "" if path == "/v1" else "/v1"


def _without_endpoint(path: str) -> str:
    path = re.sub(r"/{2,}", "/", path).rstrip("/")
    return _AZURE_DEPLOYMENT.sub("", _ENDPOINT.sub("", path))


def _is_host(host: str) -> bool:
    """Whether a name could be of a host: labels without spaces and signs, or an IP address."""
    if ":" in host:
        return _is_ip(host)
    return re.fullmatch(r"[^\s!-,/:-@\[-^`{-~]+", host) is not None and ".." not in host


def _suggestion(text: str) -> str:
    """The address that a text without a valid one may mean; an example if it is none, or if it may hold a secret."""
    match = _SCHEME.fullmatch(text)
    scheme = (match["scheme"] or "").lower() if match else ""
    rest = re.sub(r"\s+", "", match["rest"]) if match and scheme in _MISSPELT else ""
    rest = re.sub(r"^(https?:?/*)+", "", rest, flags=re.IGNORECASE)
    address, _, path = rest.partition("/")
    if not address.startswith("[") and address.count(":") > 1:
        address = _bracketed(address)
    path = f"/{path}" if path else "/v1"
    try:
        parts = urlsplit(f"//{address}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return _EXAMPLE
    if not (_is_host(host) and _PATH.fullmatch(path)) or not (
        "." in host or _is_ip(host) or port or host == "localhost"
    ):
        return _EXAMPLE
    is_public = "." in host and not _is_ip(host) and port is None
    return f"{scheme if scheme in ('http', 'https') else 'https' if is_public else 'http'}://{address}{path}".rstrip(
        "/"
    )


def _bracketed(address: str) -> str:
    """An IPv6 address with brackets. A last group of decimal digits that no address needs is a port."""
    front, _, last = address.rpartition(":")
    if "::" in front and _is_ip(front) and last.isdecimal() and len(last) > 3:
        return f"[{front}]:{last}"
    return f"[{address}]"


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
