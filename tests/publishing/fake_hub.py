"""A small Hub on 127.0.0.1: accounts, repositories with commits, LFS, and downloads by revision.

It answers what `huggingface_hub` asks as the Hub does, in memory, and notes every request.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

LFS_FROM_BYTES = 20_000
"""Larger files, and those of weights, go to the large file store."""
LFS_NAMES = re.compile(r".*\.(safetensors|arrow|faiss|parquet|whl|png)$")
TYPES = {"models": "model", "datasets": "dataset", "spaces": "space"}


@dataclass
class Account:
    name: str
    can_write: bool = True


@dataclass
class Repo:
    repo_type: str
    name: str
    private: bool = False
    commits: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)  # id, message, path: hash of content
    branches: dict[str, str] = field(default_factory=dict)

    def add_commit(self, message: str, files: dict[str, str]) -> str:
        text = json.dumps([len(self.commits), message, files, self.name], sort_keys=True)
        sha = hashlib.sha1(text.encode()).hexdigest()
        self.commits.append((sha, message, files))
        self.branches["main"] = sha
        return sha

    def resolve(self, revision: str) -> tuple[str, dict[str, str]] | None:
        revision = self.branches.get(revision, revision)
        return next(((sha, files) for sha, _, files in self.commits if sha == revision), None)


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class FakeHub:
    """The state of the server, and what was asked of it."""

    def __init__(self) -> None:
        self.accounts = {"hf_ada": Account("ada"), "hf_reader": Account("ada", can_write=False)}
        self.repos: dict[tuple[str, str], Repo] = {}
        self.contents: dict[str, bytes] = {}  # by SHA-256
        self.requests: list[tuple[str, str]] = []
        self.created: list[dict] = []
        self.on_upload: Callable[[str], None] = lambda oid: None
        self.faults: dict[str, tuple[int, str]] = {}
        """Status and message of requests whose path holds the key."""
        self.card_errors: list[dict[str, str]] = []
        self.url = ""

    def add_repo(
        self, repo_type: str, name: str, private: bool = False, files: dict[str, bytes] | None = None
    ) -> Repo:
        repo = self.repos[repo_type, name] = Repo(repo_type, name, private)
        repo.add_commit("initial commit", {path: self.store(content) for path, content in (files or {}).items()})
        return repo

    def store(self, content: bytes) -> str:
        oid = hashlib.sha256(content).hexdigest()
        self.contents[oid] = content
        return oid

    def files(self, repo_type: str, name: str) -> dict[str, bytes]:
        return {path: self.contents[oid] for path, oid in self.repos[repo_type, name].commits[-1][2].items()}

    def count(self, method: str, pattern: str) -> int:
        return sum(verb == method and re.search(pattern, path) is not None for verb, path in self.requests)


@contextmanager
def serve() -> Iterator[FakeHub]:
    hub = FakeHub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Refused(Exception):
    def __init__(self, status: int, message: str, code: str | None = None):
        self.status, self.message, self.code = status, message, code


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def _answer(self) -> None:
        self.path_only = unquote(urlsplit(self.path).path)
        self.hub.requests.append((self.command, self.path_only))
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length) if length else self._read_chunks()
        try:
            for part, (status, message) in self.hub.faults.items():
                if part in self.path_only:
                    raise _Refused(status, message)
            for method, pattern, answer in ROUTES:
                match = re.fullmatch(pattern, self.path_only)
                if match is not None and self.command in method.split("|"):
                    answer(self, **match.groupdict())
                    return
            raise _Refused(404, f"no such route: {self.command} {self.path_only}")
        except _Refused as refused:
            headers = {"X-Error-Message": refused.message}
            if refused.code is not None:
                headers["X-Error-Code"] = refused.code
            self._send(json.dumps({"error": refused.message}).encode(), refused.status, headers)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _answer

    def _read_chunks(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return b""
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _send(self, content: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _json(self, value: object) -> None:
        self._send(json.dumps(value).encode(), headers={"Content-Type": "application/json"})

    def _account(self) -> Account | None:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token and token not in self.hub.accounts:
            raise _Refused(401, "Invalid credentials in Authorization header")
        return self.hub.accounts.get(token)

    def _repo(self, kind: str, name: str) -> Repo:
        account, repo = self._account(), self.hub.repos.get((TYPES[kind], name))
        if repo is None or (repo.private and (account is None or account.name != name.split("/")[0])):
            raise _Refused(404 if account else 401, "Repository not found", "RepoNotFound")
        return repo

    def _version(self, repo: Repo, revision: str) -> tuple[str, dict[str, str]]:
        found = repo.resolve(revision)
        if found is None:
            raise _Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return found

    def _check_may_write(self, owner: str) -> None:
        account = self._account()
        if account is None:
            raise _Refused(401, "Invalid username or password.")
        if account.name != owner or not account.can_write:
            raise _Refused(403, f"You don't have the rights to create a repo under the namespace {owner}")

    def whoami(self) -> None:
        account = self._account()
        if account is None:
            raise _Refused(401, "Invalid username or password.")
        self._json({"type": "user", "name": account.name, "orgs": []})

    def create(self) -> None:
        asked = json.loads(self.body)
        owner = asked.get("organization") or (self._account() or Account("")).name
        self._check_may_write(owner)
        key = asked.get("type") or "model", f"{owner}/{asked['name']}"
        if key in self.hub.repos:
            raise _Refused(409, "You already created this repo")
        self.hub.created.append(asked)
        is_private = asked.get("visibility") == "private" or bool(asked.get("private"))
        self.hub.add_repo(*key, private=is_private, files={".gitattributes": b"*.safetensors filter=lfs\n"})
        self._json({"url": f"{self.hub.url}/{key[1]}", "name": key[1], "id": "1"})

    def info(self, kind: str, name: str, revision: str | None = None) -> None:
        repo = self._repo(kind, name)
        sha, files = self._version(repo, revision or "main")
        siblings = [{"rfilename": path} for path in files]
        self._json({"id": name, "_id": "1", "sha": sha, "private": repo.private, "tags": [], "siblings": siblings})

    def _entry(self, path: str, oid: str) -> dict:
        content = self.hub.contents[oid]
        entry = {"type": "file", "path": path, "size": len(content), "oid": git_hash(content)}
        if is_large(path, len(content)):
            entry["lfs"] = {"oid": oid, "size": len(content), "pointerSize": 130}
        return entry

    def tree(self, kind: str, name: str, revision: str, folder: str | None = None) -> None:
        _, files = self._version(self._repo(kind, name), revision)
        is_recursive = "recursive=true" in self.path.lower()
        prefix = f"{folder}/" if folder else ""
        inside = {path: oid for path, oid in files.items() if path.startswith(prefix)}
        if prefix and not inside:
            raise _Refused(404, "no such folder", "EntryNotFound")
        entries = [self._entry(path, oid) for path, oid in inside.items()]
        folders = {path[: path.index("/", len(prefix))] for path in inside if "/" in path[len(prefix) :]}
        if not is_recursive:
            entries = [entry for entry in entries if "/" not in entry["path"][len(prefix) :]]
        entries += [{"type": "directory", "path": path, "size": 0, "oid": "0"} for path in sorted(folders)]
        self._json(entries)

    def paths_info(self, kind: str, name: str, revision: str) -> None:
        _, files = self._version(self._repo(kind, name), revision)
        asked = json.loads(self.body)["paths"]
        found = [self._entry(path, files[path]) for path in asked if path in files]
        folders = [path for path in asked if any(file.startswith(f"{path}/") for file in files)]
        self._json(found + [{"type": "directory", "path": path, "size": 0, "oid": "0"} for path in folders])

    def preupload(self, kind: str, name: str, revision: str) -> None:
        repo = self._repo(kind, name)
        self._check_may_write(name.split("/")[0])
        _, files = self._version(repo, revision)
        answers = []
        for file in json.loads(self.body)["files"]:
            path = file["path"]
            mode = "lfs" if is_large(path, file["size"]) else "regular"
            oid = files.get(path)
            known = None if oid is None else oid if mode == "lfs" else git_hash(self.hub.contents[oid])
            answers.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": known})
        self._json({"files": answers})

    def batch(self, name: str, prefix: str | None = None) -> None:
        self._check_may_write(name.split("/")[0])
        answers = []
        for each in json.loads(self.body)["objects"]:
            oid, size = each["oid"], each["size"]
            answer = {"oid": oid, "size": size}
            if oid not in self.hub.contents:
                answer["actions"] = {"upload": {"href": f"{self.hub.url}/lfs/{oid}", "header": {}}}
            answers.append(answer)
        self._json({"transfer": "basic", "objects": answers})

    def upload(self, oid: str) -> None:
        self.hub.on_upload(oid)
        if self.hub.store(self.body) != oid:
            raise _Refused(400, "the content is not that of the hash")
        self._send(b"")

    def validate(self) -> None:
        errors = self.hub.card_errors
        answer = json.dumps({"errors": errors, "warnings": []}).encode()
        self._send(answer, 400 if errors else 200, {"Content-Type": "application/json"})

    def commit(self, kind: str, name: str, revision: str) -> None:
        repo = self._repo(kind, name)
        self._check_may_write(name.split("/")[0])
        files, message = dict(self._version(repo, revision)[1]), ""
        for line in self.body.splitlines():
            operation = json.loads(line)
            value = operation["value"]
            if operation["key"] == "header":
                message = value["summary"]
            elif operation["key"] == "file":
                files[value["path"]] = self.hub.store(base64.b64decode(value["content"]))
            elif operation["key"] == "lfsFile":
                if value["oid"] not in self.hub.contents:
                    raise _Refused(400, f"{value['path']} was not uploaded")
                files[value["path"]] = value["oid"]
            else:
                del files[value["path"]]
        sha = repo.add_commit(message, files)
        self._json({"commitOid": sha, "commitUrl": f"{self.hub.url}/{name}/commit/{sha}", "success": True})

    def resolve(self, name: str, revision: str, path: str, prefix: str | None = None) -> None:
        repo = self._repo(prefix or "models", name)
        sha, files = self._version(repo, revision)
        if path not in files:
            raise _Refused(404, "Entry not found", "EntryNotFound")
        content = self.hub.contents[files[path]]
        headers = {"X-Repo-Commit": sha, "ETag": f'"{git_hash(content)}"', "Accept-Ranges": "bytes"}
        if is_large(path, len(content)):
            headers |= {"X-Linked-Etag": f'"{files[path]}"', "X-Linked-Size": str(len(content))}
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if span is not None:
            end = int(span[2]) + 1 if span[2] else len(content)
            headers["Content-Range"] = f"bytes {span[1]}-{end - 1}/{len(content)}"
            self._send(content[int(span[1]) : end], 206, headers)
        else:
            self._send(content, headers=headers)


def is_large(path: str, size: int) -> bool:
    return size >= LFS_FROM_BYTES or LFS_NAMES.fullmatch(path) is not None


_API = r"/api/(?P<kind>models|datasets|spaces)/(?P<name>[^/]+/[^/]+)"
_PREFIX = r"/(?:(?P<prefix>datasets|spaces)/)?(?P<name>[^/]+/[^/]+)"
ROUTES = (
    ("GET", r"/api/whoami-v2", _Handler.whoami),
    ("POST", r"/api/repos/create", _Handler.create),
    ("POST", r"/api/validate-yaml", _Handler.validate),
    ("GET", _API, _Handler.info),
    ("GET", rf"{_API}/revision/(?P<revision>[^/]+)", _Handler.info),
    ("GET", rf"{_API}/tree/(?P<revision>[^/]+)(?:/(?P<folder>.+))?", _Handler.tree),
    ("POST", rf"{_API}/paths-info/(?P<revision>[^/]+)", _Handler.paths_info),
    ("POST", rf"{_API}/preupload/(?P<revision>[^/]+)", _Handler.preupload),
    ("POST", rf"{_API}/commit/(?P<revision>[^/]+)", _Handler.commit),
    ("POST", rf"{_PREFIX}\.git/info/lfs/objects/batch", _Handler.batch),
    ("PUT", r"/lfs/(?P<oid>[0-9a-f]{64})", _Handler.upload),
    ("GET|HEAD", rf"{_PREFIX}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", _Handler.resolve),
)
