"""The Merkle tree of the sealed log: hashes, tiles, proofs and checkpoints. Pure: no disk, no clock.

Hashing and proofs are those of RFC 6962, section 2.1 (the same in RFC 9162, section 2.1); tiles and
bundles of entries are laid out as C2SP tlog-tiles says, checkpoints are C2SP tlog-checkpoint text.
All hashes are 32 bytes of SHA-256.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from ledgerkit.errors import LedgerkitError

TILE_WIDTH = 256
"""Hashes in a full tile, entries in a full bundle (tlog-tiles, "Merkle Tree")."""
MAX_ENTRY_BYTES = 65_535
"""An entry's length is written as a big-endian uint16 (tlog-tiles, "Log entries")."""
HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256().digest()

Node = Callable[[int, int], bytes]
"""`node(level, index)`: hash of the complete subtree over the leaves [index << level, (index + 1) << level)."""


class ProofInvalid(LedgerkitError):
    """A proof, checkpoint or tile that does not prove what it claims."""


def leaf_hash(entry: bytes) -> bytes:
    """SHA-256(0x00 || entry)."""
    return hashlib.sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\1" + left + right).digest()


def subtree_hash(start: int, end: int, node: Node) -> bytes:
    """MTH(D[start:end]) of RFC 6962, where `start` is where a subtree of that size may begin."""
    count = end - start
    if count & (count - 1) == 0 and start % count == 0:
        level = count.bit_length() - 1
        return node(level, start >> level)
    split = start + _split(count)
    return node_hash(subtree_hash(start, split, node), subtree_hash(split, end, node))


def root_hash(size: int, node: Node) -> bytes:
    """Root of the tree over the first `size` leaves."""
    return EMPTY_ROOT if size == 0 else subtree_hash(0, size, node)


def root_of(leaves: Sequence[bytes]) -> bytes:
    """Root over leaf hashes that are all at hand."""
    edge = Edge()
    edge.append(leaves)
    return edge.root()


def inclusion_proof(index: int, size: int, node: Node) -> list[bytes]:
    """PATH(index, D[size]): the siblings from the leaf to the root. Raises `ProofInvalid`."""
    if not 0 <= index < size:
        raise ProofInvalid(f"entry {index} is not in a tree of {size}")
    return _path(index, 0, size, node)


def _path(index: int, start: int, end: int, node: Node) -> list[bytes]:
    if end - start == 1:
        return []
    split = start + _split(end - start)
    if index < split:
        return [*_path(index, start, split, node), subtree_hash(split, end, node)]
    return [*_path(index, split, end, node), subtree_hash(start, split, node)]


def consistency_proof(old: int, new: int, node: Node) -> list[bytes]:
    """PROOF(old, D[new]): that the first `old` leaves are a prefix. Raises `ProofInvalid`."""
    if not 0 <= old <= new:
        raise ProofInvalid(f"a tree of {old} is no prefix of one of {new}")
    return [] if old in (0, new) else _subproof(old, 0, new, True, node)


def _subproof(old: int, start: int, end: int, whole: bool, node: Node) -> list[bytes]:
    if old == end:
        return [] if whole else [subtree_hash(start, end, node)]
    split = start + _split(end - start)
    if old <= split:
        return [*_subproof(old, start, split, whole, node), subtree_hash(split, end, node)]
    return [*_subproof(old, split, end, False, node), subtree_hash(start, split, node)]


def _split(count: int) -> int:
    """The largest power of two smaller than `count`."""
    return 1 << ((count - 1).bit_length() - 1)


