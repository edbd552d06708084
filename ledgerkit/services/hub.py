"""A client for the public protocol of model hubs: resolve a revision, ask what is promised, download.

Source: the protocol as huggingface.co documents and serves it (`/api/models/ID/revision/REV`,
`/ID/resolve/REV/FILE`; the headers X-Repo-Commit, X-Linked-Size, X-Linked-Etag). Files of git have
their blob id (SHA-1) as ETag, large files their SHA-256; both are compared with what arrived.

The hub's own client is not used: it writes into a cache of its own, compares sizes only, and has
ten dependencies. urllib3 has one job, is typed, takes the token away when a redirect leaves the
host, and waits as long as Retry-After says. The token is sent and never kept or printed.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin, urlsplit

from ledgerkit import software
from ledgerkit.canonical import READ_SIZE, Digests, parse_json
from ledgerkit.errors import HubRefused, InvalidRecord, LimitExceeded, UsageError
from ledgerkit.services.connection import (
    ATTEMPTS,
    MOST_SECONDS,
    TIMEOUT,
    TRANSIENT,
    holds_password,
    http_error,
    is_address,
    patience,
    pool,
)
from ledgerkit.services.partial import Partial, Promise

if TYPE_CHECKING:
    import urllib3

PUBLIC = "https://huggingface.co"
MAX_ANSWER_BYTES = 32 << 20
MAX_REDIRECTS = 5
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}(?:/[A-Za-z0-9_][A-Za-z0-9._-]{0,95})?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?", re.ASCII)
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A model at one commit: the names of its files as the hub lists them, and its stated licence."""

    id: str
    commit: str
    license: str | None
    paths: tuple[str, ...]


def parse_id(text: str) -> tuple[str, str] | None:
    """Model id and revision of `ID@REVISION`; None for what is none."""
    model, at, revision = text.partition("@")
    return (model, revision) if at and revision and _ID.fullmatch(model) else None


