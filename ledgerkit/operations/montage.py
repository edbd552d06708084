"""Draw a clustering for looking at: a map of thumbnails and a contact sheet per cluster.

Members nearest the centroid come first, then the others by strength of membership. The three largest
clusters are core, the three smallest flagged: theirs are drawn whatever the limit of sheets. Each
plate is decoded once, whatever is cut from it. The pictures decide nothing; they show.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

    from ledgerkit.handles import Inputs, Outputs, Row

VERSION = "2"
EVENT_TYPE = "visualization"
SUBJECT = "collection"
LIBRARIES = ("numpy", "pillow", "pyvips", "pyvips-binary", "libvips")
MAKES = ("figures",)

CELL, COLUMNS, READ = 170, 6, 1024
CORE, FLAGGED = 3, 3
"""How many of the largest and of the smallest clusters are looked at in any case (workflow W0)."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Settings of `montage`."""

    of: str = field(
        default="plates",
        metadata={
            "help": "What was grouped",
            "unit": "",
            "choices": ("plates", "tiles", "segments"),
        },
    )
    level: int = field(
        default=1,
        metadata={"minimum": 1, "help": "Level of the clusters, 1 the coarsest", "unit": "1"},
    )
    members: int = field(
        default=36, metadata={"minimum": 1, "help": "Most members shown of a cluster", "unit": "1"}
    )
    thumbnails: int = field(
        default=250,
        metadata={"minimum": 1, "help": "Most thumbnails on the map; others are dots", "unit": "1"},
    )
    map_side: int = field(
        default=1400,
        metadata={"minimum": 200, "maximum": 20000, "help": "Side of the map", "unit": "pixel"},
    )
    thumbnail_side: int = field(
        default=64,
        metadata={
            "minimum": 8,
            "maximum": 1024,
            "help": "Long side of a thumbnail on the map",
            "unit": "pixel",
        },
    )
    sheets: int = field(
        default=60,
        metadata={
            "minimum": 0,
            "help": "Most contact sheets drawn, largest clusters first; the three largest and the "
            "three smallest come in any case",
            "unit": "1",
        },
    )


def takes(parameters: Parameters) -> tuple[str, ...]:
    """The clustering, the plates' images, and where on them tiles or segments lie."""
    images = {"plates": ("whole",), "tiles": ("tiles",), "segments": ("whole", "segments")}[
        parameters.of
    ]
    return ("cluster_members", "clusters", *images)


def variant(parameters: Parameters) -> str:
    """What was grouped, and the level below the first."""
    return parameters.of if parameters.level == 1 else f"{parameters.of}-level-{parameters.level}"


def run(inputs: Inputs, parameters: Parameters, outputs: Outputs) -> None:
    """Write the pictures and one row of `figures` each."""
    from ledgerkit.clustering.members import members_and_clusters

    members, clusters = members_and_clusters(inputs, parameters.of, parameters.level)
    sheets = _choose_sheets(members, clusters, parameters)
    on_map = {str(row["subject_id"]) for row in evenly(members, parameters.thumbnails)}
    wanted = on_map | {str(row["subject_id"]) for _, rows in sheets for row in rows}
    pictures = dict(
        _thumbnails(inputs, [row for row in members if row["subject_id"] in wanted], parameters)
    )
    rows = [_draw_map(members, clusters, on_map, pictures, parameters, outputs)]
    labels = [int(row["label"]) for row in clusters]
    rows += [
        _draw_sheet((label, role_of(label, labels)), chosen, members, pictures, parameters, outputs)
        for label, chosen in sheets
    ]
    outputs.rows("figures", rows)
    lost = len(wanted) - len(pictures)
    outputs.gate(
        "pictures",
        "found",
        lost == 0,
        float(lost),
        f"{lost} of {len(wanted)} subjects have no image",
    )
    told = f"{len(clusters)} clusters" if clusters else "no cluster: only the noise is shown"
    outputs.gate("pictures", "clusters", bool(clusters), float(len(clusters)), told)


