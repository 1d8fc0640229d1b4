"""huggingface_hub with the service as its endpoint, over real connections.

`make test-clients` also runs timm, open_clip and ONNX Runtime, in environments of their own.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from store.db import Database
from tests.api.conftest import Service, create_key
from tests.api.live import served
from tests.api.published import CONTENT, SHA
from tests.api.routes.test_hub import PATHS, REVISION, publish_pairing

ID = "limbeck/ckp_1"
PREFIX = "/models"


@dataclass
class Proxy:
    """Serves the app below a prefix, as a proxy does, and breaks the first `cuts` long responses after `cut` bytes."""

    app: ASGIApp
    cuts: int = 0
    cut: int = 2**20
    requests: list[tuple[str, str, str]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = dict(scope["headers"])
            scope = scope | {"path": scope["path"].removeprefix(PREFIX)}
            self.requests.append((scope["method"], scope["path"], headers.get(b"range", b"").decode()))
        sent = 0

        async def send_part(message: Message) -> None:
            nonlocal sent
            sent += len(message.get("body", b""))
            if self.cuts and sent > self.cut:
                self.cuts -= 1
                raise ConnectionAbortedError("the proxy breaks the connection")
            await send(message)

        await self.app(scope, receive, send_part)

    def downloads(self, path: str) -> list[str]:
        """The `Range` of each GET of a file."""
        return [ranges for method, found, ranges in self.requests if method == "GET" and found.endswith(path)]


@pytest.fixture
def db(sqlite_db: Database) -> Database:
    return sqlite_db


@pytest.fixture
def proxy(make_service: Callable[..., Service]) -> tuple[Service, Proxy]:
    service = make_service(host="0.0.0.0")
    publish_pairing(service)
    return service, Proxy(service.app)


@pytest.fixture
def endpoint(proxy: tuple[Service, Proxy]) -> Iterator[str]:
    with served(proxy[1]) as url:
        yield url + PREFIX


def test_a_snapshot_is_the_bundle_and_downloads_no_content_twice(
    proxy: tuple[Service, Proxy], endpoint: str, tmp_path: Path
) -> None:
    service, requests = proxy
    token = create_key(service, "read")
    folder = Path(snapshot_download(ID, endpoint=endpoint, token=token, cache_dir=tmp_path))
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()) == PATHS
    assert (folder / "image" / "model.safetensors").read_bytes() == CONTENT
    assert folder.name == REVISION
    assert len(requests.downloads("model.safetensors")) == 1  # it is at the root and in image/
    some = snapshot_download(
        f"{ID}-pairing",
        revision=REVISION,
        allow_patterns="*.json",
        endpoint=endpoint,
        token=token,
        local_dir=tmp_path / "pairing",
    )
    assert [path.name for path in Path(some).iterdir() if path.is_file()] == ["open_clip_config.json"]


def test_a_broken_download_resumes_where_it_broke(
    proxy: tuple[Service, Proxy], endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, requests = proxy
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 2**16)
    monkeypatch.setattr(logging.getLogger("uvicorn.error"), "disabled", True)  # it logs the broken connection
    requests.cuts = 1
    token = create_key(service, "read")
    path = hf_hub_download(ID, "model.safetensors", endpoint=endpoint, token=token, cache_dir=tmp_path)
    assert Path(path).read_bytes() == CONTENT
    assert Path(path).resolve().name == SHA
    first, second = requests.downloads("model.safetensors")
    assert first == ""
    assert 0 < int(second.removeprefix("bytes=").removesuffix("-")) <= requests.cut


def test_the_api_lists_files_and_knows_the_key(proxy: tuple[Service, Proxy], endpoint: str) -> None:
    api = HfApi(endpoint=endpoint, token=create_key(proxy[0], "read"))
    assert api.list_repo_files(ID) == PATHS
    assert [info.id for info in api.list_models(author="limbeck")] == [ID]
    info = api.model_info(ID, files_metadata=True)
    assert (info.sha, info.library_name) == (REVISION, "timm")
    assert [file.size for file in info.siblings or () if file.rfilename == "model.safetensors"] == [len(CONTENT)]
    assert [path.path for path in api.get_paths_info(ID, ["image", "config.json", "none"])] == ["image", "config.json"]
    assert api.list_repo_refs(ID).branches[0].target_commit == REVISION
    assert [api.file_exists(ID, name) for name in ("config.json", "none.json")] == [True, False]
    assert [api.repo_exists(name) for name in (ID, "limbeck/ckp_2", "timm/resnet18")] == [True, False, False]
    assert api.whoami()["name"] == "k"


def test_errors_are_those_of_the_hub(proxy: tuple[Service, Proxy], endpoint: str, tmp_path: Path) -> None:
    reader, writer = (create_key(proxy[0], scope) for scope in ("read", "write"))

    def download(name: str = "config.json", token: str | bool = reader, **options: str) -> None:
        hf_hub_download(ID, name, endpoint=endpoint, token=token, cache_dir=tmp_path, **options)

    with pytest.raises(RevisionNotFoundError, match=r"there are main and "):
        download(revision="v1")
    with pytest.raises(RemoteEntryNotFoundError, match=r"no file 'pytorch_model\.bin'"):
        download("pytorch_model.bin")
    with pytest.raises(RepositoryNotFoundError, match="no checkpoint 'ckp_2'"):
        snapshot_download("limbeck/ckp_2", endpoint=endpoint, token=reader, cache_dir=tmp_path)
    with pytest.raises(RepositoryNotFoundError, match="send a key"):
        download(token=False)
    with pytest.raises(GatedRepoError, match='this key lacks the scope "read"'):
        download(token=writer)
    with pytest.raises(HfHubHTTPError, match="Invalid credentials in Authorization header"):
        snapshot_download(ID, endpoint=endpoint, token="lbk_unknown", cache_dir=tmp_path)
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        HfApi(endpoint=endpoint).whoami(token="lbk_unknown")
