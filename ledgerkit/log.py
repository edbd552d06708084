"""The sealed log on disk: read it, prove from it, and say what appending to it would write.

`log/` is an append-only Merkle tree over one entry for each manifest and run record, in the layout of
C2SP tlog-tiles, with a checkpoint. Nothing here writes: `grow` gives the new tiles and bundles as
bytes, the store stages them and a commit's intent puts them in place. Entries are held against the
checkpoint's root whenever they are read as an index, so nothing is built on a damaged log.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec

from ledgerkit import layout, merkle
from ledgerkit.errors import (
    LedgerkitError,
    LimitExceeded,
    LogInvalid,
    MissingInput,
    UnsafePath,
)
from ledgerkit.merkle import TILE_WIDTH, Checkpoint, Edge, ProofInvalid
from ledgerkit.reading import Tree

ORIGIN = "ledgerkit/"
"""An origin is this and the repository's UUID: never a place, for repositories move."""
CACHED_TILES = 4096
CACHED_HASHES = 1 << 16
_HINT = "Restore log/ from a replica, and compare it with a checkpoint that is kept elsewhere."
_PATH = re.compile(
    rf"(?:{layout.PLATES}/(?P<plate>{layout.PLATE_ID.pattern})/)?"
    rf"(?:{layout.MANIFEST}|{layout.RUNS}/(?P<run>{layout.RUN_ID.pattern})/{layout.RECORD})",
    re.ASCII,
)


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """One entry of the log: a manifest or a run record by path and SHA-256 of its bytes."""

    kind: Literal["manifest", "run"]
    path: str
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]

    def encode(self) -> bytes:
        """Its canonical JSON: the bytes that are hashed into the tree."""
        return _encoder.encode(self)


_encoder = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder(Entry)


class Logged(msgspec.Struct, frozen=True, gc=False):
    """Where the log has a record or manifest (`run_id` is empty for a manifest)."""

    run_id: str
    index: int
    sha256: str


@dataclass
class LogIndex:
    """All entries of a log by what they are about, in log order, and the edge to append at."""

    edge: Edge = field(default_factory=Edge)
    newest: str = ""
    """The greatest run id of all."""
    _runs: dict[str, dict[str, Logged]] = field(default_factory=dict)
    _manifests: dict[str, Logged] = field(default_factory=dict)
    _subjects: dict[str, str] = field(default_factory=dict)
    _tile_roots: list[bytes] = field(default_factory=list)

    @property
    def size(self) -> int:
        return self.edge.size

    def runs(self, subject: str) -> list[Logged]:
        """The logged runs of a plate or of the collection, in log order."""
        return list(self._runs.get(subject, {}).values())

    def run(self, subject: str, run_id: str) -> Logged | None:
        return self._runs.get(subject, {}).get(run_id)

    def find_run(self, run_id: str) -> tuple[str, Logged] | None:
        """The subject of a run, and where the log has it."""
        subject = self._subjects.get(run_id)
        return None if subject is None else (subject, self._runs[subject][run_id])

    def manifest(self, plate: str) -> Logged | None:
        return self._manifests.get(plate)

    def plates(self) -> list[str]:
        """Plates whose manifest is logged, in the order of their numbers."""
        return layout.sort_plates(list(self._manifests))

    def subjects(self) -> list[str]:
        """Plates, and the collection, that the log has anything of."""
        return list(dict.fromkeys([*self._manifests, *self._runs]))

    def tile_roots(self) -> list[bytes]:
        """Roots of all full bundles, in order, as computed from the entries."""
        return [*self._tile_roots, *(self.edge.levels[1] if len(self.edge.levels) > 1 else ())]

    def add(self, entries: list[bytes]) -> None:
        """Take in the next entries. Raises `LogInvalid` for one that is none or stands twice."""
        for index, data in enumerate(entries, self.size):
            entry = decode_entry(data)
            match = _PATH.fullmatch(entry.path)
            run_id = match["run"] if match else None
            if (
                match is None
                or (entry.kind == "run") != (run_id is not None)
                or not (run_id or match["plate"])
            ):
                raise LogInvalid(
                    f"entry {index} of the log names {entry.path!r} as a {entry.kind}", _HINT
                )
            subject = match["plate"] or layout.COLLECTION
            logged = Logged(run_id or "", index, entry.sha256)
            place = self._manifests if run_id is None else self._runs.setdefault(subject, {})
            key = run_id or subject
            if key in place:
                raise LogInvalid(f"{entry.path} stands in the log twice", _HINT)
            place[key] = logged
            if run_id is not None:
                self._subjects[run_id] = subject
            self.newest = max(self.newest, run_id or "")
        for tile in self.edge.append(map(merkle.leaf_hash, entries)):
            if tile.level == 1 and len(tile.hashes) == TILE_WIDTH:
                self._tile_roots += tile.hashes


def decode_entry(data: bytes) -> Entry:
    """An entry from its bytes. Raises `LogInvalid`."""
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:  # the latter for a key, not a value
        raise LogInvalid(f"an entry of the log cannot be read: {error}", _HINT) from error


