"""A catalogue of plates, JSON or CSV: read its entries and say what is odd about them. No images.

An entry has `plate`, `name`, `slug`, `fileName`, `download`; everything else is kept verbatim as
metadata. A slug is held against its title as the Audubon catalogue makes slugs: the leading words
of the title, without small words, apostrophes and case.
"""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise
from typing import Any

from ledgerkit import layout
from ledgerkit.canonical import (
    MAX_SAFE_INTEGER,
    OF_THE_USER,
    canonical_bytes,
    parse_json,
    refuse_unsafe_numbers,
)
from ledgerkit.errors import InvalidRecord
from ledgerkit.findings import Finding, finding
from ledgerkit.labelling import ALIASES

_SMALL_WORDS = frozenset({"a", "an", "and", "in", "of", "on", "or", "the", "to"})
_FOLDED = str.maketrans(
    {
        "æ": "ae",
        "œ": "oe",
        "ø": "o",
        "ł": "l",
        "đ": "d",
        "'": "",
        "’": "",
        "‘": "",
        "ʼ": "",
        "`": "",
    }
)
_SHORTEST_SHIFT = 3
_LONGEST_TITLE = 1000
"""Characters of a title that are compared: normalising and matching grow with their square."""


@dataclass(frozen=True)
class Entry:
    """One catalogue entry: what identifies the plate, and all of it as it came."""

    plate: int
    name: str
    slug: str
    file_name: str | None
    download: str | None
    verbatim: dict[str, Any]

    @property
    def plate_id(self) -> str:
        return layout.plate_id(self.plate)


def read_catalogue(data: bytes, name: str) -> tuple[list[Entry], list[Finding]]:
    """Entries of a catalogue file, and a finding for each that cannot be used.

    Raises `InvalidRecord` when the file is no catalogue at all.
    """
    rows = (
        csv_rows(data, name) if name.lower().endswith((".csv", ".tsv")) else _json_rows(data, name)
    )
    entries: list[Entry] = []
    findings: list[Finding] = []
    for place, row in enumerate(rows, 1):
        problem = _problem(row)
        if problem:
            findings.append(finding("ENTRY_INVALID", f"entry {place}", problem))
        else:
            entries.append(_entry(row))
    return entries, findings


def _json_rows(data: bytes, name: str) -> list[Any]:
    value = parse_json(
        data.removeprefix(b"\xef\xbb\xbf"), name, lone_surrogates=True, hint=OF_THE_USER
    )
    if isinstance(value, dict):
        lists = [item for item in value.values() if isinstance(item, list)]
        value = lists[0] if len(lists) == 1 else value
    if not isinstance(value, list):
        raise InvalidRecord(
            f"{name} is no catalogue: expected a JSON list of entries",
            "Give a list of {plate, name, slug, fileName, download}.",
        )
    return value


def csv_rows(data: bytes, name: str) -> list[Any]:
    """Rows of comma, semicolon or tab separated text, whichever its first line has most of."""
    try:
        text = data.decode("utf-8-sig")
        delimiter = max(",;\t", key=text.partition("\n")[0].count)
        rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidRecord(
            f"{name} is no catalogue: {error}", "Save it as CSV in UTF-8, or as JSON."
        ) from error
    return [{key: value for key, value in row.items() if key} for row in rows]


def _field(row: dict[str, Any], name: str) -> Any:
    return next((row[alias] for alias in ALIASES[name] if row.get(alias) not in (None, "")), None)


def _problem(row: Any) -> str | None:
    if not isinstance(row, dict):
        return "it is not an object"
    number = _field(row, "plate")
    if (
        number is None
        or not re.fullmatch(r"[0-9]+", str(number).strip())
        or isinstance(number, bool)
    ):
        return f"plate is {json.dumps(number)}, not a whole number"
    if not isinstance(_field(row, "name"), str):
        return "it has no name"
    for name in ("slug", "fileName", "download"):
        if not isinstance(_field(row, name), (str, type(None))):
            return f"{name} is not text"
    if len(str(number).strip()) > 16 or int(str(number).strip()) > MAX_SAFE_INTEGER:
        return f"plate is larger than {MAX_SAFE_INTEGER}"
    try:
        canonical_bytes(row)
        refuse_unsafe_numbers(row, "a value")
    except InvalidRecord as error:
        return str(error)
    return None


def _entry(row: dict[str, Any]) -> Entry:
    name = str(_field(row, "name"))
    slug = _field(row, "slug")
    return Entry(
        int(str(_field(row, "plate")).strip()),
        name,
        slug if slug is not None else "-".join(words(name) or _small(name)),
        _field(row, "fileName"),
        _field(row, "download"),
        row,
    )


