"""A model hub on this machine that speaks the public protocol, and misbehaves where it is told to.

Small files come from the hub itself with their git blob id as ETag; those named in `large` are
redirected to a second host, as a content network, after the headers that promise size and SHA-256.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import unquote

from ledgerkit.testing.loopback import loopback

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class HubPlan:
    """What a hub has, how it misbehaves, and what was asked of it."""

    files: Mapping[str, bytes]
    model: str = "owner/tiny"
    revisions: tuple[str, ...] = ("main", COMMIT)
    license: str | None = "mit"
    large: frozenset[str] = frozenset({"model.safetensors"})
    cuts: list[int] = field(default_factory=list)
    """Bytes after which the next answers of the content host end."""
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    """Statuses and headers that the next requests to the hub get instead."""
    ranges: bool = True
    wrong: bytes | None = None
    """What the content host sends instead of a file."""
    token: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    """Headers of the redirect for large files that are other ones; empty text leaves one out."""
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    """Method, path and headers of each request, in order; those to the content host begin `cdn`."""
    listing: Any = None
    """What the API answers instead of the listing."""

    def asked(self, method: str, part: str) -> list[dict[str, str]]:
        """Headers of the requests with this method whose path holds `part`."""
        return [sent for how, path, sent in self.requests if how == method and part in path]


@contextmanager
def serving(plan: HubPlan) -> Iterator[str]:
    """The address of a hub that follows the plan."""
    with (
        loopback(_Content, plan=plan, content="") as content,
        loopback(_Hub, plan=plan, content=content) as hub,
    ):
        yield hub


class _Handler(BaseHTTPRequestHandler, ABC):
    plan: HubPlan
    content: str
    mark = ""
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def _answer(self) -> None:
        sent = {name.lower(): value for name, value in self.headers.items()}
        self.plan.requests.append((self.command, f"{self.mark}{unquote(self.path)}", sent))
        self.answer(unquote(self.path))

    @abstractmethod
    def answer(self, path: str) -> None:
        """Send what lies at a path, or why not."""

    def send(
        self, status: int, headers: Mapping[str, str], body: bytes = b"", cut: int = -1
    ) -> None:
        """An answer; with `cut` its body ends after so many bytes, and the connection too."""
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | dict(headers)).items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body if cut < 0 else body[:cut])
        if cut >= 0:
            self.close_connection = True


class _Hub(_Handler):
    def answer(self, path: str) -> None:
        plan = self.plan
        if plan.answers:
            status, headers = plan.answers.pop(0)
            self.send(status, headers)
        elif plan.token and self.headers.get("Authorization") != f"Bearer {plan.token}":
            self.send(401, {"X-Error-Code": "GatedRepo"})
        elif path.startswith(f"/api/models/{plan.model}/revision/"):
            self._list(path.rpartition("/revision/")[2])
        else:
            self._resolve(path.removeprefix(f"/{plan.model}/resolve/{COMMIT}/"))

    def _list(self, revision: str) -> None:
        if revision not in self.plan.revisions:
            self.send(404, {"X-Error-Code": "RevisionNotFound"})
            return
        listed = [{"rfilename": name} for name in (".gitattributes", *self.plan.files)]
        card = {"cardData": {"license": self.plan.license}} if self.plan.license else {}
        found = {"id": self.plan.model, "sha": COMMIT, "siblings": listed} | card
        body = json.dumps(found if self.plan.listing is None else self.plan.listing).encode()
        self.send(200, {"Content-Type": "application/json"}, body)

    def _resolve(self, name: str) -> None:
        if name not in self.plan.files:
            self.send(404, {"X-Error-Code": "EntryNotFound"})
            return
        data = self.plan.files[name]
        headers = {"X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if name in self.plan.large:
            digest = hashlib.sha256(data).hexdigest()
            headers |= {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(data))}
            headers |= {"Location": f"{self.content}/{name}"}
            self.send(302, headers | self.plan.headers)
            return
        blob = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
        self.send(200, headers | {"ETag": f'"{blob}"'}, data)


class _Content(_Handler):
    mark = "cdn"

    def answer(self, path: str) -> None:
        plan = self.plan
        data = plan.files[path[1:]] if plan.wrong is None else plan.wrong
        cut = plan.cuts.pop(0) if plan.cuts else -1
        asked = self.headers.get("Range")
        if asked is None or not plan.ranges:
            self.send(200, {}, data, cut)
            return
        begin = int(asked.removeprefix("bytes=").rstrip("-"))
        if begin >= len(data):
            self.send(416, {"Content-Range": f"bytes */{len(data)}"})
            return
        said = f"bytes {begin}-{len(data) - 1}/{len(data)}"
        self.send(206, {"Content-Range": said}, data[begin:], cut)
