"""A client for services that speak OpenAI's HTTP interface, hosted or on this machine: ask, answer.

It only carries JSON there and back: what is asked, and what an answer must hold, is the affair of
`embeddings`. A service that is busy, down or cut off is asked again, at its own pace where it names
one (`Retry-After`). The key comes from the environment; it is sent and never kept or printed.
Source: OpenAI API reference ("Authentication", "Error codes"); RFC 9110, 10.2.3 (Retry-After).
"""

from __future__ import annotations

import os
import time
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from ledgerkit import software
from ledgerkit.canonical import canonical_bytes, parse_json
from ledgerkit.errors import (
    EndpointFailed,
    EndpointRefused,
    InvalidRecord,
    LimitExceeded,
    UsageError,
)
from ledgerkit.services.connection import (
    MOST_SECONDS,
    TRANSIENT,
    holds_password,
    http_error,
    is_address,
    pool,
)

ATTEMPTS = 5
"""Times that one question is asked before its failure is told."""
TIMEOUT = 120.0
"""Seconds without a byte before a connection counts as dead: a large batch takes a while."""
MAX_ANSWER_BYTES = 1 << 28
KEY, PUBLIC_KEY, PUBLIC_HOST = "LEDGERKIT_API_KEY", "OPENAI_API_KEY", "api.openai.com"


class Endpoint:
    """One service at `address` (`https://host/v1`). `pause` is the first wait between two tries.

    It doubles each time. Raises `UsageError` for an address that would send the key in the clear.
    """

    def __init__(self, address: str, pause: float = 1.0) -> None:
        if holds_password(address):
            raise UsageError(
                "the address of a service holds no name or password", f"Set {KEY} for its key."
            )
        if not is_address(address):
            raise UsageError(
                f"no address of a service: {address[:200]!r}",
                "Write it like https://api.openai.com/v1; http is for this machine only.",
            )
        self.address = address.rstrip("/")
        key = os.environ.get(KEY, "").strip()
        if urlsplit(address).hostname == PUBLIC_HOST:  # its key is no other service's business
            key = key or os.environ.get(PUBLIC_KEY, "").strip()
        self._key = key
        self._headers = {
            "User-Agent": f"ledgerkit/{software.VERSION}",
            "Content-Type": "application/json",
            "Accept": "application/json",
        }
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._pause = pause
        self._pool = pool(self.address)

    def ask(self, path: str, question: dict[str, Any]) -> dict[str, Any]:
        """The JSON object that the service answers to a question posted to `path` (`embeddings`).

        Raises `EndpointRefused` where asking again is of no use, `EndpointFailed` for one that stays
        busy, cannot be reached, or sends no JSON.
        """
        url = f"{self.address}/{path}"
        body = canonical_bytes(question)
        for attempt in range(1, ATTEMPTS + 1):
            wait = self._pause * 2 ** (attempt - 1)
            try:
                answer = self._pool.request(
                    "POST",
                    url,
                    body=body,
                    headers=self._headers,
                    preload_content=False,
                    redirect=False,
                    retries=False,
                    timeout=TIMEOUT,
                )
                try:
                    data = answer.read(MAX_ANSWER_BYTES + 1)
                finally:
                    answer.release_conn()
            except (http_error(), ConnectionError) as error:
                said = f"it cannot be reached, or broke off: {type(error).__name__}"
            else:
                if answer.status not in TRANSIENT:
                    return self._answered(url, answer.status, data)
                said = f"it is busy or down ({self._said(answer.status, data)})"
                wait = max(wait, self._asked_to_wait(url, answer.headers.get("Retry-After"), said))
            if attempt < ATTEMPTS:
                time.sleep(min(wait, MOST_SECONDS))
        raise EndpointFailed(
            f"{url}: {said}; {ATTEMPTS} tries",
            "Give the same command again later: it goes on where it stopped.",
        )

    def _answered(self, url: str, status: int, data: bytes) -> dict[str, Any]:
        if status != 200:
            raise EndpointRefused(
                f"{url}: the service refuses ({self._said(status, data)})", self._advice(status)
            )
        try:
            found = parse_json(data, url, MAX_ANSWER_BYTES)
        except (InvalidRecord, LimitExceeded) as error:
            raise EndpointFailed(f"{url}: its answer is no JSON: {error.message[:200]}") from error
        if not isinstance(found, dict):
            raise EndpointFailed(f"{url}: its answer is no JSON object")
        return found

    def _said(self, status: int, data: bytes) -> str:
        """A status with the service's own words, as far as it has any; never with the key."""
        try:
            words = str(parse_json(data, "answer")["error"]["message"])
        except (InvalidRecord, LimitExceeded, KeyError, TypeError):
            words = ""
        words = words.replace(self._key, "***") if self._key else words
        return f"{status}, {words[:200]}" if words else str(status)

    def _advice(self, status: int) -> str:
        if status in (401, 403):
            return f"Set {KEY} (or {PUBLIC_KEY} for {PUBLIC_HOST}) to a key that may use the model."
        if status == 404:
            return (
                f"Check the model, and the address: is {self.address} what the service documents?"
            )
        return "Check the model and its settings."

    def _asked_to_wait(self, url: str, stated: str | None, said: str) -> float:
        """Seconds that `Retry-After` asks for; 0 without one. Raises `EndpointFailed` beyond a minute."""
        if not stated:
            return 0.0
        try:
            if stated.strip().isdecimal():
                seconds = float(stated)
            else:
                seconds = parsedate_to_datetime(stated).timestamp() - time.time()
        except (ValueError, TypeError):
            return 0.0
        if seconds > MOST_SECONDS:
            raise EndpointFailed(
                f"{url}: {said} and asks to wait {seconds:.0f} s",
                "Give the same command again then: it goes on where it stopped.",
            )
        return max(0.0, seconds)