def words(text: str) -> list[str]:
    """The words that count: folded, without accents and apostrophes, no small ones."""
    folded = text[:_LONGEST_TITLE].casefold()
    parts = unicodedata.normalize("NFKD", folded).translate(_FOLDED)
    plain = "".join(one for one in parts if not unicodedata.combining(one))
    return [word for word in re.findall(r"[^\W_]+", plain) if word not in _SMALL_WORDS]


def agrees(title: str, slug: str) -> bool:
    """Whether `slug` is made of the leading words of `title`, however it parts them."""
    wanted = "".join(words(slug))
    if not wanted and not words(title):  # nothing but small words, as "A" or "To the"
        return bool(slug.strip()) and _small(title) == _small(slug)
    grown = ""
    for word in words(title):
        grown += word
        if grown == wanted:
            return True
    return False


def _small(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.casefold())


def _resembles(title: str, slug: str) -> bool:
    of_slug = words(slug)
    leading = "".join(words(title)[: len(of_slug)])
    return (
        agrees(title, slug)
        or SequenceMatcher(None, leading, "".join(of_slug), autojunk=False).ratio() >= 0.85
    )


def check_entries(entries: list[Entry]) -> list[Finding]:
    """Everything odd about the entries among themselves: numbers, gaps, slugs, shifted titles."""
    return [*_check_numbers(entries), *_check_slugs(entries), *_check_titles(entries)]


def _check_numbers(entries: list[Entry]) -> Iterator[Finding]:
    by_number: dict[int, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_number[entry.plate].append(entry)
    for number, same in sorted(by_number.items()):
        if len(same) > 1:
            yield finding("PLATE_NUMBER_DUPLICATE", layout.plate_id(number), len(same))
    numbers = sorted(by_number)
    for before, after in pairwise(numbers):
        if after - before > 1:
            missing = str(before + 1) if after - before == 2 else f"{before + 1} to {after - 1}"
            yield finding("PLATE_NUMBER_GAP", layout.plate_id(before + 1), missing)


def _check_slugs(entries: list[Entry]) -> Iterator[Finding]:
    by_slug: dict[str, list[int]] = defaultdict(list)
    for entry in entries:
        by_slug[layout.name_key(entry.slug)].append(entry.plate)
    for slug, numbers in sorted(by_slug.items()):
        if len(numbers) > 1:
            yield finding(
                "SLUG_DUPLICATE", slug or "(empty slug)", ", ".join(map(str, sorted(numbers)))
            )


def _check_titles(entries: list[Entry]) -> Iterator[Finding]:
    ordered = sorted(entries, key=lambda one: (one.plate, one.slug, one.name, one.file_name or ""))
    found = [(first, last, "before") for first, last in shifted_titles(ordered)]
    backwards = shifted_titles(ordered[::-1])
    end = len(ordered) - 1
    found += [(end - last, end - first, "after") for first, last in reversed(backwards)]
    shifted: set[int] = set()
    for first, last, side in found:
        if not shifted.isdisjoint(range(first, last + 1)):
            continue
        one, other = ordered[first], ordered[last]
        detail = f"{one.plate} to {other.plate} are those of the plate {side}"
        yield finding("TITLES_SHIFTED", f"{one.plate_id}..{other.plate_id}", detail)
        shifted.update(range(first, last + 1))
    for place, entry in enumerate(ordered):
        if place not in shifted and not agrees(entry.name, entry.slug):
            detail = f"{entry.name!r}: slug {entry.slug!r}"
            yield finding("SLUG_TITLE_DISAGREE", entry.plate_id, detail)


def shifted_titles(ordered: list[Entry]) -> list[tuple[int, int]]:
    """Runs of places, inclusive, in which each title belongs to the entry before.

    Within a run every title disagrees with its own slug, and from the second on it agrees with the
    slug of the place before. Shorter runs than three are no shift but single errors.
    """
    runs: list[tuple[int, int]] = []
    place = 0
    while place < len(ordered):
        last = place
        if not _resembles(ordered[place].name, ordered[place].slug):
            while last + 1 < len(ordered) and _is_slipped(ordered[last], ordered[last + 1]):
                last += 1
        if last - place + 1 >= _SHORTEST_SHIFT:
            runs.append((place, last))
        place = last + 1
    return runs


def _is_slipped(before: Entry, entry: Entry) -> bool:
    """Whether the title is not that of the entry but that of the one before."""
    return not _resembles(entry.name, entry.slug) and _resembles(entry.name, before.slug)