class Log:
    """The log of one repository, for reading."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._index = LogIndex()
        self._read: Checkpoint | None = None

    def checkpoint(self) -> Checkpoint | None:
        """The head as `log/checkpoint` states it; None without a log. Raises `LogInvalid`."""
        try:
            data = self._tree.read(layout.CHECKPOINT, max_bytes=1 << 16)
        except MissingInput:
            return None
        except (LimitExceeded, UnsafePath) as error:
            raise LogInvalid(error.message, _HINT) from error
        try:
            return merkle.parse_checkpoint(data.decode())
        except (ProofInvalid, UnicodeDecodeError) as error:
            raise LogInvalid(f"{layout.CHECKPOINT}: {error}", _HINT) from error

    def index(self) -> LogIndex:
        """All entries up to the present checkpoint, held against its root; kept between calls.

        Raises `LogInvalid` when entries and checkpoint disagree, or the log is no longer a
        continuation of what was read before.
        """
        head = self.checkpoint()
        if head == self._read:
            return self._index
        index = self._index
        size = head.size if head else 0
        if size < index.size or (size == index.size and head and index.edge.root() != head.root):
            raise LogInvalid("the log went back while it was read", _HINT)
        try:
            for first in range(index.size // TILE_WIDTH, -(-size // TILE_WIDTH)):
                start = first * TILE_WIDTH
                bundle = self._bundle(first, min(size - start, TILE_WIDTH))
                index.add(bundle[index.size - start :])
        except LedgerkitError:
            self._index, self._read = LogIndex(), None
            raise
        if head and index.edge.root() != head.root:
            self._index, self._read = LogIndex(), None
            raise LogInvalid(
                f"the entries in {layout.LOG}/ do not have the root that {layout.CHECKPOINT} states",
                _HINT,
            )
        self._read = head
        return index

    def index_at(self, size: int) -> LogIndex:
        """The index as it was when the log had `size` entries. Raises `ProofInvalid`, `LogInvalid`."""
        present = self.index()
        if size == present.size:
            return present
        self._size(size)
        index = LogIndex()
        for number in range(-(-size // TILE_WIDTH)):
            index.add(self._held_bundle(present, number)[: size - number * TILE_WIDTH])
        return index

    def _held_bundle(self, index: LogIndex, number: int) -> list[bytes]:
        """A bundle as it lies now, held against the entries that the index was read from."""
        width = min(index.size - number * TILE_WIDTH, TILE_WIDTH)
        bundle = self._bundle(number, width)
        leaves = [merkle.leaf_hash(entry) for entry in bundle]
        if width == TILE_WIDTH:
            same = merkle.complete_root(leaves) == index.tile_roots()[number]
        else:
            same = leaves == index.edge.levels[0]
        if not same:
            path = merkle.tile_path("entries", number, width)
            raise LogInvalid(f"{layout.LOG}/{path} changed after it was read", _HINT)
        return bundle

    def entries(self, start: int = 0, end: int | None = None) -> Iterator[Entry]:
        """Entries `start` to `end` as they lie. Raises `LogInvalid`."""
        head = self.checkpoint()
        size = head.size if head else 0
        last = size if end is None else min(end, size)
        for number in range(start // TILE_WIDTH, -(-last // TILE_WIDTH)):
            first = number * TILE_WIDTH
            bundle = self._bundle(number, min(size - first, TILE_WIDTH))
            for data in bundle[max(start - first, 0) : last - first]:
                yield decode_entry(data)

    def root_at(self, size: int) -> bytes:
        """Root over the first `size` entries, from the entries. Raises `ProofInvalid`, `LogInvalid`.

        Not from the tiles: those may still be what they were when the entries were rewritten.
        """
        self._size(size)
        index = self.index()
        roots = index.tile_roots()
        leaves: dict[int, list[bytes]] = {}

        def node(level: int, number: int) -> bytes:
            if level >= 8:
                start = number << level - 8
                return merkle.complete_root(roots[start : start + (1 << level - 8)])
            bundle, place = divmod(number << level, TILE_WIDTH)
            if bundle not in leaves:
                held = self._held_bundle(index, bundle)
                leaves[bundle] = [merkle.leaf_hash(entry) for entry in held]
            return merkle.complete_root(leaves[bundle][place : place + (1 << level)])

        return merkle.root_hash(size, node)

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """Proof that entry `index` is in the tree of `size`. Raises `ProofInvalid`, `LogInvalid`."""
        return merkle.inclusion_proof(index, size, self.node(self._size(size)))

    def consistency(self, old: int, new: int) -> list[bytes]:
        """Proof that the tree of `old` is a prefix of that of `new`. Raises `ProofInvalid`, `LogInvalid`."""
        return merkle.consistency_proof(old, new, self.node(self._size(new)))

    def _size(self, wanted: int) -> int:
        """The present size, which must not be less than the wanted one."""
        head = self.checkpoint()
        size = head.size if head else 0
        if wanted > size:
            raise ProofInvalid(
                f"the log has {size} entries, {wanted} are asked for",
                "Entries were lost: compare with a replica.",
            )
        return size

    def node(self, size: int) -> merkle.Node:
        """Hashes of complete subtrees, read from the tiles of the tree of `size`."""
        kept: dict[tuple[int, int], tuple[bytes, ...]] = {}
        known: dict[tuple[int, int], bytes] = {}

        def hash_of(level: int, index: int) -> bytes:
            if (level, index) not in known:
                if len(known) >= CACHED_HASHES:
                    known.clear()
                known[level, index] = from_tile(level, index)
            return known[level, index]

        def from_tile(level: int, index: int) -> bytes:
            tile_level, height = divmod(level, 8)
            number, place = divmod(index << height, TILE_WIDTH)
            if (tile_level, number) not in kept:
                if len(kept) >= CACHED_TILES:
                    kept.clear()
                width = min((size >> 8 * tile_level) - number * TILE_WIDTH, TILE_WIDTH)
                kept[tile_level, number] = self._tile(tile_level, number, width)
            return merkle.complete_root(kept[tile_level, number][place : place + (1 << height)])

        return hash_of

    def _tile(self, level: int, number: int, width: int) -> tuple[bytes, ...]:
        hashes = merkle.split_tile(self._file(str(level), number, width))
        return self._whole(hashes[:width], str(level), number, width)

    def _bundle(self, number: int, width: int) -> list[bytes]:
        try:
            entries = merkle.unpack_entries(self._file("entries", number, width))
        except ProofInvalid as error:
            path = merkle.tile_path("entries", number, width)
            raise LogInvalid(f"{layout.LOG}/{path}: {error}", _HINT) from error
        return list(self._whole(tuple(entries[:width]), "entries", number, width))

    def _whole(
        self, found: tuple[bytes, ...], level: str, number: int, width: int
    ) -> tuple[bytes, ...]:
        if len(found) != width:
            path = merkle.tile_path(level, number, width)
            raise LogInvalid(
                f"{layout.LOG}/{path} holds {len(found)} of {width} that belong there", _HINT
            )
        return found

    def _file(self, level: str, number: int, width: int) -> bytes:
        """A tile's bytes; the full tile where the partial one is gone, for it holds the same and more."""
        for path in dict.fromkeys(merkle.tile_path(level, number, w) for w in (width, TILE_WIDTH)):
            try:
                return self._tree.read(f"{layout.LOG}/{path}", max_bytes=TILE_WIDTH << 16)
            except MissingInput:
                continue
        path = merkle.tile_path(level, number, width)
        raise LogInvalid(f"{layout.LOG}/{path} is missing", _HINT)

    def grow(self, origin: str, entries: list[Entry]) -> Growth:
        """What appending `entries` writes. Raises `LogInvalid` when the log is damaged."""
        index = self.index()
        size = index.size
        edge = Edge(size, [list(hashes) for hashes in index.edge.levels])
        data = [entry.encode() for entry in entries]
        tiles = edge.append(map(merkle.leaf_hash, data))
        first, width = divmod(size, TILE_WIDTH)
        data = [*(self._held_bundle(index, first) if width else []), *data]
        files = {tile.path: b"".join(tile.hashes) for tile in tiles}
        superseded = [
            f"{layout.LOG}/{tile.path}.p"
            for tile in tiles
            if len(tile.hashes) == TILE_WIDTH
            and tile.index == size >> 8 * (tile.level + 1)
            and size >> 8 * tile.level & 255
        ]
        for start in range(0, len(data), TILE_WIDTH):
            part = data[start : start + TILE_WIDTH]
            number = first + start // TILE_WIDTH
            files[merkle.tile_path("entries", number, len(part))] = merkle.pack_entries(part)
            if number == first and width and len(part) == TILE_WIDTH:
                superseded.append(f"{layout.LOG}/{merkle.tile_path('entries', number)}.p")
        return Growth(
            self._read.text() if self._read else None,
            Checkpoint(origin, edge.size, edge.root()).text(),
            {f"{layout.LOG}/{path}": content for path, content in files.items()},
            superseded,
        )


def refuse_log_set_back(tree: Tree, size: int) -> None:
    """Raise `LogInvalid` when the ledgers say more entries than the log has.

    Ledgers are made from the log and the log never shrinks: an older `log/` was put back, and what
    is appended to it would be another history.
    """
    path = f"{layout.LEDGER}/ledger.json"
    try:
        stated = msgspec.json.decode(tree.read(path, max_bytes=1 << 20))["log_size"]
    except (LedgerkitError, msgspec.MsgspecError, LookupError, TypeError, UnicodeDecodeError):
        return  # no ledgers that say anything
    if type(stated) is int and stated > size:
        raise LogInvalid(
            f"{path} was built at {stated} entries and the log has {size}: an older log was put back",
            "Restore log/ from a replica that has them all. Only if these ledgers are not of this "
            "repository: move ledger/ away, it is a view.",
        )


@dataclass(frozen=True)
class Growth:
    """A step of the log: checkpoint before and after, new files, and partial tiles that became full."""

    before: str | None
    after: str
    files: dict[str, bytes]
    superseded: list[str]
