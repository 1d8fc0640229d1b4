"""A server with the endpoints of the Hugging Face Hub that huggingface_hub uses to upload: repositories, branches, LFS
objects and commits. It keeps all files in memory, and also serves them, so that clients load what was uploaded.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_writer"
OWNER = "me"
_LFS_SUFFIXES = (".safetensors", ".onnx", ".png")


@dataclass
class FakeHub:
    """The state of the server. `refuse`: path of a request (a regular expression) -> status and message."""

    url: str = ""
    branches: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)  # repository -> branch -> files
    private: dict[str, bool] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)  # LFS objects by sha256
    commits: list[dict[str, Any]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    refuse: dict[str, tuple[int, str]] = field(default_factory=dict)

    def files(self, repository: str, branch: str = "main") -> dict[str, bytes]:
        return self.branches[repository][branch]

    def create(self, body: dict[str, Any]) -> tuple[int, Any]:
        repository = f"{body['organization'] or OWNER}/{body['name']}"
        url = {"url": f"{self.url}/{repository}"}
        if repository in self.branches:
            return 409, {"error": "You already created this model repo", **url}
        self.branches[repository] = {"main": {".gitattributes": b""}}
        self.private[repository] = body.get("visibility") == "private" or bool(body.get("private"))
        return 200, url

    def commit(self, repository: str, branch: str, lines: list[dict[str, Any]]) -> tuple[int, Any]:
        files = self.files(repository, branch)
        self.commits.append({"branch": branch, **lines[0]["value"]})
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.objects[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        return 200, {"commitUrl": f"{self.url}/{repository}/commit/{self.sha(files)}", "commitOid": self.sha(files)}

    @staticmethod
    def sha(files: dict[str, bytes]) -> str:
        """The commit of these files."""
        content = repr(sorted((path, hashlib.sha256(data).hexdigest()) for path, data in files.items()))
        return hashlib.sha1(content.encode()).hexdigest()

    def batch(self, objects: list[dict[str, Any]]) -> tuple[int, Any]:
        def answer(entry: dict[str, Any]) -> dict[str, Any]:
            if entry["oid"] in self.objects:
                return entry
            return {**entry, "actions": {"upload": {"href": f"{self.url}/objects/{entry['oid']}"}}}

        return 200, {"transfer": "basic", "objects": [answer(entry) for entry in objects]}

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """The status of a request, and its body: JSON, or the bytes of a file."""
        if method == "PUT":
            sha256 = path.rpartition("/")[2]
            assert hashlib.sha256(body).hexdigest() == sha256
            self.objects[sha256] = body
            return 200, {}
        if path == "/api/repos/create":
            return self.create(json.loads(body))
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if found := re.fullmatch(r"/(.+)\.git/info/lfs/objects/batch", path):
            return self.batch(json.loads(body)["objects"])
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/(preupload|commit|branch|tree)/([^/]+)", path):
            return self._of_repository(found[1], found[2], found[3], body)
        if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self._file(found[1], found[2], found[3])
        return 404, {"error": f"no {path}"}

    def _of_repository(self, repository: str, action: str, branch: str, body: bytes) -> tuple[int, Any]:
        if repository not in self.branches:
            return 404, {"error": "Repository not found"}
        if action == "branch":
            self.branches[repository][branch] = dict(self.files(repository))
            return 200, {}
        if action == "commit":
            return self.commit(repository, branch, [json.loads(line) for line in body.splitlines()])
        if action == "preupload":
            return 200, {"files": [_upload_mode(entry["path"]) for entry in json.loads(body)["files"]]}
        files = self.files(repository, branch)
        return 200, [{"type": "file", "path": path, "size": len(data), "oid": "0"} for path, data in files.items()]

    def _file(self, repository: str, branch: str, path: str) -> tuple[int, Any]:
        branches = self.branches.get(repository, {})
        files = branches.get(branch) or next((f for f in branches.values() if self.sha(f) == branch), {})
        return (200, files[path]) if path in files else (404, {"error": "Entry not found"})


def _upload_mode(path: str) -> dict[str, object]:
    return {"path": path, "uploadMode": "lfs" if path.endswith(_LFS_SUFFIXES) else "regular", "shouldIgnore": False}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: FakeHub

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = self._chunks()
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        refusal = next((refusal for pattern, refusal in self.hub.refuse.items() if re.search(pattern, path)), None)
        if refusal:
            status, answer = refusal[0], {"error": refusal[1]}
        elif self.command in ("POST", "GET") and self.headers.get("Authorization") not in (f"Bearer {TOKEN}", None):
            status, answer = 401, {"error": "Invalid username or password."}
        else:
            status, answer = self.hub.answer(self.command, path, body)
        self._send(status, answer, path)

    do_GET = do_HEAD = do_POST = do_PUT = _handle

    def _chunks(self) -> bytes:
        found = b""
        while size := int(self.rfile.readline(), 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def _send(self, status: int, answer: Any, path: str) -> None:
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        if isinstance(answer, bytes):
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            repository, _, rest = path[1:].partition("/resolve/")
            branch = rest.partition("/")[0]
            branches = self.hub.branches[repository]
            self.send_header("X-Repo-Commit", self.hub.sha(branches[branch]) if branch in branches else branch)
        elif status == 404 and "/resolve/" in path:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@contextmanager
def serving() -> Iterator[FakeHub]:
    """A server on a free port."""
    hub = FakeHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
