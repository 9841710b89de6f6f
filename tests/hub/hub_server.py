"""A hub on the loopback address that serves made-up repositories to the real client."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

LARGE = 1000
"""Bytes from which a file is one of Git LFS, as weights are."""


@dataclass
class Repository:
    """A made-up repository and what is wrong with it.

    Attributes:
        token: what a reader must send; None for a public one.
        cut: files whose first download ends after so many bytes.
        damaged: files that are sent with another byte than their hash is of.
        status: files that are answered with this status; "" for the repository's page.
    """

    files: dict[str, bytes]
    licence: str | None = "mit"
    gated: bool = False
    token: str | None = None
    revisions: dict[str, str] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)
    status: dict[str, int] = field(default_factory=dict)

    @property
    def commit(self) -> str:
        names = "".join(sorted(self.files))
        return hashlib.sha1(names.encode()).hexdigest()


@dataclass
class Hub:
    """What the server serves, and what it was asked."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    url: str = ""
    asked: Counter[str] = field(default_factory=Counter)
    ranges: list[str] = field(default_factory=list)


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub that runs until the end of the block."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path).lstrip("/")
        self.hub.asked[f"{self.command} {path}"] += 1
        if path.startswith("api/models/"):
            self._page(path.removeprefix("api/models/"))
            return
        name, _, rest = path.partition("/resolve/")
        repository = self.hub.repositories.get(name)
        revision, _, file = rest.partition("/")
        if repository is None:
            self._refuse(401, "RepoNotFound")
        elif self._resolved(repository, revision) is None:
            self._refuse(404, "RevisionNotFound")
        elif file not in repository.files:
            self._refuse(404, "EntryNotFound")
        elif self._may_not(repository):
            pass
        elif file in repository.status:
            self._refuse(repository.status[file])
        else:
            self._file(repository, file, body=body)

    def _page(self, rest: str) -> None:
        name = next((one for one in self.hub.repositories if rest.startswith(one)), None)
        if name is None:
            self._refuse(401, "RepoNotFound")
            return
        repository, rest = self.hub.repositories[name], rest.removeprefix(name).lstrip("/")
        if rest == "auth-check":
            if not self._may_not(repository):
                self._json({})
            return
        if repository.token and not repository.gated and self._may_not(repository):
            return
        if "" in repository.status:
            self._refuse(repository.status[""])
            return
        kind, _, revision = rest.partition("/")
        commit = self._resolved(repository, revision.partition("/")[0] or "main")
        if commit is None:
            self._refuse(404, "RevisionNotFound")
        elif kind == "tree":
            entries = [self._entry(repository, one) for one in repository.files]
            self._json([{"type": "file", **entry} for entry in entries])
        else:
            card = {"license": repository.licence} if repository.licence else {}
            siblings = [self._entry(repository, one, "rfilename") for one in repository.files]
            self._json(
                {
                    "_id": "1",
                    "id": name,
                    "modelId": name,
                    "sha": commit,
                    "private": False,
                    "gated": "manual" if repository.gated else False,
                    "disabled": False,
                    "downloads": 0,
                    "likes": 0,
                    "tags": [],
                    "cardData": card,
                    "siblings": siblings,
                }
            )

    def _resolved(self, repository: Repository, revision: str) -> str | None:
        known = {"main": repository.commit, repository.commit: repository.commit}
        return (known | repository.revisions).get(revision)

    def _entry(self, repository: Repository, path: str, key: str = "path") -> dict[str, object]:
        data = repository.files[path]
        blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        entry: dict[str, object] = {key: path, "size": len(data), "oid": blob, "blobId": blob}
        if len(data) >= LARGE:
            sha = hashlib.sha256(data).hexdigest()
            entry["lfs"] = {"size": len(data), "sha256": sha, "oid": sha, "pointerSize": 130}
        return entry

    def _may_not(self, repository: Repository) -> bool:
        """Whether the reader may not have the files; then it was told so."""
        if repository.token is None:
            return False
        given = self.headers.get("Authorization", "")
        if given == f"Bearer {repository.token}":
            return False
        if repository.gated:
            self._refuse(403 if given else 401, "GatedRepo")
        else:
            self._refuse(401, "RepoNotFound")
        return True

    def _file(self, repository: Repository, path: str, *, body: bool) -> None:
        data = repository.files[path]
        large = len(data) >= LARGE
        blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        etag = hashlib.sha256(data).hexdigest() if large else blob
        if path in repository.damaged:
            data = data[:-1] + bytes([data[-1] ^ 1])
        start = 0
        asked = self.headers.get("Range")
        if asked:
            self.hub.ranges.append(f"{path} {asked}")
            start = int(asked.removeprefix("bytes=").partition("-")[0])
            last = asked.partition("-")[2]
            end = int(last) + 1 if last else len(data)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
            part = data[start:end]
        else:
            self.send_response(200)
            part = data
        self.send_header("ETag", f'"{etag}"')
        self.send_header("X-Repo-Commit", repository.commit)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        if not body:
            return
        limit = repository.cut.pop(path, None)
        self.wfile.write(part[:limit])
        if limit is not None:
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()

    def _refuse(self, status: int, code: str | None = None) -> None:
        body = b'{"error": "refused"}'
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _json(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