def evenly(rows: Sequence[Row], most: int) -> list[Row]:
    """At most `most` of `rows`, evenly spread over their order."""
    if len(rows) <= most:
        return list(rows)
    return [rows[place * len(rows) // most] for place in range(most)]


def _choose_sheets(
    members: list[dict[str, Any]], clusters: list[dict[str, Any]], parameters: Parameters
) -> list[tuple[int, list[Row]]]:
    """Label and members of each sheet: nearest the centroid first, then by falling probability."""
    sheets: list[tuple[int, list[Row]]] = []
    by_label: dict[int, list[dict[str, Any]]] = {}
    for row in members:
        by_label.setdefault(int(row["label"]), []).append(row)
    drawn = {place for place in range(len(clusters)) if place < parameters.sheets}
    drawn |= set(range(len(clusters))[:CORE]) | set(range(len(clusters))[-FLAGGED:])
    for cluster in (clusters[place] for place in sorted(drawn)):
        nearest = {name: place for place, name in enumerate(cluster["representatives"])}
        mine = by_label.get(int(cluster["label"]), [])
        mine.sort(
            key=lambda row: (
                nearest.get(row["subject_id"], len(nearest)),
                -row["probability"],
                row["subject_id"],
            )
        )
        sheets.append((int(cluster["label"]), list(mine[: parameters.members])))
    if -1 in by_label:
        sheets.append((-1, evenly(by_label[-1], parameters.members)))
    return sheets


def _thumbnails(
    inputs: Inputs, members: Sequence[Row], parameters: Parameters
) -> Iterator[tuple[str, Image]]:
    """Subject id and thumbnail, RGB, at most a cell in size; each image file is read once."""
    from PIL import Image

    from ledgerkit.imaging.decode import read_shrunk
    from ledgerkit.imaging.place import to_image

    images, boxes = _where(inputs, members, parameters.of)
    for key in sorted(images):
        tile = images[key]
        with inputs.image(tile).open() as file:
            pixels = read_shrunk(file, READ if parameters.of == "segments" else 2 * CELL)
        picture = Image.fromarray(pixels)
        for subject, box in boxes[key]:
            cut = (
                picture
                if box is None
                else picture.crop(to_image(tile, picture.width, picture.height, box))
            )
            cut.thumbnail((CELL - 16, CELL - 16), Image.Resampling.LANCZOS)
            yield subject, cut


def _where(
    inputs: Inputs, members: Sequence[Row], of: str
) -> tuple[dict[str, Row], dict[str, list[tuple[str, Any]]]]:
    """Image rows by key (plate or tile id), and for each the subjects on it with their source
    box.
    """
    from ledgerkit.imaging.place import box_of

    by_tile = of == "tiles"
    wanted = {str(row["subject_id"] if by_tile else row["plate_id"]) for row in members}
    images: dict[str, Row] = {}
    for tile in inputs.rows("tiles"):
        key = str(tile["tile_id"] if by_tile else tile["plate_id"])
        if key in wanted and (by_tile or tile["kind"] == "whole"):
            images[key] = tile
    boxes: dict[str, list[tuple[str, Any]]] = {key: [] for key in images}
    found: Mapping[str, Any] = {}
    if of == "segments":
        found = {row["segment_id"]: box_of(row) for row in inputs.rows("segments")}
    for member in members:
        subject = str(member["subject_id"])
        key = subject if by_tile else str(member["plate_id"])
        if key in images and (of != "segments" or subject in found):
            boxes[key].append((subject, found.get(subject)))
    return images, boxes


def _draw_map(
    members: Sequence[Row],
    clusters: Sequence[Row],
    on_map: set[str],
    pictures: Mapping[str, Image],
    parameters: Parameters,
    outputs: Outputs,
) -> dict[str, Any]:
    from ledgerkit.imaging.contact import Point, draw_map

    points = []
    for row in members:
        picture = pictures.get(row["subject_id"]) if row["subject_id"] in on_map else None
        if picture is not None:
            picture = picture.copy()
            picture.thumbnail((parameters.thumbnail_side, parameters.thumbnail_side))
        points.append(Point(row["x"], row["y"], row["label"], picture))
    title = f"{len(members)} {parameters.of}, {len(clusters)} clusters"
    image = draw_map(title, points, [row["size"] for row in clusters], side=parameters.map_side)
    return _keep(image, "map", f"Map of {title}", "map", outputs)


def role_of(label: int, labels: Sequence[int]) -> str:
    """What a sheet is: of noise, or of a cluster that is core, flagged or neither.

    `labels` are those of all clusters by falling size; of few clusters the largest are core.
    """
    if label < 0:
        return "noise"
    if label in labels[:CORE]:
        return "core-cluster"
    return "flagged-cluster" if label in labels[-FLAGGED:] else "cluster"


def _draw_sheet(
    sheet: tuple[int, str],
    chosen: Sequence[Row],
    members: Sequence[Row],
    pictures: Mapping[str, Image],
    parameters: Parameters,
    outputs: Outputs,
) -> dict[str, Any]:
    from ledgerkit.imaging.contact import draw_sheet

    label, role = sheet
    size = sum(row["label"] == label for row in members)
    shown = [
        (_caption(row), pictures[row["subject_id"]])
        for row in chosen
        if row["subject_id"] in pictures
    ]
    told = "Noise" if label < 0 else f"Cluster {label}"
    title = f"{told}: {len(shown)} of {size} {parameters.of}"
    image = draw_sheet(title, shown, label, cell=CELL, columns=COLUMNS)
    name = {"noise": "noise", "flagged-cluster": f"flagged-cluster-{label}"}.get(
        role, f"cluster-{label}"
    )
    return _keep(image, f"montage-{name}", title, f"montage-{role}", outputs)


def _caption(row: Row) -> str:
    """The plate, and for parts of it the first digits of their own id."""
    if row["subject_kind"] == "plate":
        return str(row["plate_id"])
    return f"{row['plate_id']} {str(row['subject_id']).rpartition('-')[2][:6]}"


def _keep(image: Image, name: str, title: str, kind: str, outputs: Outputs) -> dict[str, Any]:
    from ledgerkit.imaging.contact import to_png
    from ledgerkit.plotting import Picture, keep_figure

    picture = Picture(to_png(image), image.width, image.height)
    return keep_figure(picture, name, title, outputs, kind=kind)