def check_inclusion(
    index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes
) -> None:
    """Raise `ProofInvalid` unless the proof shows the leaf at `index` in the tree (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        raise ProofInvalid(f"entry {index} is not in a tree of {size}")
    if len(leaf) != HASH_BYTES:
        raise ProofInvalid(f"a leaf hash has {HASH_BYTES} bytes, not {len(leaf)}")
    place, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise ProofInvalid("the inclusion proof is too long")
        if place & 1 or place == last:
            found = node_hash(sibling, found)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        place, last = place >> 1, last >> 1
    if last != 0:
        raise ProofInvalid("the inclusion proof is too short")
    if found != root:
        raise ProofInvalid("the inclusion proof leads to another root")


def check_consistency(
    old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes
) -> None:
    """Raise `ProofInvalid` unless the proof shows `old` as a prefix of `new` (RFC 9162, 2.1.4.2)."""
    if not 0 <= old <= new:
        raise ProofInvalid(f"a tree of {old} is no prefix of one of {new}")
    if old in (0, new):
        if proof:
            raise ProofInvalid("the consistency proof is too long")
        if old_root != (EMPTY_ROOT if old == 0 else new_root):
            raise ProofInvalid("the roots differ")
        if new == 0 and new_root != EMPTY_ROOT:
            raise ProofInvalid("the root of an empty tree is another")
        return
    steps = list(proof) if old & (old - 1) else [old_root, *proof]
    if not steps:
        raise ProofInvalid("the consistency proof is too short")
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    found_old = found_new = steps[0]
    for sibling in steps[1:]:
        if last == 0:
            raise ProofInvalid("the consistency proof is too long")
        if place & 1 or place == last:
            found_old, found_new = node_hash(sibling, found_old), node_hash(sibling, found_new)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            found_new = node_hash(found_new, sibling)
        place, last = place >> 1, last >> 1
    if last != 0:
        raise ProofInvalid("the consistency proof is too short")
    if found_old != old_root or found_new != new_root:
        raise ProofInvalid("the consistency proof leads to other roots")


@dataclass(frozen=True, slots=True)
class Tile:
    """Hashes of one tile: level `level`, number `index`, 1 to 256 of them."""

    level: int
    index: int
    hashes: tuple[bytes, ...]

    @property
    def path(self) -> str:
        return tile_path(str(self.level), self.index, len(self.hashes))


@dataclass
class Edge:
    """The right edge of a tiled tree: all that appending needs to know.

    `levels[l]` are the hashes of the rightmost tile of level l that is not full: 0 to 255.
    """

    size: int = 0
    levels: list[list[bytes]] = field(default_factory=list)

    def append(self, leaves: Iterable[bytes]) -> list[Tile]:
        """Add leaf hashes; the tiles that became full, then those that are partial and changed."""
        full: list[Tile] = []
        before = self.size
        waiting = list(leaves)
        place = 0
        while place < len(waiting):
            taken = waiting[place : place + TILE_WIDTH - self.size % TILE_WIDTH]
            self.size += len(taken)
            place += len(taken)
            self._add(0, taken, full)
        partial = [
            Tile(level, self.size >> 8 * (level + 1), tuple(hashes))
            for level, hashes in enumerate(self.levels)
            if hashes and self.size >> 8 * level != before >> 8 * level
        ]
        return full + partial

    def _add(self, level: int, values: list[bytes], full: list[Tile]) -> None:
        """Add hashes that fit into the rightmost tile of a level."""
        if level == len(self.levels):
            self.levels.append([])
        hashes = self.levels[level]
        hashes += values
        if len(hashes) == TILE_WIDTH:
            index = (self.size >> 8 * (level + 1)) - 1
            full.append(Tile(level, index, tuple(hashes)))
            self.levels[level] = []
            self._add(level + 1, [complete_root(hashes)], full)

    def root(self) -> bytes:
        """Root of the whole tree."""
        peaks: list[bytes] = []
        for hashes in reversed(self.levels):
            start = 0
            for bit in reversed(range(8)):
                if len(hashes) >> bit & 1:
                    peaks.append(complete_root(hashes[start : start + (1 << bit)]))
                    start += 1 << bit
        if not peaks:
            return EMPTY_ROOT
        found = peaks.pop()
        while peaks:
            found = node_hash(peaks.pop(), found)
        return found


def complete_root(hashes: Sequence[bytes]) -> bytes:
    """Root over a power of two of hashes of one level."""
    row = list(hashes)
    while len(row) > 1:
        row = [node_hash(row[place], row[place + 1]) for place in range(0, len(row), 2)]
    return row[0]


def edge_tiles(size: int) -> list[tuple[int, int, int]]:
    """Level, number and width of each partial tile of a tree: what an `Edge` is read from."""
    found = []
    for level in range((max(size, 1).bit_length() + 7) // 8):
        width = size >> 8 * level & 255
        if width:
            found.append((level, size >> 8 * (level + 1), width))
    return found


def tile_path(level: str, index: int, width: int = TILE_WIDTH) -> str:
    """`tile/<L>/<N>[.p/<W>]`; `level` is a number, or `entries` for a bundle (tlog-tiles)."""
    digits = f"{index:03d}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[place : place + 3] for place in range(0, len(digits), 3)]
    number = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
    suffix = "" if width == TILE_WIDTH else f".p/{width}"
    return f"tile/{level}/{number}{suffix}"


def pack_entries(entries: Iterable[bytes]) -> bytes:
    """A bundle: each entry behind its length as a big-endian uint16. Raises `ProofInvalid`."""
    parts = []
    for entry in entries:
        if len(entry) > MAX_ENTRY_BYTES:
            raise ProofInvalid(f"an entry of {len(entry)} bytes is too long for a log")
        parts += [len(entry).to_bytes(2, "big"), entry]
    return b"".join(parts)


def unpack_entries(bundle: bytes) -> list[bytes]:
    """Entries of a bundle. Raises `ProofInvalid` when it ends in the middle of one."""
    entries = []
    place = 0
    while place < len(bundle):
        start = place + 2
        place = start + int.from_bytes(bundle[place:start], "big")
        if place > len(bundle) or start > len(bundle):
            raise ProofInvalid("a bundle of entries ends in the middle of one")
        entries.append(bundle[start:place])
    return entries


def split_tile(data: bytes) -> tuple[bytes, ...]:
    """Hashes of a tile. Raises `ProofInvalid` for a size that no tile has."""
    if len(data) % HASH_BYTES or not 0 < len(data) <= TILE_WIDTH * HASH_BYTES:
        raise ProofInvalid(f"a tile of {len(data)} bytes holds no whole number of hashes")
    return tuple(data[place : place + HASH_BYTES] for place in range(0, len(data), HASH_BYTES))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a log: its origin, how many entries it has, the root over them."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The three lines of a C2SP tlog-checkpoint, each closed by a line feed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


_SIZE = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


def parse_checkpoint(text: str) -> Checkpoint:
    """The checkpoint at the beginning of `text`; signatures and extension lines may follow it.

    Raises `ProofInvalid`. It says nothing about signatures: see `note`.
    """
    lines = text.split("\n")
    if len(lines) < 4 or not lines[0] or not _SIZE.fullmatch(lines[1]):
        raise ProofInvalid("not a checkpoint: origin, size and root on a line each are expected")
    try:
        root = base64.b64decode(lines[2], validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProofInvalid(f"not a checkpoint: its root is no base64: {error}") from error
    if len(root) != HASH_BYTES or base64.b64encode(root).decode() != lines[2]:
        raise ProofInvalid("not a checkpoint: its root is no SHA-256 in base64")
    return Checkpoint(lines[0], int(lines[1]), root)
