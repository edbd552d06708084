"""Plates that show the same picture: exactly by digest, nearly by perceptual hash and vector.

A pair comes with its evidence and the rule that decided, and what pairs join is a group. Everything
is read from the ledgers; nothing is written or removed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from ledgerkit import layout
from ledgerkit.clustering.pairs import Hashed, distances, groups, near_pairs
from ledgerkit.errors import LimitExceeded, MissingInput, UsageError
from ledgerkit.query import Ledgers, Limits, ask
from ledgerkit.repository import Archive

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = dict[int, NDArray[np.float32]]

BYTES, PIXELS, HASH, BOTH = "bytes", "pixels", "hash", "hash and vector"
"""Rules, the surest first; a pair has the first that holds."""
BITS = 256
BITS_ALONE = 56
BITS_CONFIRMED = 68
COSINE = 0.8
"""Chosen on copies of 143 real scans, with `ledgerkit.testing.duplicates`; drawn plates had no say.

For vectors of `embed`: cosines of another space mean something else.
"""
MEASURED_IN = "classical-"
"""How the names of the spaces begin for which `COSINE` was found."""
MAX_PLATES = 50_000
BATCH_ROWS = 4096
_PLATES = "SELECT plate_id, source_sha256 FROM current_plates"
_HASHES = (
    "SELECT plate_id, shown, tone || detail AS hash FROM current_hashes WHERE tone IS NOT NULL"
)
_PIXELS = """
    SELECT t.plate_id, a.pixels_sha256 FROM current_tiles t
    JOIN artifacts a ON a.run_id = t.run_id AND a.sha256 = t.image_sha256
    WHERE t.kind = 'whole' AND a.direction = 'output' AND a.pixels_sha256 IS NOT NULL"""
_SPACES = """
    SELECT space_id, count(*) AS vectors FROM current_embeddings
    WHERE subject_kind = 'plate' GROUP BY space_id ORDER BY space_id"""
_VECTORS = """
    SELECT subject_id, vector FROM current_embeddings
    WHERE subject_kind = 'plate' AND space_id = ?
      AND subject_id IN (SELECT unnest(?::VARCHAR[]))"""


@dataclass(frozen=True)
class PairView:
    """Two plates, the rule that joined them, and what is known of how near they are.

    `distance` is in bits of 256, `cosine` that of their vectors; None where either has none.
    """

    first: str
    second: str
    rule: str
    distance: int | None
    cosine: float | None


@dataclass(frozen=True)
class GroupView:
    """Plates that pairs join, and the pairs."""

    plates: list[str]
    pairs: list[PairView]


@dataclass(frozen=True)
class DuplicatesView:
    """All groups, what was compared, and what could not be."""

    groups: list[GroupView]
    plates: int
    hashed: int
    described: int
    space_id: str | None
    log_size: int | None
    gaps: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Thresholds:
    """From when on two plates are near copies."""

    bits_alone: int = BITS_ALONE
    """Bits in which hashes may differ when nothing else is asked."""
    bits_confirmed: int = BITS_CONFIRMED
    """The same when vectors have at least the cosine `cosine`."""
    cosine: float = COSINE

    def rule(self, distance: int | None, cosine: float | None) -> str | None:
        """Which rule makes a pair with this evidence near copies; None when none does."""
        if distance is None:
            return None
        if distance <= self.bits_alone:
            return HASH
        near = distance <= self.bits_confirmed and cosine is not None and cosine >= self.cosine
        return BOTH if near else None


def duplicates(
    archive: Archive,
    *,
    max_distance: int | None = None,
    min_cosine: float | None = None,
    space: str | None = None,
    limits: Limits | None = None,
) -> DuplicatesView:
    """Groups of plates at work that show the same picture.

    `max_distance` bits (0..256) decide alone, up to 12 more where the cosine of the vectors is at least
    `min_cosine`.

    Raises `MissingInput` without ledgers, `UsageError` for a space that is not there, and for one of
    other vectors than those of `embed` without `min_cosine`, `LimitExceeded` for more plates or pairs than are compared.
    """
    own = Thresholds()
    bits = own.bits_alone if max_distance is None else max_distance
    cosine = own.cosine if min_cosine is None else min_cosine
    confirmed = min(BITS, bits + own.bits_confirmed - own.bits_alone)
    thresholds = Thresholds(bits, confirmed, cosine)
    return ask(archive.tree, lambda ledgers: _look(ledgers, thresholds, space, min_cosine), limits)


def _look(
    ledgers: Ledgers, thresholds: Thresholds, space: str | None, min_cosine: float | None
) -> DuplicatesView:
    rows = ledgers.table(_PLATES).to_pylist()
    digests = {row["plate_id"]: row["source_sha256"] for row in rows}
    plates = layout.sort_plates(list(digests))
    if not plates:
        raise MissingInput("the ledgers hold no plates", "Build them with: ledgerkit consolidate")
    if len(plates) > MAX_PLATES:
        raise LimitExceeded(
            f"{len(plates)} plates are more than max_plates = {MAX_PLATES}: all pairs are compared",
            "Exact copies are found in SQL: ledgerkit query "
            '"SELECT source_sha256, list(plate_id) FROM plates GROUP BY 1 HAVING count(*) > 1"',
        )
    pixels = {row["plate_id"]: row["pixels_sha256"] for row in ledgers.table(_PIXELS).to_pylist()}
    found = dict.fromkeys(_same([digests[plate] for plate in plates]), BYTES)
    for pair in _same([pixels.get(plate) for plate in plates]):
        found.setdefault(pair, PIXELS)
    hashed = _hashed(ledgers, plates)
    near = {(one, two): bits for one, two, bits in near_pairs(hashed, thresholds.bits_confirmed)}
    spaces = {row["space_id"]: row["vectors"] for row in ledgers.table(_SPACES).to_pylist()}
    chosen = chosen_space(spaces, space, min_cosine)
    described = 0 if chosen is None else spaces[chosen]
    vectors = _vectors(ledgers, plates, chosen, {row for pair in [*found, *near] for row in pair})
    pairs = {}
    for first, second in sorted({*found, *near}):
        distance = near.get((first, second), _distance(hashed, first, second))
        cosine = _cosine(vectors, first, second)
        rule = found.get((first, second)) or thresholds.rule(distance, cosine)
        if rule is not None:
            names = plates[first], plates[second]
            pairs[first, second] = PairView(*names, rule, distance, cosine)
    count = int(hashed.known[:, 0].sum())
    return DuplicatesView(
        _grouped(plates, pairs),
        len(plates),
        count,
        described,
        chosen,
        ledgers.document["log_size"] if ledgers.document else None,
        _gaps(len(plates), count, described, list(spaces) if chosen is None else []),
    )


def _same(digests: Sequence[str | None]) -> Iterator[tuple[int, int]]:
    """Rows with one digest, each with the next of them: enough to make them one group."""
    by_digest: dict[str, list[int]] = {}
    for row, digest in enumerate(digests):
        if digest is not None:
            by_digest.setdefault(digest, []).append(row)
    for rows in by_digest.values():
        yield from pairwise(rows)


def _hashed(ledgers: Ledgers, plates: list[str]) -> Hashed:
    """The hashes of all plates, in their order."""
    import numpy as np

    from ledgerkit.imaging.phash import BITS, windows

    columns = {name: place for place, name in enumerate(windows())}
    rows = {plate: place for place, plate in enumerate(plates)}
    words = np.zeros((len(plates), len(columns), 2 * BITS // 64), dtype=np.uint64)
    known = np.zeros(words.shape[:2], dtype=np.bool_)
    for batch in ledgers.batches(_HASHES, None, 1 << 16):
        for row in batch.to_pylist():
            if row["plate_id"] in rows:
                at = rows[row["plate_id"]], columns[row["shown"]]
                words[at], known[at] = np.frombuffer(bytes.fromhex(row["hash"]), np.uint64), True
    return Hashed(words, known)


def chosen_space(
    counts: dict[str, int], wanted: str | None, min_cosine: float | None
) -> str | None:
    """The space of plates to compare in, by the number of vectors of each; None where there is none.

    Without a wish it is the one with most vectors, of equals the first by name; without `min_cosine`
    only spaces count for which the usual limit was found. Raises `UsageError`.
    """
    if wanted is not None and wanted not in counts:
        has = ", ".join(counts) or "none"
        raise UsageError(f"no vectors of plates in the space {wanted!r}", f"There are: {has}")
    known = [name for name in counts if min_cosine is not None or name.startswith(MEASURED_IN)]
    if wanted is not None and wanted not in known:
        raise UsageError(
            f"the least cosine {COSINE} was found for classical vectors, and says nothing in the "
            f"space {wanted}",
            "Say from when on vectors of that space confirm a pair: --min-cosine COSINE",
        )
    return wanted or max(sorted(known), key=lambda name: counts[name], default=None)


def _vectors(ledgers: Ledgers, plates: list[str], space: str | None, wanted: set[int]) -> Vectors:
    """Unit vectors by row, of those that are in a pair."""
    import numpy as np

    if space is None or not wanted:
        return {}
    rows = {plates[row]: row for row in wanted}
    found: Vectors = {}
    for batch in ledgers.batches(_VECTORS, [space, sorted(rows)], BATCH_ROWS):
        for name, value in zip(
            batch.column("subject_id").to_pylist(), batch.column("vector"), strict=True
        ):
            vector = value.values.to_numpy()
            found[rows[name]] = vector / np.linalg.norm(vector)
    return found


def _distance(hashed: Hashed, first: int, second: int) -> int | None:
    one, other = (hashed.part(slice(row, row + 1)) for row in (first, second))
    bits = int(distances(one, other)[0, 0])
    return bits if bits < hashed.none else None


def _cosine(vectors: Vectors, first: int, second: int) -> float | None:
    if first not in vectors or second not in vectors:
        return None
    return float(vectors[first] @ vectors[second])


def _grouped(plates: list[str], pairs: dict[tuple[int, int], PairView]) -> list[GroupView]:
    joined = groups(pairs)
    group_of = {row: number for number, rows in enumerate(joined) for row in rows}
    evidence: list[list[PairView]] = [[] for _ in joined]
    for (first, _), pair in sorted(pairs.items()):
        evidence[group_of[first]].append(pair)
    return [
        GroupView([plates[row] for row in rows], found)
        for rows, found in zip(joined, evidence, strict=True)
    ]


def _gaps(plates: int, hashed: int, described: int, unused: list[str]) -> list[str]:
    """What was not compared, with the command that would make it comparable; `unused` are spaces."""
    gaps = []
    if hashed < plates:
        gaps.append(
            f"{plates - hashed} plates have no hash and were compared by digest alone: they were "
            "not hashed (ledgerkit hash && ledgerkit consolidate), or are even"
        )
    if unused:
        gaps.append(
            f"vectors of {', '.join(unused)} confirmed nothing, for {COSINE} is no limit of theirs: give "
            "--space ID --min-cosine COSINE"
        )
    elif described < plates:
        gaps.append(
            f"{plates - described} plates have no vector to confirm a less near hash: "
            "ledgerkit embed && ledgerkit consolidate"
        )
    return gaps
