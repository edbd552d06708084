"""What the catalogue entry of a plate says of it beyond its identity: scheme and value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ledgerkit.canonical import canonical_bytes

ALIASES = {
    "plate": ("plate", "plate_number", "number"),
    "name": ("name", "title"),
    "slug": ("slug",),
    "fileName": ("fileName", "file_name", "filename", "file", "image"),
    "download": ("download", "download_url", "url"),
}
"""Fields of a catalogue entry that say which plate it is, and the names they go by."""
IDENTITY_FIELDS = frozenset(alias for aliases in ALIASES.values() for alias in aliases)


def labels_of(metadata: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    """Scheme and value of each label in a catalogue entry, sorted.

    Each item of a list once; nothing for null and the empty text; other values as canonical JSON.
    """
    for scheme, field in sorted((metadata or {}).items()):
        if scheme in IDENTITY_FIELDS:
            continue
        items = field if isinstance(field, list) else [field]
        texts = [
            item if isinstance(item, str) else canonical_bytes(item).decode()
            for item in items
            if item is not None
        ]
        yield from ((scheme, text) for text in sorted({text for text in texts if text}))
