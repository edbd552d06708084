"""What an export is made from: the ledgers of one moment, and their current segments plate by plate.

Segments come in bounded memory. Keeps out: formats, and what is written.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledgerkit import layout, schema, software
from ledgerkit.asof import consolidate_at
from ledgerkit.canonical import sha256_hex
from ledgerkit.errors import DigestMismatch, InvalidRecord, MissingInput, UsageError
from ledgerkit.ledger.document import LEDGER_FILE
from ledgerkit.query import Ledgers, Limits, moment
from ledgerkit.reading import Tree
from ledgerkit.repository import Archive

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

KINDS: tuple[str, ...] = tuple(schema.columns("segments")["kind"]["enum"])
"""Kinds of segments, in the order of the schema: their categories are numbered from 1."""
TABLES = ("plates", "runs", "segments", "tiles")
AT_ONCE = 2000
"""Segments after which no further plate is read with those before it."""

_CHOSEN = """list_contains(?::VARCHAR[], kind)
    AND (? IS NULL OR variant = ? OR ends_with(variant, '/' || ?))"""
_PLATES = f"""
WITH found AS (
  SELECT s.plate_id, t.frame_width, t.frame_height, s.source_sha256, {_CHOSEN} AS chosen
  FROM current_segments s JOIN runs r USING (run_id) JOIN (
    SELECT tile_id, max(frame_width) AS frame_width, max(frame_height) AS frame_height
    FROM tiles GROUP BY tile_id
  ) t USING (tile_id)
)
SELECT p.plate_id, p.plate_number, any_value(p.title) AS title,
       any_value(p.source_path) AS source_path, any_value(p.license) AS license,
       max(frame_width) AS width, max(frame_height) AS height,
       max(found.source_sha256) AS source_sha256,
       count(*) AS segments, count(*) FILTER (chosen) AS chosen,
       count(DISTINCT (frame_width, frame_height)) AS frames
FROM found JOIN current_plates p USING (plate_id)
WHERE ? IS NULL OR list_contains(?::VARCHAR[], p.plate_id)
GROUP BY p.plate_id, p.plate_number
ORDER BY p.plate_number"""
_SEGMENTS = f"""
WITH counted AS (
  SELECT s.*, r.variant, row_number() OVER (
    PARTITION BY s.plate_id ORDER BY s.run_id, s.y0, s.x0, s.segment_id
  ) AS place
  FROM current_segments s JOIN runs r USING (run_id)
  WHERE s.plate_id IN (SELECT unnest(?::VARCHAR[]))
)
SELECT * FROM counted WHERE {_CHOSEN} ORDER BY plate_id, place"""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which current segments: of `plates` (None: all), of `kinds`, made under `variant` (None: any)."""

    plates: list[str] | None = None
    kinds: tuple[str, ...] = KINDS
    variant: str | None = None

    def __post_init__(self) -> None:
        """Raises `UsageError` for a kind that there is not."""
        unknown = [kind for kind in self.kinds if kind not in KINDS]
        if unknown or not self.kinds:
            raise UsageError(
                f"no kind of segment: {', '.join(unknown) or 'none given'}",
                f"There are: {', '.join(KINDS)}",
            )

    def parameters(self) -> list[Any]:
        """What `_CHOSEN` asks for."""
        return [list(self.kinds), self.variant, self.variant, self.variant]

    def document(self) -> dict[str, Any]:
        """The selection for the export itself."""
        return {
            "plates": "all" if self.plates is None else self.plates,
            "kinds": list(self.kinds),
            "variant": self.variant,
        }


@dataclass(frozen=True, slots=True)
class Plate:
    """A plate with current segments; `width` and `height` are those of the oriented source."""

    plate_id: str
    plate_number: int
    title: str
    source_path: str
    license: str | None
    width: int
    height: int
    source_sha256: str
    segments: int
    """Current segments of any kind and variant."""
    chosen: int
    """Those of the selection."""


@dataclass(frozen=True, slots=True)
class Basis:
    """What an export is a view of: it is cited by these."""

    origin: str
    log_size: int
    log_root: str
    ledger_sha256: str
    tables: dict[str, str]

    def document(self, selection: dict[str, Any]) -> dict[str, Any]:
        """For the export itself, in the words of `ledgerkit cite`; `selection` is what was asked for."""
        return {
            "repository": self.origin,
            "log_size": self.log_size,
            "log_root": self.log_root,
            "ledger_sha256": self.ledger_sha256,
            "table_sha256": self.tables,
            "selection": selection,
            "software": {"ledgerkit": software.VERSION},
        }


