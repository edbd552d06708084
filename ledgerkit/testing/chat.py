"""A chat endpoint on this machine that speaks OpenAI's protocol, and misbehaves where it is told to."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from ledgerkit.testing.loopback import loopback

GOOD = {
    "summary": "All of them show wading birds. They stand in shallow water.",
    "pattern_name": "Wading birds in water",
    "category": "animals",
    "strength": 7,
}


@dataclass
class ChatPlan:
    """What the next requests are answered with, and what was asked.

    An answer is the model's text, an object to be sent as its text in JSON, a status with headers,
    or `CUT` for a connection that ends amid the body. When none is left, the model answers well,
    with a name of its own each time, counted from `first`.
    """

    answers: list[Any] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    """Bodies of the requests, in order."""
    headers: list[dict[str, str]] = field(default_factory=list)
    first: int = 1
    key: str | None = None
    stall_after: int | None = None
    """Requests after which no answer comes any more."""
    stalled: threading.Event = field(default_factory=threading.Event)
    then: Callable[[], None] | None = None
    """What is done once, before the first answer is sent."""


CUT = object()
BODY = "body"
"""`(BODY, bytes)`: these bytes instead of an answer."""


@contextmanager
def serving(plan: ChatPlan) -> Iterator[str]:
    """The address of an endpoint that follows the plan, ending in /v1."""
    with loopback(_Handler, plan=plan) as address:
        try:
            yield f"{address}/v1"
        finally:
            plan.stalled.set()


class _Handler(BaseHTTPRequestHandler):
    plan: ChatPlan
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        plan = self.plan
        body = self.rfile.read(int(self.headers["Content-Length"]))
        plan.headers.append({name.lower(): value for name, value in self.headers.items()})
        plan.requests.append(json.loads(body))
        if plan.stall_after is not None and len(plan.requests) > plan.stall_after:
            plan.stalled.wait(60)
        if plan.then is not None:
            then, plan.then = plan.then, None
            then()
        if self.path != "/v1/chat/completions":
            return self._send(404, b"{}", {})
        if plan.key and self.headers.get("Authorization") != f"Bearer {plan.key}":
            return self._send(401, b"{}", {})
        number = plan.first + len(plan.requests) - 1
        good = GOOD | {"pattern_name": f"Wading birds number {number}"}
        answer = plan.answers.pop(0) if plan.answers else good
        if isinstance(answer, tuple) and answer[0] == BODY:
            return self._send(200, answer[1], {})
        if isinstance(answer, tuple):
            return self._send(answer[0], b'{"error": "on purpose"}', answer[1])
        text = answer if isinstance(answer, str) else json.dumps(GOOD if answer is CUT else answer)
        message = {"role": "assistant", "content": text}
        told = {"model": "served-1", "choices": [{"index": 0, "message": message}]}
        return self._send(200, json.dumps(told).encode(), {}, cut=answer is CUT)

    def _send(self, status: int, body: bytes, headers: dict[str, str], cut: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # who asked was killed
            self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = cut
