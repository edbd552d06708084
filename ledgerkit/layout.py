"""Names and places: identifiers to relative paths and back, and which paths are safe. No disk.

Paths are relative to the repository's root, with `/`, and are checked before they are used: by
`written_path` for what we write, by `contained_path` for what we read from others.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache

from ledgerkit.errors import UnsafePath, UsageError

PLATES = "plates_structured"
RUNS = "runs"
LEDGER = "ledger"
SCHEMAS = "schemas"
LOG = "log"
CHECKPOINT = f"{LOG}/checkpoint"
WORKING = ".ledgerkit"
STAGING = f"{WORKING}/staging"
INTENT = f"{WORKING}/intent.json"
LOCK = f"{WORKING}/lock"
REPOSITORY_FILE = "repository.json"
CATALOGUE_FILE = "data.json"
MANIFEST = "manifest.json"
SOURCE = "source"
SOURCE_CHECKSUM = "source.sha256"
CACHE = "cache"
RECORD = "run.json"
RECORD_CHECKSUM = "run.sha256"
COLLECTION = "collection"

PLATE_ID = re.compile(r"plate-([0-9]{3}|[1-9][0-9]{3,})", re.ASCII)
RUN_ID = re.compile(r"run-[0-9]{8}-[0-9]{6}Z-[0-9a-f]{12}", re.ASCII)
_RESERVED = re.compile(
    r"(con|conin\$|conout\$|clock\$|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]) *(\..*)?", re.IGNORECASE
)
_FORBIDDEN = frozenset('<>:"\\|?*') | {chr(code) for code in (*range(32), *range(127, 160))}
_STEERING = frozenset(map(chr, (*range(0x2028, 0x202F), *range(0x2066, 0x206A), 0xFEFF)))
"""Line separators, marks that turn the direction of text, and the byte order mark."""
NOT_UTF8 = "is not valid UTF-8"
MAX_NAME_BYTES = 255
MAX_PATH_BYTES = 1024
"""The longest key of an object in S3; Azure takes as many characters."""
MAX_KEY_CHARACTERS = 4096
"""Normalising a run of combining marks takes time that grows with the square of its length."""
_CHECKSUM_LINE = re.compile(r"\\?([0-9a-fA-F]{64}) [ *](?:\./)?(.+?)\r?\n?", re.ASCII)


def plate_id(number: int) -> str:
    """`plate-007` for 7, `plate-1234` for 1234."""
    if number < 0:
        raise UsageError(f"a plate number cannot be negative: {number}")
    return f"plate-{number:03d}"


def is_plate_id(text: str) -> bool:
    return PLATE_ID.fullmatch(text) is not None


def is_run_id(text: str) -> bool:
    return RUN_ID.fullmatch(text) is not None


def run_id(moment: datetime, task_id: str) -> str:
    """`run-YYYYMMDD-HHMMSSZ-<first 12 hex digits of task_id>`; `moment` in any time zone."""
    return f"run-{moment.astimezone(UTC):%Y%m%d-%H%M%S}Z-{task_id[:12]}"


def run_moment(identifier: str) -> datetime:
    """The second, UTC, that a run id names."""
    return datetime.strptime(identifier[4:20], "%Y%m%d-%H%M%SZ").replace(tzinfo=UTC)


def plate_folder(plate: str) -> str:
    return f"{PLATES}/{plate}"


def run_folder(subject: str, run: str) -> str:
    """Folder of a run: below its plate, or below `runs/` when its subject is the collection."""
    return f"{RUNS}/{run}" if subject == COLLECTION else f"{PLATES}/{subject}/{RUNS}/{run}"


def cache_folder(plate: str, run: str) -> str:
    return f"{PLATES}/{plate}/{CACHE}/{run}"


def cached_in(path: str) -> str | None:
    """The cache folder that a file lies in, from its path; None for every other file."""
    parts = path.split("/")
    cached = len(parts) > 4 and parts[0] == PLATES and parts[2] == CACHE
    return "/".join(parts[:4]) if cached else None


def is_ours(path: str) -> bool:
    """Whether `path` lies where a commit puts something: a plate, a run, a cache, a document, the log.

    Or a single file of one of them, which `restore-source` puts back.
    """
    parts = path.split("/")
    if parts[0] == LOG:
        return len(parts) > 3 and parts[1] == "tile"
    if len(parts) == 1:
        return path in (REPOSITORY_FILE, CATALOGUE_FILE)
    if parts[0] in (SCHEMAS, RUNS):
        return len(parts) == 2 or (parts[0] == RUNS and is_run_id(parts[1]))
    if parts[0] != PLATES or not is_plate_id(parts[1]):
        return False
    if len(parts) == 3:
        return parts[2] in (MANIFEST, SOURCE_CHECKSUM)
    return len(parts) == 2 or parts[2] in (RUNS, CACHE, SOURCE)


def checksum_line(text: str) -> tuple[str, str] | None:
    """Digest and path of the one line of a `sha256sum -c` file; None when it is not one such line."""
    match = _CHECKSUM_LINE.fullmatch(text)
    return (match[1].lower(), match[2]) if match else None


def name_key(name: str) -> str:
    """What two names share when some file system would take one for the other.

    Text that is far too long for a name is its own key: it is never normalised.
    """
    if len(name) > MAX_KEY_CHARACTERS:
        return name
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def shown(name: str) -> str:
    """A name in ASCII, so that two that look alike can be told apart and none steers a terminal."""
    return ascii(name if len(name) <= MAX_PATH_BYTES else f"{name[:MAX_PATH_BYTES]}...")


def twins(names: Iterable[str]) -> list[list[str]]:
    """Groups of names that are one on some file system, each sorted."""
    by_key: dict[str, list[str]] = {}
    for name in names:
        by_key.setdefault(name_key(name), []).append(name)
    return [sorted(same) for same in by_key.values() if len(same) > 1]


def inside_another(paths: Iterable[str]) -> tuple[str, str] | None:
    """A path that would have to be a file and the folder of another; None where there is none."""
    known = set(paths)
    for path in sorted(known):
        above = path.rpartition("/")[0]
        while above:
            if above in known:
                return above, path
            above = above.rpartition("/")[0]
    return None


def contained_path(path: str) -> str:
    """`path` if it stays below the folder it is relative to; names keep their bytes.

    Raises `UnsafePath`.
    """
    if not path or "\0" in path or path.startswith("/"):
        raise UnsafePath(f"not a relative path: {shown(path)}")
    for part in path.split("/"):
        if part in ("", ".", ".."):
            raise UnsafePath(f"path with an empty, '.' or '..' element: {shown(path)}")
        try:
            length = len(part.encode("utf-8", "surrogateescape"))
        except UnicodeEncodeError as error:
            raise UnsafePath(f"path that no file can have: {shown(path)}") from error
        if length > MAX_NAME_BYTES:
            raise UnsafePath(
                f"name of more than {MAX_NAME_BYTES} bytes in path: {shown(path[:80])}..."
            )
    return path


@lru_cache(maxsize=1 << 12)  # the 10,000 parts of a pyramid's paths are mostly a few hundred names
def name_problem(name: str) -> str | None:
    """Why `name` is not good on ext4, APFS, NTFS, S3 and Azure at once; None when it is."""
    try:
        length = len(name[: MAX_NAME_BYTES + 1].encode("utf-8"))
    except UnicodeEncodeError:
        return NOT_UTF8
    if length > MAX_NAME_BYTES:
        return f"has more than {MAX_NAME_BYTES} bytes"
    if unicodedata.normalize("NFC", name) != name:
        return "is not in Unicode normal form NFC"
    if any(character in _FORBIDDEN for character in name):
        return 'holds a control character or one of < > : " \\ | ? *'
    if any(one in _STEERING or unicodedata.category(one) == "Cn" for one in name):
        return "holds a character that is not assigned or turns the direction of text"
    if name.endswith((".", " ")) or name.startswith((" ", "~")):
        return "begins with a space or ~, or ends with a dot or a space"
    if _RESERVED.fullmatch(name):
        return "is a device name on Windows"
    return None


def written_path(path: str) -> str:
    """`path` if it is safe to write on every file system we know of. Raises `UnsafePath`."""
    for part in contained_path(path).split("/"):
        problem = name_problem(part)
        if problem:
            raise UnsafePath(f"the name {shown(part)} {problem}")
    if len(path.encode("utf-8")) > MAX_PATH_BYTES:
        raise UnsafePath(f"path of more than {MAX_PATH_BYTES} bytes: {shown(path[:80])}...")
    return path


def select_plates(selection: str, known: list[str]) -> list[str]:
    """Plate ids that a selection like `plate-001,plate-010..020,30..` names, in the order of `known`.

    Raises `UsageError` for a term that is not understood or names no known plate.
    """
    numbers = {plate: int(plate.removeprefix("plate-")) for plate in known}
    chosen: set[str] = set()
    for term in selection.split(","):
        match = re.fullmatch(r"\s*(?:plate-)?([0-9]{1,16})(\.\.(?:plate-)?([0-9]{0,16}))?\s*", term)
        if not match:
            raise UsageError(
                f"not a plate selection: {term!r}", "Write it like plate-001,plate-010..020"
            )
        first = int(match[1])
        last = (
            first
            if match[2] is None
            else int(match[3])
            if match[3]
            else max(numbers.values(), default=first)
        )
        found = {plate for plate, number in numbers.items() if first <= number <= last}
        if not found:
            raise UsageError(f"no plate in the repository matches {term.strip()!r}")
        chosen |= found
    return [plate for plate in known if plate in chosen]


def selection(plates: list[str], known: list[str]) -> list[str]:
    """The terms of a selection that names just `plates`, in the order of `known`, which are sorted.

    What follows each other is one term, as plate-010..020. Plates that are not known have none.
    """
    wanted = set(plates)
    rows: list[list[str]] = [[]]
    for plate in known:
        if plate in wanted:
            rows[-1].append(plate)
        elif rows[-1]:
            rows.append([])
    return [
        row[0] if len(row) == 1 else f"{row[0]}..{row[-1].removeprefix('plate-')}"
        for row in rows
        if row
    ]


def sort_plates(plates: list[str]) -> list[str]:
    """Plate ids in the order of their numbers."""
    return sorted(plates, key=lambda plate: (len(plate), plate))
