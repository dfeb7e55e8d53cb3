"""A small Hub on 127.0.0.1: the endpoints that huggingface_hub calls to read and write a model repository."""

from __future__ import annotations

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

Files = dict[str, bytes]


@dataclass
class Repository:
    """Commits by name, newest last, and the branches that point at them."""

    private: bool = False
    gated: bool = False
    commits: dict[str, Files] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def commit(self, files: Files, branch: str = "main") -> str:
        sha = hashlib.sha1(repr((sorted(files.items()), len(self.commits))).encode()).hexdigest()
        self.commits[sha] = dict(files)
        self.branches[branch] = sha
        return sha

    def sha(self, revision: str) -> str | None:
        return self.branches.get(revision) or (revision if revision in self.commits else None)


class Hub:
    """What the server knows and what was asked of it.

    Attributes:
        requests: (method, path) of every request, in order.
        stall: (part of a path, bytes): a download of it stops after so many bytes until `release` is set.
    """

    TOKEN = "hf_good"

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.blobs: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.ranges: list[str] = []
        self.stall: tuple[str, int] | None = None
        self.stalled = threading.Event()
        self.release = threading.Event()
        self.url = ""

    def add(self, name: str, files: Files, **kind: bool) -> Repository:
        repository = self.repositories[name] = Repository(**kind)
        repository.commit(files)
        return repository


@contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.release.set()
        server.shutdown()
        server.server_close()


