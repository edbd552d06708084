"""`atlas`: a folder of pages about the current results, which opens from the disk.

The folder is written as an export is: outside of every repository, beside its name first, whole or
absent. The same ledgers and images give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledgerkit import layout, schema
from ledgerkit.errors import LedgerkitError, MissingInput, UsageError
from ledgerkit.export.ledgers import Basis, ledgers_at
from ledgerkit.export.lines import encoded
from ledgerkit.export.target import Listed, new_folder, refuse
from ledgerkit.pages import gather, pictures, points
from ledgerkit.pages.nearest import neighbours_of
from ledgerkit.pages.overview import Overview, overview_page
from ledgerkit.pages.pictures import Shot
from ledgerkit.pages.plates import Shown, plate_files
from ledgerkit.pages.script import script
from ledgerkit.pages.zoom import Zoom, copy_pyramid
from ledgerkit.query import Ledgers, Limits
from ledgerkit.repository import Archive

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

CHOICES = ("tiles", "whole", "thumbnails")
"""How much of each plate goes in, the most first."""
SUFFIXES = {"image/png": "png", "image/jpeg": "jpg"}
"""Kinds of figures that are shown."""
Report = Callable[[int, int], None]


@dataclass(frozen=True)
class AtlasView:
    """An atlas that was written, and the checkpoint and ledgers that it is a view of.

    `sha256` is that of its `export.json`, which lists every other file. `missing` says of each plate
    without a picture, or with another one than its best, why; `figures_missing` the same of figures.
    """

    target: str
    plates: int
    maps: int
    points: int
    clusters: int
    segments: int
    zoomable: int
    missing: dict[str, str]
    figures_missing: dict[str, str]
    files: int
    bytes: int
    sha256: str
    origin: str
    log_size: int
    log_root: str
    ledger_sha256: str


@dataclass(slots=True)
class _Atlas:
    """What is being made."""

    archive: Archive
    ledgers: Ledgers
    basis: Basis
    choice: str
    output: Listed
    plates: gather.Plates
    maps: list[gather.Map]
    shots: list[list[Shot]] = field(default_factory=list)
    zooms: dict[int, Zoom] = field(default_factory=dict)
    wholes: dict[int, tuple[str, int, int]] = field(default_factory=dict)
    notes: dict[int, list[str]] = field(default_factory=dict)
    figures_missing: dict[str, str] = field(default_factory=dict)


def write_atlas(
    archive: Archive,
    target: Path,
    *,
    choice: str = "tiles",
    progress: Report | None = None,
    limits: Limits | None = None,
) -> AtlasView:
    """Write the atlas to a new folder.

    `choice`: `tiles` copies the tiles of pyramids and makes one picture of each plate without;
    `whole` makes one picture of each plate; `thumbnails` leaves it at the small ones.
    Raises `UsageError`, `MissingInput` without ledgers or plates, `DigestMismatch` where a ledger is
    not the one that was built, `InvalidRecord`, `CommitFailed`; nothing is left behind then.
    """
    if choice not in CHOICES:
        raise UsageError(f"no choice of pictures {choice!r}", f"There are: {', '.join(CHOICES)}")
    refuse(target)
    with ledgers_at(archive, None, limits, schema.TABLES) as (ledgers, found):
        plates = gather.plates_of(ledgers)
        if not plates.rows:
            raise MissingInput(
                "there is no plate in the ledgers",
                "Take some in: ledgerkit ingest, then: ledgerkit consolidate",
            )
        maps = gather.maps_of(ledgers, plates)
        with new_folder(target) as folder:
            made = _Atlas(archive, ledgers, found, choice, Listed(folder), plates, maps)
            return _write(made, target, progress)


def _write(made: _Atlas, target: Path, progress: Report | None) -> AtlasView:
    _write_pictures(made, progress)
    figures, of_plates = _write_figures(made)
    segments = gather.segment_counts(made.ledgers)
    spaces, left_out = neighbours_of(made.ledgers, made.plates)
    _write_plates(made, spaces, of_plates)
    _write_assets(made.output)
    rows, output = made.plates.rows, made.output
    missing = {rows[at]["plate_id"]: " ".join(made.notes[at]) for at in sorted(made.notes)}
    gates = gather.gates_of(made.ledgers)
    view = Overview(
        made.basis,
        f"ledgerkit atlas --pictures {made.choice} -o FOLDER",
        len(rows),
        made.maps,
        segments,
        len(made.zooms),
        gates,
        figures,
        missing,
        made.figures_missing,
        left_out,
    )
    output.put("index.html", overview_page(view))
    chosen = made.basis.document({"pictures": made.choice})
    output.put("export.json", encoded({"ledgerkit": chosen, "files": output.files}) + b"\n")
    return _view(made, target, sum(segments.values()), missing)


def _view(made: _Atlas, target: Path, segments: int, missing: dict[str, str]) -> AtlasView:
    return AtlasView(
        str(target),
        len(made.plates.rows),
        len(made.maps),
        sum(len(one.place) for one in made.maps),
        sum(len(one.clusters) for one in made.maps),
        segments,
        len(made.zooms),
        missing,
        made.figures_missing,
        len(made.output.files),
        made.output.bytes,
        made.output.files[-1]["sha256"],
        made.basis.origin,
        made.basis.log_size,
        made.basis.log_root,
        made.basis.ledger_sha256,
    )


def _write_pictures(made: _Atlas, progress: Report | None) -> None:
    """Tiles, pictures and thumbnails, and what the pages need to find them."""
    ledgers, rows = made.ledgers, made.plates.rows
    tiles = gather.pictures_of(ledgers)
    made.shots = [pictures.shots_of(row, tiles.get(row["plate_id"])) for row in rows]
    if made.choice == "tiles":
        _copy_pyramids(made)
    boxes = {kind: gather.boxes_of(ledgers, kind) for kind in {one.kind for one in made.maps}}
    numbering = pictures.number(made.plates, made.maps, made.shots, boxes)
    wanted = {
        some[0].sha256
        for at, some in enumerate(made.shots)
        if some and at not in made.zooms and made.choice != "thumbnails"
    }
    found = pictures.make(made.archive.tree, made.shots, numbering, wanted, made.output, progress)
    without = _note_missing(made, found)
    _put(made, "sprites", points.sprites_data(numbering, found))
    labels = gather.labels_of(ledgers, "plate", made.plates.place)
    _put(made, "plates", points.plates_data(made.plates, labels, numbering, without))
    for at, one in enumerate(made.maps):
        own: list[gather.Scheme] = []
        if one.kind != "plate":
            own = gather.labels_of(ledgers, one.kind, one.place)
        _put(made, f"map-{at}", points.map_data(one, own, numbering.maps[at]))
    _put(made, "atlas", _summary(made))
    for at, some in enumerate(made.shots):
        if at not in made.zooms and some and some[0].sha256 in found.wholes:
            made.wholes[at] = found.wholes[some[0].sha256]


def _copy_pyramids(made: _Atlas) -> None:
    for plate, run_id in gather.pyramids_of(made.ledgers).items():
        at = made.plates.place.get(plate)
        if at is None:
            continue
        try:
            made.zooms[at] = copy_pyramid(made.archive, plate, run_id, made.output)
        except LedgerkitError as error:
            said = f"Its tiles cannot be shown: {error.message}."
            made.notes.setdefault(at, []).append(said)


def _note_missing(made: _Atlas, found: pictures.Pictures) -> dict[int, str]:
    """Say of plates why they have no picture or another one; those that have none."""
    without = {}
    for at, some in enumerate(made.shots):
        sha256 = some[0].sha256 if some else None
        if sha256 is None:
            without[at] = "No image of it is recorded."
        elif sha256 in found.missing:
            without[at] = f"There is no picture of it: {found.missing[sha256]}"
        elif sha256 in found.replaced:
            said = f"The source is shown in place of the normalised image: {found.replaced[sha256]}"
            made.notes.setdefault(at, []).append(said)
        if at in without:
            made.notes.setdefault(at, []).append(without[at])
    return without


def _summary(made: _Atlas) -> dict[str, Any]:
    """What every page knows."""
    return {
        "origin": made.basis.origin,
        "maps": [
            {
                "kind": one.kind,
                "variant": one.variant,
                "points": len(one.place),
                "levels": one.levels,
                "clusters": [[row["cluster_id"], row["title"]] for row in one.clusters],
            }
            for one in made.maps
        ],
    }


Figures = list[tuple[gather.Row, str | None]]


def _write_figures(made: _Atlas) -> tuple[Figures, dict[str, Figures]]:
    """Copies of the figures of current runs, each held against its digest; None where one fails.

    Those over the collection, and by plate those of one plate, which `thumbnails` leaves out.
    """
    together: Figures = []
    alone: dict[str, Figures] = {}
    written: set[str] = set()
    for row in gather.figures_of(made.ledgers):
        plate = row["plate_id"]
        if plate is None:
            together.append((row, _copy_figure(made, row, written)))
        elif made.choice != "thumbnails":
            alone.setdefault(plate, []).append((row, _copy_figure(made, row, written)))
    return together, alone


def _copy_figure(made: _Atlas, row: gather.Row, written: set[str]) -> str | None:
    """The name of the copy; None, and a sentence in `figures_missing`, where there is none."""
    folder = layout.run_folder(row["plate_id"] or layout.COLLECTION, row["run_id"])
    path = f"{folder}/outputs/{row['file']}"
    suffix = SUFFIXES.get(row["media_type"])
    name = f"figures/{row['sha256'][:20]}.{suffix}"
    try:
        if suffix is None:
            raise UsageError(f"{path} is {row['media_type']}, which pages do not show")
        if name not in written:
            made.output.put(name, made.archive.tree.read_checked(path, row["sha256"]))
            written.add(name)
    except LedgerkitError as error:
        said = f"There is no picture: {error.message}."
        made.figures_missing[f"{row['run_id']}/{row['figure_id']}"] = said
        return None
    return name


def _write_plates(made: _Atlas, spaces: Mapping[str, Any], figures: Mapping[str, Figures]) -> None:
    of_plates = {
        plate: [
            {
                "title": row["title"],
                "file": file,
                "missing": made.figures_missing.get(f"{row['run_id']}/{row['figure_id']}"),
                "run": row["run_id"],
                "sha256": row["sha256"],
                "interpretation": row.get("interpretation"),
                "warning_signs": row.get("warning_signs"),
            }
            for row, file in found
        ]
        for plate, found in figures.items()
    }
    shown = Shown(made.zooms, made.wholes, made.notes, spaces, of_plates)
    for name, content in plate_files(made.ledgers, made.plates, made.maps, shown):
        _put(made, name, content)


def _put(made: _Atlas, name: str, value: Any) -> None:
    made.output.put(f"data/{name}.js", script(name, value))


def _write_assets(output: Listed) -> None:
    """Pages, scripts and style as they are shipped: pages at the top, the rest in `assets/`."""
    for asset in sorted(_shipped(), key=lambda one: one.name):
        place = asset.name if asset.name.endswith(".html") else f"assets/{asset.name}"
        output.put(place, asset.read_bytes())


def _shipped() -> list[Traversable]:
    return [one for one in files("ledgerkit.pages").joinpath("assets").iterdir() if one.is_file()]