class Hub:
    """One hub. `pause` is the first wait in seconds between two tries; it doubles each time."""

    def __init__(
        self, endpoint: str | None = None, token: str | None = None, pause: float = 1.0
    ) -> None:
        named = endpoint or os.environ.get("LEDGERKIT_HUB") or PUBLIC
        self.endpoint = _checked_endpoint(named.rstrip("/"))
        given = token or os.environ.get("LEDGERKIT_HUB_TOKEN")
        if self.endpoint == PUBLIC:  # a token for the public hub is no other hub's business
            given = given or os.environ.get("HF_TOKEN")
        self._headers = {
            "User-Agent": f"ledgerkit/{software.VERSION}",
            "Accept-Encoding": "identity",
        }
        if given:
            self._headers["Authorization"] = f"Bearer {given.strip()}"
        self._pause = pause
        self._pool = pool(self.endpoint)

    def snapshot(self, model: str, revision: str) -> Snapshot:
        """What the hub has at a branch, tag or commit, resolved to its commit. Raises `HubRefused`."""
        url = f"{self.endpoint}/api/models/{model}/revision/{quote(revision, safe='')}"
        answer = self._asked("GET", url)
        try:
            data = answer.read(MAX_ANSWER_BYTES + 1, decode_content=False)
        except http_error() as error:
            raise self._unreachable(url, error) from error
        finally:
            answer.release_conn()
        try:
            found = parse_json(data, url, MAX_ANSWER_BYTES)
            commit = str(found["sha"])
            paths = tuple(str(one["rfilename"]) for one in found["siblings"])
        except (InvalidRecord, LimitExceeded, KeyError, TypeError) as error:
            raise self._no_hub(url, "it lists no commit and files") from error
        if not _COMMIT.fullmatch(commit):
            raise self._no_hub(url, f"{commit[:80]!r} is no commit")
        return Snapshot(model, commit, _license(found), paths)

    def promise(self, snapshot: Snapshot, path: str) -> Promise:
        """Size and digest of a file, before it is downloaded. Raises `HubRefused`."""
        url = self._url(snapshot, path)
        for _ in range(MAX_REDIRECTS):
            answer = self._asked("HEAD", url, redirect=False)
            answer.drain_conn()
            answer.release_conn()
            headers = answer.headers
            onward = headers.get("Location", "")
            linked = headers.get("X-Linked-Etag")
            if linked or answer.status < 300:
                break
            if not _same_host(url, urljoin(url, onward)):
                raise self._no_hub(url, "it sends elsewhere without saying what will come")
            url = urljoin(url, onward)  # a model that was renamed
        commit = headers.get("X-Repo-Commit", snapshot.commit)
        if commit != snapshot.commit:
            raise self._no_hub(url, f"it answers for the commit {commit[:80]}")
        return self._promise(url, linked or headers.get("ETag", ""), headers)

    def _promise(self, url: str, etag: str, headers: Any) -> Promise:
        digest = etag.removeprefix("W/").strip('"').lower()
        size = headers.get("X-Linked-Size" if "X-Linked-Etag" in headers else "Content-Length", "")
        if not size.isdecimal():
            raise self._no_hub(url, "it states no size")
        if re.fullmatch("[0-9a-f]{64}", digest):
            return Promise(int(size), "sha256", digest)
        if re.fullmatch("[0-9a-f]{40}", digest):
            return Promise(int(size), "git-sha1", digest)
        raise self._no_hub(url, f"its ETag {etag[:80]!r} is no digest")

    def fetch(
        self,
        snapshot: Snapshot,
        path: str,
        promised: Promise,
        target: Path,
        progress: Progress | None = None,
    ) -> Digests:
        """Download a file to `target`, going on behind what is there already; flushed and compared.

        `progress` is told bytes that are there and bytes in all. Raises `HubRefused`; the part that
        came stays for the next call. Raises `DigestMismatch` for other bytes than promised: they
        are removed.
        """
        url = self._url(snapshot, path)
        with Partial(target, promised) as partial:
            waits, reached = 0, partial.bytes
            while partial.lacks:
                problem = self._receive(url, partial, progress)
                # A hub that knows no ranges begins anew each time: only new ground is progress.
                waits = 0 if partial.bytes > reached else waits + 1
                reached = max(reached, partial.bytes)
                if problem is not None and waits >= ATTEMPTS:
                    raise self._unreachable(url, problem) from problem
                time.sleep(min(self._pause * waits, MOST_SECONDS))
            return partial.finish(f"{snapshot.id}/{path}")

    def _receive(
        self, url: str, partial: Partial, progress: Progress | None
    ) -> BaseException | None:
        """One connection's worth of bytes; the error that cut it off, if one did."""
        headers = {"Range": f"bytes={partial.bytes}-"} if partial.bytes else {}
        answer = self._asked("GET", url, headers, allowed=(200, 206, 416))
        begins = f"bytes {partial.bytes}-"
        if partial.bytes and not (
            answer.status == 206 and answer.headers.get("Content-Range", "").startswith(begins)
        ):
            partial.restart()
            if answer.status != 200:
                answer.close()
                return ConnectionError(f"status {answer.status} where bytes were asked for")
        try:
            for chunk in answer.stream(READ_SIZE, decode_content=False):
                partial.write(chunk)
                if progress is not None:
                    progress(partial.bytes, partial.promised.bytes)
        except (http_error(), ConnectionError) as error:
            return error
        finally:
            answer.close()
        return ConnectionError("the connection ended before the file") if partial.lacks else None

    def _url(self, snapshot: Snapshot, path: str) -> str:
        return f"{self.endpoint}/{snapshot.id}/resolve/{snapshot.commit}/{quote(path)}"

    def _asked(
        self,
        method: str,
        url: str,
        headers: dict[str, str] | None = None,
        *,
        redirect: bool = True,
        allowed: tuple[int, ...] = (),
    ) -> urllib3.BaseHTTPResponse:
        """The answer to a request, tried again when the hub is busy. Raises `HubRefused`."""
        try:
            answer = self._pool.request(
                method,
                url,
                headers={**self._headers, **(headers or {})},
                redirect=redirect,
                preload_content=False,
                decode_content=False,
                retries=patience(self._pause, MAX_REDIRECTS),
                timeout=TIMEOUT,
            )
        except http_error() as error:
            raise self._unreachable(url, error) from error
        if (
            answer.status < 300
            or answer.status in allowed
            or (not redirect and answer.status < 400)
        ):
            return answer
        answer.close()
        raise self._refused(url, answer)

    def _refused(self, url: str, answer: urllib3.BaseHTTPResponse) -> HubRefused:
        said = answer.headers.get("X-Error-Message") or answer.headers.get("X-Error-Code")
        status = f"{answer.status}" + (f", {said[:200]}" if said else "")
        if answer.status in (401, 403):
            return HubRefused(
                f"{url}: the hub does not let this reader in ({status})",
                "Check the id; for a gated model accept its terms on the hub, and set "
                "LEDGERKIT_HUB_TOKEN, or HF_TOKEN for the public hub.",
            )
        if answer.status == 404:
            return HubRefused(
                f"{url}: the hub has no such model, revision or file ({status})",
                "Write it like owner/model@revision; the revision is a branch, a tag or a commit.",
            )
        if answer.status in TRANSIENT:
            after = answer.headers.get("Retry-After")
            wait = f" It asks to wait {after[:40]} s." if after else ""
            return HubRefused(
                f"{url}: the hub is busy or down ({status})",
                f"Give the same command later: it goes on where it stopped.{wait}",
            )
        return HubRefused(f"{url}: the hub refuses ({status})", f"Is {self.endpoint} a model hub?")

    def _unreachable(self, url: str, error: BaseException) -> HubRefused:
        return HubRefused(
            f"{url}: the hub cannot be reached: {type(error).__name__}",
            "Give the same command again: it goes on where it stopped. Without a network, bring the "
            "folder over by other means and add it from there.",
        )

    def _no_hub(self, url: str, why: str) -> HubRefused:
        return HubRefused(
            f"{url}: this is not how a model hub answers: {why}",
            f"Is {self.endpoint} a model hub? LEDGERKIT_HUB names it.",
        )


def _license(found: dict[str, Any]) -> str | None:
    """The licence that the model's card or its tags state; None without one."""
    card = found.get("cardData")
    stated = card.get("license") if isinstance(card, dict) else None
    if isinstance(stated, str) and stated:
        return stated
    tags = found.get("tags")
    listed = [one for one in tags if isinstance(one, str)] if isinstance(tags, list) else []
    return next((tag[8:] for tag in listed if tag.startswith("license:")), None)


def _checked_endpoint(endpoint: str) -> str:
    """Raises `UsageError` for what is no address, or would send the token in the clear."""
    if holds_password(endpoint):
        raise UsageError(
            "the address of a hub holds no name or password", "Set LEDGERKIT_HUB_TOKEN for a token."
        )
    if is_address(endpoint):
        return endpoint
    raise UsageError(
        f"no address of a model hub: {endpoint[:200]!r}",
        f"Write it like {PUBLIC}; http is for this machine only.",
    )


def _same_host(first: str, second: str) -> bool:
    return urlsplit(first)[:2] == urlsplit(second)[:2]
