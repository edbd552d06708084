"""A service of text vectors on this machine, in OpenAI's interface, that misbehaves where it is told to.

The vector of a text follows from its words alone, so that equal texts are equal and like texts near.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from ledgerkit.testing.loopback import loopback

Spoil = Callable[[dict[str, Any]], Any]


@dataclass
class EndpointPlan:
    """What a service does, and what was asked of it."""

    dimensions: int = 16
    model: str = "tiny-embedding-1-2026-01-01"
    """What it reports as its model."""
    key: str | None = None
    answers: list[tuple[int, dict[str, str], str]] = field(default_factory=list)
    """Statuses, headers and messages that the next questions get instead."""
    spoil: list[Spoil | None] = field(default_factory=list)
    """What is done to the next answers before they are sent; text goes out as it is."""
    cuts: int = 0
    """How many of the next answers end in the middle."""
    questions: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def serving(plan: EndpointPlan) -> Iterator[str]:
    """The address of a service that follows the plan."""
    with loopback(_Service, plan=plan) as address:
        yield f"{address}/v1"


def vector_of(text: str, dimensions: int) -> list[float]:
    """The sum of a vector for each word, not of length 1."""
    found = [0.0] * dimensions
    for word in text.lower().split():
        digest = hashlib.shake_128(word.encode()).digest(dimensions)
        found = [old + (byte - 127.5) / 64 for old, byte in zip(found, digest, strict=True)]
    return found


class _Service(BaseHTTPRequestHandler):
    plan: EndpointPlan
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        plan = self.plan
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        plan.questions.append(question)
        plan.headers.append({name.lower(): value for name, value in self.headers.items()})
        if plan.answers:
            status, headers, message = plan.answers.pop(0)
            self._send(status, headers, {"error": {"message": message}})
        elif plan.key and self.headers.get("Authorization") != f"Bearer {plan.key}":
            sent = self.headers.get("Authorization", "")
            self._send(401, {}, {"error": {"message": f"Incorrect API key provided: {sent}"}})
        elif self.path != "/v1/embeddings":
            self._send(404, {}, {"error": {"message": f"no {self.path}"}})
        else:
            answer = self._answer(question)
            spoil = plan.spoil.pop(0) if plan.spoil else None
            self._send(200, {}, answer if spoil is None else spoil(answer))

    def _answer(self, question: dict[str, Any]) -> dict[str, Any]:
        dimensions = question.get("dimensions", self.plan.dimensions)
        listed = [
            {"object": "embedding", "index": place, "embedding": vector_of(text, dimensions)}
            for place, text in enumerate(question["input"])
        ]
        words = sum(len(text.split()) for text in question["input"])
        return {
            "object": "list",
            "data": listed[::-1],
            "model": self.plan.model,
            "usage": {"prompt_tokens": words, "total_tokens": words},
        }

    def _send(self, status: int, headers: Mapping[str, str], value: Any) -> None:
        body = value.encode() if isinstance(value, str) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in ({"Content-Length": str(len(body))} | dict(headers)).items():
            self.send_header(name, text)
        self.end_headers()
        if status == 200 and self.plan.cuts:
            self.plan.cuts -= 1
            body = body[: len(body) // 2]
            self.close_connection = True
        self.wfile.write(body)
