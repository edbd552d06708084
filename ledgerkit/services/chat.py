"""A client for chat endpoints that speak OpenAI's protocol, on this machine or elsewhere.

Source: the protocol as OpenAI documents it (`POST /chat/completions`: model and messages in, choices
with a message out), which llama.cpp, vLLM, Ollama and others serve too. Only what all of them
understand is sent. The key is sent and never kept or printed.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ledgerkit import software
from ledgerkit.canonical import READ_SIZE, canonical_bytes, parse_json
from ledgerkit.errors import InvalidRecord, LimitExceeded, ServiceRefused, UsageError
from ledgerkit.services.connection import (
    ATTEMPTS,
    LOOPBACK,
    MOST_SECONDS,
    TRANSIENT,
    gave_up,
    http_error,
    patience,
    pool,
)

if TYPE_CHECKING:
    import urllib3

KEY_VARIABLE = "LEDGERKIT_CHAT_KEY"
MAX_ANSWER_BYTES = 1 << 20
TIMEOUT = 300.0
"""Seconds to wait for an answer: a small model on a slow machine takes its time."""
Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """What an endpoint answered: the model's text, the whole body, and the model it says it is."""

    text: str
    body: bytes
    model: str | None


class Chat:
    """One model behind one endpoint. `pause` is the first wait in seconds; it doubles each time."""

    def __init__(
        self, endpoint: str, model: str, key: str | None = None, pause: float = 1.0
    ) -> None:
        self.key = (key or os.environ.get(KEY_VARIABLE) or "").strip()
        self.endpoint = _checked(endpoint.rstrip("/"), bool(self.key))
        self.model = model
        self._headers = {
            "User-Agent": f"ledgerkit/{software.VERSION}",
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
        }
        if self.key:
            self._headers["Authorization"] = f"Bearer {self.key}"
        self._pause = pause
        self._pool = pool(self.endpoint)

    def request(self, messages: Sequence[Message]) -> bytes:
        """The bytes that `ask` sends for these messages: always the same for the same messages."""
        return canonical_bytes({"model": self.model, "messages": list(messages)})

    def ask(self, messages: Sequence[Message]) -> Reply:
        """The answer to messages. A busy endpoint and a cut connection are tried again.

        Raises `ServiceRefused` when there is none, `InvalidRecord` for one that is no chat answer;
        its message does not quote the body.
        """
        url = f"{self.endpoint}/chat/completions"
        data = self.request(messages)
        problem: Exception | None = None
        for attempt in range(ATTEMPTS + 1):
            time.sleep(min(self._pause * attempt, MOST_SECONDS))
            try:
                return self._reply(url, self._body(url, data))
            except gave_up() as error:
                problem = error  # tried again with patience already
                break
            except http_error() as error:
                problem = error
        raise ServiceRefused(
            f"{url}: the endpoint cannot be reached: {type(problem).__name__}",
            "Is the server running? What was answered until now is kept: give the command again.",
        ) from problem

    def _body(self, url: str, data: bytes) -> bytes:
        answer = self._pool.request(
            "POST",
            url,
            body=data,
            headers=self._headers,
            redirect=False,
            preload_content=False,
            decode_content=False,
            retries=patience(self._pause, 0),
            timeout=TIMEOUT,
        )
        try:
            if answer.status != 200:
                raise self._refused(url, answer)
            body = b""
            for chunk in answer.stream(READ_SIZE, decode_content=False):
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    raise InvalidRecord(f"{url}: the answer has more than {MAX_ANSWER_BYTES} bytes")
        finally:
            answer.close()
        return body

    def _reply(self, url: str, body: bytes) -> Reply:
        try:
            value = parse_json(body, url, MAX_ANSWER_BYTES)
        except LimitExceeded as error:
            raise InvalidRecord(error.message) from error
        choices = value.get("choices") if isinstance(value, dict) else None
        if not isinstance(choices, list) or len(choices) != 1:
            count = len(choices) if isinstance(choices, list) else "no"
            raise InvalidRecord(f"{url}: {count} answers came, exactly one is expected")
        message = choices[0].get("message") if isinstance(choices[0], dict) else None
        text = message.get("content") if isinstance(message, dict) else None
        if not isinstance(text, str):
            raise InvalidRecord(f"{url}: the answer holds no text")
        named = value.get("model")
        return Reply(text, body, named if isinstance(named, str) else None)

    def _refused(self, url: str, answer: urllib3.BaseHTTPResponse) -> ServiceRefused:
        status = answer.status
        if status in (401, 403):
            return ServiceRefused(
                f"{url}: the endpoint does not let this reader in ({status})",
                f"Set {KEY_VARIABLE} to its key.",
                True,
            )
        if status in TRANSIENT:
            after = answer.headers.get("Retry-After")
            wait = f" It asks to wait {after[:40]} s." if after else ""
            return ServiceRefused(
                f"{url}: the endpoint is busy or down ({status})",
                f"Give the same command later: what was answered is kept.{wait}",
            )
        return ServiceRefused(
            f"{url}: the endpoint refuses ({status})",
            f"Does it have the model {self.model!r}, and end in /v1? Pictures need a model that sees.",
            True,
        )


def _checked(endpoint: str, with_key: bool) -> str:
    """Raises `UsageError` for what is no address, or would send a key in the clear."""
    parts = urlsplit(endpoint)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UsageError(
            "the address of an endpoint holds no name, password or query",
            f"Set {KEY_VARIABLE} for a key.",
        )
    plain = parts.scheme == "http" and (parts.hostname in LOOPBACK or not with_key)
    if (
        parts.hostname
        and (parts.scheme == "https" or plain)
        and not re.search(r"[\s\x00-\x1f]", endpoint)
    ):
        return endpoint
    raise UsageError(
        f"no address of a chat endpoint: {endpoint[:200]!r}",
        "Write it like http://localhost:8080/v1 or https://example.org/v1; with a key over http only "
        "on this machine.",
    )
