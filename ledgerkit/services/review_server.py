"""A server for one person's browser on this machine: it shows pairs and takes answers.

It listens on 127.0.0.1 alone, under a path that a random token begins. A request with another Host is
refused, so a name that is made to point here reaches nothing (DNS rebinding); so are answers that
another page sends. Nothing but GET and POST is spoken, and nothing allows other origins anything.
What it shows and keeps is a `Desk`'s matter. Source: OWASP Cross-Site Request Forgery Prevention.
"""

from __future__ import annotations

import hmac
import json
import secrets
import socket
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from ledgerkit.canonical import parse_json
from ledgerkit.errors import LedgerkitError, MissingInput, RepositoryBusy, UsageError

HOST, JSON = "127.0.0.1", "application/json"
MAX_BODY = 1 << 14
"""Bytes of an answer, at most."""
SILENCE = 30.0
"""Seconds after which a connection that sends nothing is closed."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' "
    "'unsafe-inline'; img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of every answer. Styles in the page are OpenSeadragon's, which sets them by script."""


class Desk(Protocol):
    """What a server shows and where it puts answers. Its methods are called from several threads."""

    def asset(self, name: str) -> tuple[str, bytes] | None:
        """Media type and bytes of a file of the page; '' is the page itself. None: there is none."""

    def state(self, by: str) -> dict[str, Any]:
        """What a person is to see: JSON. Raises `LedgerkitError`."""

    def picture(self, pair: str, side: str) -> bytes:
        """The JPEG of the `left` or `right` of a pair. Raises `LedgerkitError`."""

    def answer(self, by: str, pair: str, answer: str) -> dict[str, Any]:
        """Keep an answer; what comes back is on record. Raises `LedgerkitError`."""


def serve(desk: Desk, port: int, told: Callable[[str], None], *, token: str | None = None) -> None:
    """Serve until Ctrl-C; `told` is given the address. `port` 0 is any that is free.

    An answer that is being kept then is kept before this returns. Raises `UsageError` for a port
    that is taken.
    """
    try:
        server = Server(desk, port, token or secrets.token_urlsafe(24))
    except OSError as error:
        raise UsageError(
            f"cannot listen on port {port}: {error.strerror}", "Leave --port away for a free one."
        ) from error
    with server:
        told(server.address)
        try:
            server.serve_forever(poll_interval=0.1)
        except KeyboardInterrupt:
            pass
        finally:
            with server.keeping:
                server.ended = True


class Server(ThreadingHTTPServer):
    """The server; one answer at a time is kept."""

    daemon_threads = True

    def __init__(self, desk: Desk, port: int, token: str) -> None:
        self.desk = desk
        self.token = token
        self.keeping = threading.Lock()
        self.ended = False
        """No answer is taken any more; held under `keeping`."""
        super().__init__((HOST, port), _Handler)

    @property
    def address(self) -> str:
        """Where the page is, the token in its path."""
        return f"http://{HOST}:{self.server_address[1]}/{self.token}/"

    @property
    def hosts(self) -> tuple[str, str]:
        """What a request may call this server."""
        port = self.server_address[1]
        return f"{HOST}:{port}", f"localhost:{port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away is no error; anything else is told as Python tells it."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError, socket.timeout)):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "ledgerkit", ""
    timeout = SILENCE

    def do_GET(self) -> None:
        path = self._allowed()
        if path is None:
            return
        try:
            found = self._found(path)
        except (LedgerkitError, OSError) as error:
            self._complain(error)
            return
        if found is None:
            self._refuse(404, "there is nothing of that name")
        else:
            self._send(200, *found)

    def _found(self, path: str) -> tuple[str, bytes] | None:
        """Media type and bytes of what lies there. Raises `LedgerkitError`, `OSError`."""
        if path == "state":
            return JSON, _encoded(self.server.desk.state(self._person()))
        if path.startswith("pictures/"):
            pair, _, side = path.removeprefix("pictures/").partition("/")
            return "image/jpeg", self.server.desk.picture(pair, side)
        return self.server.desk.asset(path)

    def do_POST(self) -> None:
        path = self._allowed()
        if path is None:
            return
        given = self._body()
        if given is None:
            return
        if path != "answer":
            self._refuse(404, "there is nothing of that name")
            return
        try:
            with self.server.keeping:
                if self.server.ended:
                    raise RepositoryBusy("the server has ended", "Start it again: ledgerkit review")
                kept = self.server.desk.answer(given["by"], given["pair"], given["answer"])
        except (LedgerkitError, OSError) as error:
            self._complain(error)
            return
        self._json(200, kept)

    def _allowed(self) -> str | None:
        """The path below the token; None where the request was refused."""
        if self.headers.get_all("Host", []) not in [[host] for host in self.server.hosts]:
            self._refuse(421, "this server goes by another name")
            return None
        try:
            whole = urlsplit(self.path).path
        except ValueError:
            self._refuse(400, "that is no address")
            return None
        token, slash, path = whole.removeprefix("/").partition("/")
        if not slash or not hmac.compare_digest(token.encode(), self.server.token.encode()):
            self._refuse(404, "there is nothing of that name")
            return None
        return unquote(path)

    def _person(self) -> str:
        return parse_qs(urlsplit(self.path).query).get("by", [""])[0]

    def _body(self) -> dict[str, str] | None:
        """The answer that was sent; None where it was refused."""
        origin = self.headers.get("Origin")
        kind = self.headers.get_content_type()
        if origin is not None and origin not in {f"http://{host}" for host in self.server.hosts}:
            self._refuse(403, "another page sends this")
        elif kind != "application/json":
            self._refuse(415, "an answer is JSON")
        elif not (length := self.headers.get("Content-Length", "")).isdecimal():
            self._refuse(411, "an answer says how long it is")
        elif len(length) > len(str(MAX_BODY)) or int(length) > MAX_BODY:
            self._refuse(413, "an answer is short")
        else:
            try:
                given = parse_json(self.rfile.read(int(length)), "the answer")
            except LedgerkitError as error:
                self._refuse(400, error.message)
                return None
            named = isinstance(given, dict) and set(given) == {"by", "pair", "answer"}
            if named and all(isinstance(one, str) for one in given.values()):
                return dict(given)
            self._refuse(400, "an answer has the texts by, pair and answer")
        return None

    def _complain(self, error: LedgerkitError | OSError) -> None:
        """An error that a user can meet, as JSON with its hint."""
        if isinstance(error, OSError):
            self._json(500, {"error": f"the disk: {error.strerror or error}", "hint": None})
            return
        status = 400 if isinstance(error, UsageError) else 500
        status = 404 if isinstance(error, MissingInput) else status
        status = 503 if isinstance(error, RepositoryBusy) else status
        self._json(status, {"error": error.message, "hint": error.hint})

    def _refuse(self, status: int, why: str) -> None:
        """Say no, and close: what was not read of a request is no next one."""
        self.close_connection = True
        self._json(status, {"error": why, "hint": None})

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the library refuses by itself, with the same headers."""
        self._refuse(code, message or "this is not spoken here")

    def _json(self, status: int, value: dict[str, Any]) -> None:
        self._send(status, JSON, _encoded(value))

    def _send(self, status: int, media_type: str, data: bytes) -> None:
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(data)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the token is in every path."""


def _encoded(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=True).encode()
