"""What clients of services share: addresses, connections, proxies, patience with those that are busy."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import urllib3

ATTEMPTS = 5
"""Times that a connection is tried again without a byte having come."""
MOST_SECONDS = 60.0
"""The longest wait for a service that says when to come again; one that asks for more is an error."""
TIMEOUT = 30.0
TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses of a service that is busy or down for a while (RFC 9110, 15; RFC 6585, 4)."""
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def holds_password(address: str) -> bool:
    """Whether an address holds a name or a password: it would be written down with it."""
    parts = urlsplit(address)
    return bool(parts.username or parts.password)


def is_address(address: str) -> bool:
    """Whether it is https, or http on this machine, where a secret does not travel in the clear."""
    parts = urlsplit(address)
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    )


def http_error() -> type[Exception]:
    """What urllib3 raises, all of it."""
    import urllib3

    return urllib3.exceptions.HTTPError


def gave_up() -> type[Exception]:
    """What urllib3 raises when all of its own tries ended badly."""
    import urllib3

    return urllib3.exceptions.MaxRetryError


def pool(address: str) -> urllib3.PoolManager:
    """Connections, through the proxy that the environment names for this host, if any."""
    import urllib3

    parts = urlsplit(address)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(parts.hostname or ""):
        return urllib3.ProxyManager(proxy)
    return urllib3.PoolManager()


def patience(pause: float, redirects: int, attempts: int = ATTEMPTS) -> urllib3.Retry:
    """Try a busy service again, at its own pace up to a minute, whatever the method.

    `pause` is the first wait in seconds; it doubles each time. Nothing is repeated once a body is
    read.
    """
    import urllib3

    class Patience(urllib3.Retry):
        def get_retry_after(self, response: urllib3.BaseHTTPResponse) -> float | None:
            asked = super().get_retry_after(response)
            return asked if asked is None else min(asked, MOST_SECONDS)

    return Patience(
        total=2 * attempts,
        connect=attempts,
        read=attempts,
        redirect=redirects,
        status=attempts,
        status_forcelist=TRANSIENT,
        allowed_methods=None,
        backoff_factor=pause,
        backoff_max=MOST_SECONDS,
        raise_on_status=False,
        raise_on_redirect=True,
    )
