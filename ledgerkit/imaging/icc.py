"""Facts of an ICC profile: its description and the colour space it speaks of.

Keeps out: transforming colours (`colour.py`).
Source: ICC.1:2022 (profile version 4.4), sections 7.2, 10.15 and the version 2 `desc` type of
ICC.1:2001-04, section 6.5.17.
"""

from __future__ import annotations

import struct

MAX_TAGS = 256


def profile_description(profile: bytes) -> str | None:
    """The text of the `desc` tag, or None when the profile has none that can be read."""
    try:
        return _description(profile)
    except (struct.error, UnicodeDecodeError):
        return None


def profile_space(profile: bytes) -> str:
    """The device colour space: `RGB`, `GRAY`, `CMYK`, `Lab`; empty when this is no ICC profile."""
    if len(profile) < 132 or profile[36:40] != b"acsp":
        return ""
    return profile[16:20].decode("latin-1").strip()


def _description(profile: bytes) -> str | None:
    count = min(struct.unpack_from(">I", profile, 128)[0], MAX_TAGS)
    for index in range(count):
        name, offset, size = struct.unpack_from(">4sII", profile, 132 + 12 * index)
        if name == b"desc":
            return _text(profile[offset : offset + size])
    return None


def _text(tag: bytes) -> str | None:
    if tag[:4] == b"desc":
        length = struct.unpack_from(">I", tag, 8)[0]
        return _clean(tag[12 : 12 + length].decode("latin-1"))
    if tag[:4] == b"mluc":
        records, size = struct.unpack_from(">II", tag, 8)
        if not records or size < 12:
            return None
        length, offset = struct.unpack_from(">II", tag, 20)
        return _clean(tag[offset : offset + length].decode("utf-16-be"))
    if tag[:4] == b"text":
        return _clean(tag[8:].decode("latin-1"))
    return None


def _clean(text: str) -> str | None:
    kept = "".join(letter for letter in text.split("\0")[0] if letter.isprintable())
    return kept.strip() or None