@contextlib.contextmanager
def ledgers_at(
    archive: Archive, at: str | None, limits: Limits | None, tables: Sequence[str] = TABLES
) -> Iterator[tuple[Ledgers, Basis]]:
    """The ledgers for several questions, and what an export of these `tables` is then a view of.

    `at` is a checkpoint, as in `asof.known_checkpoint`: then the ledgers of that moment are built in
    a temporary folder. Raises `UsageError`, `MissingInput` without a log or ledgers,
    `DigestMismatch`, `LogInvalid`.
    """
    head = archive.log.checkpoint()
    if head is None:
        raise MissingInput(f"{archive.root} has no log yet", "The first writing command begins it.")
    with contextlib.ExitStack() as held:
        tree = archive.tree
        if at is not None:
            scratch = held.enter_context(tempfile.TemporaryDirectory(prefix="ledgerkit-"))
            consolidate_at(archive, at, Path(scratch) / layout.LEDGER)
            tree = Tree(Path(scratch))
        ledgers = held.enter_context(moment(tree, limits))
        assert ledgers.document is not None  # `moment` refuses where there are no ledgers
        yield ledgers, basis(tree, ledgers.document, head.origin, tables)


def basis(
    tree: Tree, document: dict[str, Any], origin: str, wanted: Sequence[str] = TABLES
) -> Basis:
    """The checkpoint and the files of ledgers whose `ledger.json` is `document`.

    Raises `DigestMismatch` where a table is not the one it lists, `MissingInput` without a log.
    """
    if document["log_size"] is None:
        raise MissingInput("these ledgers are of no log", "Rebuild them: ledgerkit consolidate")
    tables = {name: document["tables"][name] for name in wanted if name in document["tables"]}
    for name, table in tables.items():
        path = f"{layout.LEDGER}/{table['file']}"
        found = tree.digest(path).sha256
        if found != table["sha256"]:
            raise DigestMismatch(
                f"{path}: {LEDGER_FILE} says SHA-256 {table['sha256']} for {name}, found {found}",
                "Somebody changed the ledgers: rebuild them with: ledgerkit consolidate",
            )
    return Basis(
        origin,
        document["log_size"],
        document["log_root"],
        sha256_hex(tree.read(LEDGER_FILE)),
        {name: table["sha256"] for name, table in tables.items()},
    )


def plates_of(ledgers: Ledgers, selection: Selection) -> list[Plate]:
    """All plates of the selection that were segmented, in the order of their numbers.

    Raises `InvalidRecord` where segments of one plate lie in frames of different sizes.
    """
    given = [*selection.parameters(), selection.plates, selection.plates]
    found = []
    for row in ledgers.table(_PLATES, given).to_pylist():
        if row.pop("frames") != 1:
            raise InvalidRecord(
                f"{row['plate_id']}: its current segments lie in frames of different sizes",
                "See: ledgerkit lineage of one of them; segment the plate again.",
            )
        found.append(Plate(**row))
    return found


def rows_of(
    ledgers: Ledgers, plates: Sequence[Plate], selection: Selection
) -> Iterator[tuple[Plate, list[dict[str, Any]]]]:
    """Each plate with the rows of its chosen segments, some thousand segments read at a time.

    A row has the columns of `segments`, and `variant` and `place`: its place among all current
    segments of the plate, from 1, by run, top and left edge, whatever the selection.
    """
    waiting: list[Plate] = []
    ahead = 0
    for plate in plates:
        waiting.append(plate)
        ahead += plate.segments
        if ahead >= AT_ONCE or plate is plates[-1]:
            by_plate: dict[str, list[dict[str, Any]]] = {one.plate_id: [] for one in waiting}
            given = [list(by_plate), *selection.parameters()]
            for row in ledgers.table(_SEGMENTS, given).to_pylist():
                by_plate[row["plate_id"]].append(row)
            for one in waiting:
                yield one, by_plate.pop(one.plate_id)
            waiting, ahead = [], 0


def mask_of(row: dict[str, Any]) -> NDArray[np.bool_]:
    """The mask of a row, bool (mask_height, mask_width). Raises `InvalidRecord` that names it."""
    from ledgerkit.imaging import rle

    try:
        return rle.decode(row["mask"], row["mask_height"], row["mask_width"])
    except InvalidRecord as error:
        raise InvalidRecord(f"{row['segment_id']}: {error.message}", error.hint) from error


def placed_outlines(row: dict[str, Any]) -> list[list[NDArray[np.float64]]]:
    """The polygons of a row in oriented source pixels: exterior ring, then holes, (n, 2) each."""
    from ledgerkit.imaging.outline import outlines, placed
    from ledgerkit.imaging.place import box_of

    grid = (row["mask_width"], row["mask_height"])
    return [
        [placed(ring, box_of(row), *grid) for ring in polygon] for polygon in outlines(mask_of(row))
    ]
