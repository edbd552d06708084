"""The sealed log, derived anew: leaves from entries, every tile of every level, the root, stray files.

Formats: RFC 6962 (hashing), C2SP tlog-tiles (tiles and bundles), C2SP tlog-checkpoint. Nothing of what
appends to the log is used here, only the hash functions of `merkle`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from ledgerkit import layout, merkle
from ledgerkit.errors import LedgerkitError, MissingInput
from ledgerkit.held import Folder
from ledgerkit.merkle import HASH_BYTES, TILE_WIDTH, Checkpoint
from ledgerkit.reading import Tree
from ledgerkit.verify.documents import RAISES, Broken
from ledgerkit.verify.files import Checker
from ledgerkit.verify.plan import FULL, UNREAD

ORIGIN = "ledgerkit/"
_LARGEST = TILE_WIDTH * (merkle.MAX_ENTRY_BYTES + 2)
_ENTRY_PATH = re.compile(
    rf"(?:{layout.PLATES}/(?P<plate>{layout.PLATE_ID.pattern})/)?"
    rf"(?:(?P<manifest>manifest\.json)|runs/(?P<run>{layout.RUN_ID.pattern})/run\.json)",
    re.ASCII,
)
_WIDTH = re.compile(r"[1-9][0-9]{0,2}", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
Place = tuple[int, int, int]
"""Level, number and width of a tile."""


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """One entry: canonical JSON of kind, path and SHA-256."""

    kind: Literal["manifest", "run"]
    path: str
    sha256: str


_decoder = msgspec.json.Decoder(Entry)
_encoder = msgspec.json.Encoder(order="sorted")


@dataclass
class Bundle:
    """One bundle of entries: what it names, its leaf hashes, its bytes."""

    path: str
    index: int
    width: int
    entries: list[tuple[Entry, str, str]] = field(default_factory=list)
    """Each entry, with the subject and name (run id or `manifest.json`) that it is about."""
    leaves: list[bytes] | None = None
    size: int = 0


@dataclass
class LogFacts:
    """What the log says, and how far it could be read."""

    checkpoint: Checkpoint | None = None
    bundles: list[Bundle] = field(default_factory=list)
    levels: list[list[bytes]] = field(default_factory=list)
    """Hashes of each level of tiles, derived from the leaves."""
    whole: bool = True
    """Whether every entry could be read and counts."""
    logged: dict[str, dict[str, str]] = field(default_factory=dict)
    """SHA-256 by subject and run id, or `manifest.json`."""
    order: list[str] = field(default_factory=list)
    """Runs of the collection as they were logged."""

    @property
    def size(self) -> int:
        return self.checkpoint.size if self.checkpoint else 0

    def counts(self, size: int) -> tuple[int, int]:
        """Manifests and runs among the first `size` entries."""
        kinds = [entry.kind for bundle in self.bundles for entry, _, _ in bundle.entries]
        return kinds[:size].count("manifest"), kinds[:size].count("run")

    def root(self, size: int) -> bytes:
        """Root over the first `size` leaves."""
        return merkle.root_hash(size, self._node)

    def _node(self, level: int, index: int) -> bytes:
        row = self.levels[level // 8]
        width = 1 << level % 8
        return merkle.complete_root(row[index * width : (index + 1) * width])


def read_checkpoint(tree: Tree, checker: Checker) -> Checkpoint | None:
    """The checkpoint on disk; None without one, or with a finding where it is none."""
    try:
        data = tree.read(layout.CHECKPOINT, max_bytes=1 << 16)
    except MissingInput:
        return None
    except RAISES as error:
        checker.wrong("LOG_INVALID", layout.CHECKPOINT, error, UNREAD, 0, None)
        return None
    try:
        found = merkle.parse_checkpoint(data.decode())
        if found.text().encode() != data:
            raise Broken("it is more than three lines")
    except RAISES as error:
        checker.wrong("LOG_INVALID", layout.CHECKPOINT, error, FULL, len(data), None)
        return None
    return found


def check_log(tree: Tree, checker: Checker, repository_id: str | None) -> LogFacts:
    """Read the whole log and derive it anew; findings that name the damaged file."""
    facts = LogFacts(read_checkpoint(tree, checker))
    if facts.checkpoint is None:
        facts.whole = not checker.found.findings
        _strays(tree, checker, facts, {})
        return facts
    if repository_id is not None and facts.checkpoint.origin != ORIGIN + repository_id:
        said = f"it says {facts.checkpoint.origin!r}, the repository is {repository_id}"
        checker.add("LOG_INVALID", layout.CHECKPOINT, said)
    for index in range(-(-facts.size // TILE_WIDTH)):
        bundle = _bundle(tree, checker, index, facts.size)
        tile = f"{layout.LOG}/{merkle.tile_path('0', index, bundle.width)}"
        if bundle.leaves is None and not tree.exists(tile):
            # Of a log that is said to be larger than it is, nothing can be derived.
            said = f"it says {facts.size} entries, and the log ends before entry {index * TILE_WIDTH + bundle.width}"
            checker.add("LOG_INVALID", layout.CHECKPOINT, said)
            facts.whole = False
            facts.bundles, facts.levels = [], []
            return facts
        facts.bundles.append(bundle)
    tiles = _tile_places(facts.size)
    held = {path: _tile(tree, checker, path, place[2]) for path, place in tiles.items()}
    _derive(checker, facts, held)
    for path, (level, index, width) in tiles.items():
        start = index * TILE_WIDTH
        _compare_tile(checker, path, held[path], facts.levels[level][start : start + width])
    _strays(tree, checker, facts, tiles)
    for bundle in facts.bundles:
        _take_in(checker, facts, bundle)
    return facts


def _bundle(tree: Tree, checker: Checker, index: int, size: int) -> Bundle:
    """Entries of one bundle; where they cannot be read, its leaves are left open."""
    width = min(TILE_WIDTH, size - index * TILE_WIDTH)
    found = Bundle(f"{layout.LOG}/{merkle.tile_path('entries', index, width)}", index, width)
    try:
        data = tree.read(found.path, max_bytes=_LARGEST)
        found.size = len(data)
        parts = merkle.unpack_entries(data)
        if len(parts) != width:
            raise Broken(f"it holds {len(parts)} entries, not {width}")
        found.entries = [_entry(part) for part in parts]
        found.leaves = [merkle.leaf_hash(part) for part in parts]
    except RAISES as error:
        checker.wrong("LOG_INVALID", found.path, error, UNREAD, found.size, None)
    return found


def _entry(data: bytes) -> tuple[Entry, str, str]:
    """An entry, and the subject and name that it is about."""
    entry = _decoder.decode(data)
    match = _ENTRY_PATH.fullmatch(entry.path)
    if _encoder.encode(entry) != data or not _SHA256.fullmatch(entry.sha256):
        raise Broken("an entry is not in canonical form")
    if match is None or (match["run"] is None) != (entry.kind == "manifest"):
        raise Broken(f"an entry names {entry.path!r} as a {entry.kind}")
    if match["run"] is None and match["plate"] is None:
        raise Broken(f"an entry names {entry.path!r}")
    return entry, match["plate"] or layout.COLLECTION, match["run"] or layout.MANIFEST


def _tile_places(size: int) -> dict[str, Place]:
    """Path of every tile of a tree of this size, with its level, number and width."""
    found: dict[str, Place] = {}
    level = 0
    while count := size >> 8 * level:
        for index in range(-(-count // TILE_WIDTH)):
            width = min(TILE_WIDTH, count - index * TILE_WIDTH)
            path = f"{layout.LOG}/{merkle.tile_path(str(level), index, width)}"
            found[path] = (level, index, width)
        level += 1
    return found


def _tile(tree: Tree, checker: Checker, path: str, width: int) -> list[bytes] | None:
    """Hashes of a tile; None with a finding where it is missing or none."""
    try:
        data = tree.read(path, max_bytes=TILE_WIDTH * HASH_BYTES)
        hashes = list(merkle.split_tile(data))
        if len(hashes) != width:
            raise Broken(f"it holds {len(hashes)} hashes, not {width}")
    except RAISES as error:
        checker.wrong("LOG_INVALID", path, error, UNREAD, 0, None)
        return None
    return hashes


def _compare_tile(
    checker: Checker, path: str, held: list[bytes] | None, derived: list[bytes]
) -> None:
    if held is None:
        return
    if held != derived:
        said = "its hashes are not those of the entries"
        checker.wrong("LOG_INVALID", path, said, FULL, len(held) * HASH_BYTES, None)
    else:
        checker.count(path, FULL, len(held) * HASH_BYTES, None)


def _derive(checker: Checker, facts: LogFacts, held: dict[str, list[bytes] | None]) -> None:
    """Derive all levels from the leaves, and find out which of entries, tiles and checkpoint is wrong.

    Where a bundle and its tile disagree, the one that leads to the checkpoint's root is right.
    """
    assert facts.checkpoint is not None
    tiles = [
        held[f"{layout.LOG}/{merkle.tile_path('0', bundle.index, bundle.width)}"]
        for bundle in facts.bundles
    ]
    pairs = list(zip(facts.bundles, tiles, strict=True))
    unknown = [b"\0" * HASH_BYTES]
    by_entries = [bundle.leaves or tile or unknown * bundle.width for bundle, tile in pairs]
    by_tiles = [tile or bundle.leaves or unknown * bundle.width for bundle, tile in pairs]
    wanted = facts.checkpoint.root
    facts.levels = _levels([leaf for leaves in by_entries for leaf in leaves])
    led_by_entries = facts.root(facts.size) == wanted
    if led_by_entries:
        return
    if by_tiles != by_entries:
        facts.levels = _levels([leaf for leaves in by_tiles for leaf in leaves])
        led_by_tiles = facts.root(facts.size) == wanted
        for bundle, tile in pairs:
            if tile is not None and bundle.leaves is not None and tile != bundle.leaves:
                said = "its entries are not those that the tiles were made of"
                checker.wrong("LOG_INVALID", bundle.path, said, FULL, bundle.size, None)
                bundle.leaves = None
        if led_by_tiles:
            return
    said = "its root is not that of the entries"
    checker.add("LOG_INVALID", layout.CHECKPOINT, said)


def _levels(leaves: list[bytes]) -> list[list[bytes]]:
    levels = [leaves]
    while len(levels[-1]) >= TILE_WIDTH:
        row = levels[-1]
        levels.append(
            [
                merkle.complete_root(row[start : start + TILE_WIDTH])
                for start in range(0, len(row) - TILE_WIDTH + 1, TILE_WIDTH)
            ]
        )
    return levels


def _take_in(checker: Checker, facts: LogFacts, bundle: Bundle) -> None:
    """What the entries of a bundle say, where its leaves lead to the root."""
    if bundle.leaves is None:
        facts.whole = False
        bundle.entries = []
        return
    checker.count(bundle.path, FULL, bundle.size, None)
    for entry, subject, name in bundle.entries:
        kept = facts.logged.setdefault(subject, {})
        if name in kept:
            checker.add("LOG_INVALID", bundle.path, f"{entry.path} stands in the log twice")
        kept[name] = entry.sha256
        if subject == layout.COLLECTION:
            facts.order.append(name)


def _strays(tree: Tree, checker: Checker, facts: LogFacts, tiles: dict[str, Place]) -> None:
    """Every other file in `log/`: an earlier partial tile is a beginning of a later one, or a stray."""
    accounted = {bundle.path for bundle in facts.bundles} | tiles.keys() | {layout.CHECKPOINT}
    if facts.checkpoint is not None:
        size = len(facts.checkpoint.text())
        if not any(one.subject == layout.CHECKPOINT for one in checker.found.findings):
            checker.count(layout.CHECKPOINT, FULL, size, None)
    partial = {path.rpartition("/")[0]: path for path in accounted if ".p/" in path}

    def other(folder: Folder, name: str, path: str, is_file: bool) -> None:
        if path in accounted and is_file:
            return
        former = partial.get(folder.path)
        beginning = _beginning(facts, tiles, former, name) if former and is_file else None
        if beginning is None or checker.plan.is_pending(path):
            checker.unlisted(folder, name, path, is_file)
            return
        try:
            data = folder.read(name, _LARGEST)
            hashes = data if former in tiles else _hashed(data)
        except RAISES as error:
            checker.wrong("LOG_INVALID", path, error, UNREAD, 0, None)
            return
        if hashes != beginning:
            said = "it is no beginning of the tile that came after it"
            checker.wrong("LOG_INVALID", path, said, FULL, len(data), None)
        else:
            checker.count(path, FULL, len(data), None)

    try:
        with tree.folder(layout.LOG) as folder:
            checker.tree(folder, {}, other)
    except MissingInput:
        return
    except (LedgerkitError, OSError) as error:
        checker.add("PATH_UNREADABLE", layout.LOG, error)


def _hashed(bundle: bytes) -> bytes:
    """Leaf hashes of the entries of a bundle."""
    return b"".join(map(merkle.leaf_hash, merkle.unpack_entries(bundle)))


def _beginning(facts: LogFacts, tiles: dict[str, Place], former: str, name: str) -> bytes | None:
    """Hashes in an earlier partial tile, or of the entries in an earlier partial bundle.

    `former` is the present one of the same place.
    """
    if not _WIDTH.fullmatch(name):
        return None
    width = int(name)
    if former in tiles:
        level, index, present = tiles[former]
        start = index * TILE_WIDTH
        hashes = facts.levels[level][start : start + width]
        return b"".join(hashes) if width < present else None
    bundle = facts.bundles[-1]
    if bundle.path != former or width >= bundle.width:
        return None
    start = bundle.index * TILE_WIDTH
    return b"".join(facts.levels[0][start : start + width])


def compare_checkpoint(checker: Checker, facts: LogFacts, given: Checkpoint) -> None:
    """Whether the log still contains, unchanged, all that a checkpoint from elsewhere saw."""
    here = facts.checkpoint
    if here is None or here.size < given.size:
        size = here.size if here else 0
        said = f"it has {size} entries, {given.size} were seen"
        checker.add("ROLLED_BACK", layout.LOG, said)
    elif here.origin != given.origin:
        said = f"the checkpoint is of {given.origin}, this log is {here.origin}"
        checker.add("CHECKPOINT_DISAGREES", layout.LOG, said)
    elif not facts.levels or facts.root(given.size) != given.root:
        said = f"the first {given.size} entries lead to another root"
        checker.add("CHECKPOINT_DISAGREES", layout.LOG, said)