class _Refused(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


_RESOLVE = re.compile(r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<rev>[^/]+)/(?P<file>.+)")
_INFO = re.compile(r"/api/models/(?P<repo>[^/]+/[^/]+?)(?:/revision/(?P<rev>[^/]+))?")
_TREE = re.compile(r"/api/models/(?P<repo>[^/]+/[^/]+)/tree/(?P<rev>[^/]+)(?:/(?P<file>.+))?")
_BRANCH = re.compile(r"/api/models/(?P<repo>[^/]+/[^/]+)/branch/(?P<rev>[^/]+)")
_PREUPLOAD = re.compile(r"/api/models/(?P<repo>[^/]+/[^/]+)/preupload/(?P<rev>[^/]+)")
_COMMIT = re.compile(r"/api/models/(?P<repo>[^/]+/[^/]+)/commit/(?P<rev>[^/]+)")
_BATCH = re.compile(r"/(?P<repo>[^/]+/[^/]+)\.git/info/lfs/objects/batch")
_LFS = re.compile(r"/lfs/(?P<oid>[0-9a-f]{64})")


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        path = unquote(urlsplit(self.path).path)
        quoted = urlsplit(self.path).path
        self.hub.requests.append((self.command, path))
        try:
            self._route(quoted, body)
        except _Refused as refused:
            self._send(refused.status, b"{}", {"X-Error-Code": refused.code, "X-Error-Message": str(refused)})
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = _answer

    def _route(self, path: str, body: bytes) -> None:
        if self.command in ("GET", "HEAD"):
            if match := _RESOLVE.fullmatch(path):
                return self._resolve(**_parts(match))
            if match := _TREE.fullmatch(path):
                return self._tree(**_parts(match))
            if match := _INFO.fullmatch(path):
                return self._info(**_parts(match))
        elif self.command == "PUT" and (match := _LFS.fullmatch(path)):
            assert hashlib.sha256(body).hexdigest() == match["oid"]
            self.hub.blobs[match["oid"]] = body
            return self._send(200, b"")
        elif path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        elif path == "/api/repos/create":
            return self._create(json.loads(body))
        elif match := _BRANCH.fullmatch(path):
            return self._branch(**_parts(match))
        elif match := _PREUPLOAD.fullmatch(path):
            return self._preupload(json.loads(body))
        elif match := _BATCH.fullmatch(path):
            return self._batch(json.loads(body))
        elif match := _COMMIT.fullmatch(path):
            return self._commit(body, **_parts(match))
        raise _Refused(404, "", f"no such endpoint: {path}")

    def _found(self, repo: str, *, content: bool = False) -> Repository:
        found = self.hub.repositories.get(repo)
        known = self.headers.get("Authorization") == f"Bearer {Hub.TOKEN}"
        if found is None or (found.private and not known):
            raise _Refused(404 if known else 401, "RepoNotFound", "Repository Not Found")
        if content and found.gated and not known:
            raise _Refused(403, "GatedRepo", "Access to this model is restricted.")
        return found

    def _at(self, repo: str, rev: str | None, *, content: bool = False) -> tuple[str, Files]:
        found = self._found(repo, content=content)
        sha = found.sha(rev or "main")
        if sha is None:
            raise _Refused(404, "RevisionNotFound", f"Revision Not Found: {rev}")
        return sha, found.commits[sha]

    def _info(self, repo: str, rev: str | None = None) -> None:
        sha, files = self._at(repo, rev)
        siblings = [{"rfilename": name, "size": len(data)} for name, data in files.items()]
        self._json(
            {"id": repo, "modelId": repo, "sha": sha, "siblings": siblings, "tags": [], "private": False}
        )

    def _tree(self, repo: str, rev: str, file: str | None = None) -> None:
        sha, files = self._at(repo, rev)
        below, entries, folders = f"{file}/" if file else "", [], set()
        for name, data in files.items():
            if not name.startswith(below):
                continue
            first, slash, _ = name[len(below) :].partition("/")
            if slash:
                folders.add(below + first)
            else:
                oid = hashlib.sha1(data).hexdigest()
                entries.append({"type": "file", "path": name, "size": len(data), "oid": oid})
        if not entries and not folders:
            raise _Refused(404, "EntryNotFound", "Entry Not Found")
        entries += [{"type": "directory", "path": each, "size": 0, "oid": sha} for each in sorted(folders)]
        self._json(entries)

    def _resolve(self, repo: str, rev: str, file: str) -> None:
        sha, files = self._at(repo, rev, content=True)
        if file not in files:
            raise _Refused(404, "EntryNotFound", "Entry Not Found")
        data, start, status = files[file], 0, 200
        headers = {"X-Repo-Commit": sha, "ETag": f'"{hashlib.sha256(data).hexdigest()}"'}
        if match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            start, status = int(match[1]), 206
            end = min(int(match[2]) if match[2] else len(data) - 1, len(data) - 1)
            self.hub.ranges.append(f"{file}:{start}")
            headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
            data = data[start : end + 1]
        self._send(status, data, headers, file)

    def _create(self, wanted: dict[str, Any]) -> None:
        self._writer()
        name = f"{wanted['organization']}/{wanted['name']}" if wanted.get("organization") else wanted["name"]
        if name in self.hub.repositories:
            return self._send(409, json.dumps({"url": f"{self.hub.url}/{name}"}).encode())
        visibility = wanted.get("visibility") or ("private" if wanted.get("private") else "public")
        self.hub.add(name, {".gitattributes": b""}, private=visibility == "private")
        self._json({"url": f"{self.hub.url}/{name}"})

    def _branch(self, repo: str, rev: str) -> None:
        self._writer()
        found = self._found(repo)
        found.branches[rev] = found.branches["main"]
        self._json({})

    def _preupload(self, wanted: dict[str, Any]) -> None:
        self._writer()
        files = [
            {
                "path": each["path"],
                "uploadMode": "lfs" if each["path"].endswith((".safetensors", ".parquet")) else "regular",
                "shouldIgnore": False,
            }
            for each in wanted["files"]
        ]
        self._json({"files": files})

    def _batch(self, wanted: dict[str, Any]) -> None:
        objects = []
        for each in wanted["objects"]:
            upload = {"href": f"{self.hub.url}/lfs/{each['oid']}"}
            actions = {} if each["oid"] in self.hub.blobs else {"actions": {"upload": upload}}
            objects.append({**each, **actions})
        self._json({"transfer": "basic", "objects": objects})

    def _commit(self, body: bytes, repo: str, rev: str) -> None:
        self._writer()
        found = self._found(repo)
        files = dict(found.commits[found.branches[rev]])
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.hub.blobs[value["oid"]]
            elif entry["key"] == "deletedFile":
                del files[value["path"]]
        sha = found.commit(files, rev)
        self._json({"commitUrl": f"{self.hub.url}/{repo}/commit/{sha}", "commitOid": sha})

    def _writer(self) -> None:
        if self.headers.get("Authorization") != f"Bearer {Hub.TOKEN}":
            raise _Refused(403, "", "You don't have the rights to write")

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, data: bytes, headers: dict[str, str] | None = None, name: str = "") -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "HEAD":
            return
        stall = self.hub.stall
        if stall and stall[0] in name and not self.hub.release.is_set():
            self.wfile.write(data[: stall[1]])
            self.wfile.flush()
            self.hub.stalled.set()
            self.hub.release.wait(20)
            data = data[stall[1] :]
        self.wfile.write(data)


def _parts(match: re.Match[str]) -> dict[str, Any]:
    return {key: unquote(value) if value else None for key, value in match.groupdict().items()}
