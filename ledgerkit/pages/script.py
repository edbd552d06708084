"""Data for pages: JSON inside of a script, because a page from the disk cannot fetch; arrays packed.

Keeps out: what the data mean.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from ledgerkit.export.lines import encoded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ESCAPED = {
    b"<": b"\\u003c",
    b">": b"\\u003e",
    b"&": b"\\u0026",
    "\u2028".encode(): b"\\u2028",
    "\u2029".encode(): b"\\u2029",
}
"""Characters that end a script or a line of it, in the form in which JSON and JavaScript agree."""


def script(name: str, value: Any) -> bytes:
    """A script that hands `value` over under `name`; nothing in it can end the script or be markup."""
    return b"atlas.put(" + _safe(name) + b"," + _safe(value) + b");\n"


def _safe(value: Any) -> bytes:
    text = encoded(value)
    for plain, escaped in _ESCAPED.items():
        text = text.replace(plain, escaped)
    return text


def packed(array: NDArray[Any], kind: type[np.generic]) -> str:
    """Base64 of an array as little-endian numbers of `kind`: an array of that type in JavaScript."""
    import numpy as np

    data = np.ascontiguousarray(array, dtype=np.dtype(kind).newbyteorder("<")).tobytes()
    return base64.b64encode(data).decode("ascii")
