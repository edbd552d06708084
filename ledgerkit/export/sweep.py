"""`export sweep`: swept collections as the files of workflow W1, by W1's names.

For each collection a folder with `X.npy`, `paths.txt` and `optimize_results/` (`runs.csv` and the
first five trials); for several collections the tables in `_meta/`. `docs/sweeps-report.md` has the
columns.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledgerkit.clustering.swept import setting_of
from ledgerkit.export.lines import encoded
from ledgerkit.export.spreadsheet import csv_table
from ledgerkit.export.swept import CollectionData, load_sweeps
from ledgerkit.export.target import Listed, new_folder, refuse
from ledgerkit.query import Limits
from ledgerkit.repository import Archive
from ledgerkit.sweeping.choice import signature_table
from ledgerkit.sweeping.composite import CODE, TEXT
from ledgerkit.sweeping.outcome import CONSENSUS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

RANKS = 5
CLUSTERS, MEMBERS, CELL = 8, 8, 130
"""Of a preview: most clusters, most members of each, and pixels of a picture with its margin."""
SETTINGS = {
    "min_cluster_size": "min_cluster_size",
    "start_threshold": "start_threshold",
    "merge_dist": "merge_dist",
    "assign_threshold": "assign_threshold",
    "second_pass_start": "second_pass_start",
    "resolution": "resolution",
    "temp": "temperature",
}
"""W1's columns of settings, and what we call them."""
MEASURES = {
    "sil": "silhouette",
    "dbi": "davies_bouldin",
    "chi": "calinski_harabasz",
    "coverage": "coverage",
    "singleton_rate": "singleton_rate",
    "stability_ari": "stability_ari",
    "modularity": "modularity",
    "n_clusters": "clusters",
}
SCORES = {CONSENSUS: "consensus_ari", CODE: "score_code", TEXT: "score_text"}
"""Column with the raw score of each formula."""
OURS = ("signature", "trial", "rank", "control", "parameters")
COLUMNS = ("dataset", "algorithm", *SETTINGS, *MEASURES, "score_raw", "score_raw_z", *OURS)
SIGNATURES = (
    "signature",
    "avg_rank",
    "worst_z",
    "mean_z",
    "trials",
    "collections",
    "shrunk_rank",
    "shrunk_z",
)
Row = dict[str, Any]


@dataclass(frozen=True)
class SweepExportView:
    """Sweeps that were exported. `missing` pictures could not be had; `sha256` of `export.json`."""

    target: str
    collections: int
    trials: int
    rows: int
    missing: int
    files: int
    bytes: int
    sha256: str
    sources: list[dict[str, Any]]
    """Of each repository: origin, log size and root, digest of the ledgers."""


def export_sweeps(
    archives: Sequence[Archive],
    target: Path,
    *,
    vectors: bool = True,
    at: str | None = None,
    limits: Limits | None = None,
) -> SweepExportView:
    """Write the current sweeps of one or several repositories to a new folder.

    `vectors` says whether `X.npy` is written. Raises `UsageError`, `MissingInput` without ledgers,
    sweeps or vectors, `DigestMismatch`, `InvalidRecord`, `CommitFailed`; nothing is left behind then.
    """
    refuse(target)
    found = load_sweeps(archives, vectors=vectors, at=at, limits=limits)
    with new_folder(target) as folder:
        output = Listed(folder)
        missing = sum(_write(one, output) for one in found)
        if len(found) > 1:
            _write_meta(found, output)
        told = [_told(one) for one in found]
        output.put("export.json", encoded({"ledgerkit": told, "files": output.files}) + b"\n")
    sources = {one.basis.origin: one.basis for one in found}
    return SweepExportView(
        str(target),
        len(found),
        sum(len(one.swept.trials) for one in found),
        sum(len(one.swept.members) for one in found),
        missing,
        len(output.files),
        output.bytes,
        output.files[-1]["sha256"],
        [
            {"origin": origin, "log_size": basis.log_size, "log_root": basis.log_root,
             "ledger_sha256": basis.ledger_sha256}
            for origin, basis in sources.items()
        ],
    )  # fmt: skip


def _told(one: CollectionData) -> Row:
    """What a collection's files are a view of."""
    selection = {
        "dataset": one.name,
        "collection": one.swept.collection,
        "of": one.swept.of,
        "sweep": one.run_id,
        "record": one.record_path,
        "record_sha256": one.record_sha256,
    }
    return one.basis.document(selection)


def _write(one: CollectionData, output: Listed) -> int:
    """All files of a collection; how many pictures of previews are missing."""
    folder, swept = one.name, one.swept
    if one.vectors is not None:
        output.put(f"{folder}/X.npy", npy(one.vectors))
    sources = [one.images.sources[row["plate_id"]] for row in swept.members]
    output.put(f"{folder}/paths.txt", "".join(f"{path}\n" for path in sources).encode())
    results = f"{folder}/optimize_results"
    output.put(f"{results}/runs.csv", csv_table(COLUMNS, runs_of(one)))
    best = swept.ranked[:RANKS]
    chosen = [_largest(swept.labels[:, _column(one, trial)]) for trial in best]
    pictures, missing = _pictures(one, [rows for groups in chosen for _, rows in groups])
    for place, (trial, groups) in enumerate(zip(best, chosen, strict=True), start=1):
        rank = f"{results}/rank_{place:02d}"
        output.put(f"{rank}/settings.json", encoded(settings_of(one, trial)) + b"\n")
        output.put(f"{rank}/labels.csv", _labels(one, trial, sources))
        output.put(f"{rank}/preview.png", _preview(one, trial, groups, pictures))
        output.put(f"{rank}/map.png", _map(one, trial))
    return missing


def npy(array: NDArray[np.float32]) -> bytes:
    """float32 (n, d) in NumPy's file format 1.0, little-endian, rows first."""
    import numpy as np

    buffer = io.BytesIO()
    plain = np.ascontiguousarray(array, dtype="<f4")
    np.lib.format.write_array(buffer, plain, version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def runs_of(one: CollectionData) -> Iterator[Row]:
    """Rows of `runs.csv`, by trial; None where a trial has no such setting or measure."""
    raw = SCORES.get(one.document["formula"])
    for trial in one.swept.trials:
        setting = setting_of(trial)
        yield {
            "dataset": one.name,
            "algorithm": trial["algorithm"],
            **{name: setting.get(ours) for name, ours in SETTINGS.items()},
            **{name: trial[ours] for name, ours in MEASURES.items()},
            "score_raw": None if raw is None else trial[raw],
            "score_raw_z": trial["score"],
            "signature": w1_signature(trial),
            **{name: trial[name] for name in ("trial", "rank", "parameters")},
            "control": str(trial["control"]).lower(),
        }


def w1_signature(trial: Row) -> str:
    """W1's: the values of its columns joined by bars, without names, where these are all settings.

    A continuous setting is its bin. An algorithm that W1 has not keeps our signature, with names.
    """
    kept = dict(part.partition("=")[::2] for part in str(trial["signature"]).split("|")[1:])
    if not kept or not set(kept) <= set(SETTINGS.values()):
        return str(trial["signature"])
    return "|".join(kept[ours] for ours in SETTINGS.values() if ours in kept)


def settings_of(one: CollectionData, trial: Row) -> Row:
    """`settings.json`: the setting, how it did, and where it is from."""
    return {
        "algorithm": trial["algorithm"],
        "parameters": setting_of(trial),
        "signature": trial["signature"],
        "formula": one.document["formula"],
        "rank": trial["rank"],
        "score": trial["score"],
        "measures": {name: trial[name] for name in MEASURES.values()},
        "provenance": {
            "repository": one.basis.origin,
            "collection": one.swept.collection,
            "of": one.swept.of,
            "space_id": one.swept.space,
            "sweep": one.run_id,
            "trial": trial["trial"],
            "record_sha256": one.record_sha256,
        },
    }


def _column(one: CollectionData, trial: Row) -> int:
    return one.swept.trials.index(trial)


def _labels(one: CollectionData, trial: Row, sources: Sequence[str]) -> bytes:
    labels = one.swept.labels[:, _column(one, trial)].tolist()
    rows = (
        {"path": path, "subject_id": row["subject_id"], "plate_id": row["plate_id"], "label": label}
        for path, row, label in zip(sources, one.swept.members, labels, strict=True)
    )
    return csv_table(("path", "subject_id", "plate_id", "label"), rows)


Groups = list[tuple[int, list[int]]]
"""Label and some rows of each cluster."""


def _largest(labels: NDArray[np.int32]) -> Groups:
    """The largest clusters, ties by label, each with rows evenly spread over its own."""
    import numpy as np

    kinds, counts = np.unique(labels[labels >= 0], return_counts=True)
    order = np.lexsort((kinds, -counts))[:CLUSTERS]
    found = []
    for kind in kinds[order].tolist():
        rows = np.flatnonzero(labels == kind)
        count = min(MEMBERS, rows.size)
        found.append((kind, rows[np.arange(count) * rows.size // count].tolist()))
    return found


def _pictures(one: CollectionData, wanted: Sequence[Sequence[int]]) -> tuple[dict[str, Image], int]:
    """Thumbnails by subject, and how many could not be had."""
    from ledgerkit.export.thumbnails import thumbnails

    rows = sorted({row for some in wanted for row in some})
    members = one.swept.members
    subjects = [(members[row]["subject_id"], members[row]["plate_id"]) for row in rows]
    found = dict(thumbnails(one.tree, one.images, subjects, CELL - 16))
    return found, len(subjects) - len(found)


def _preview(one: CollectionData, trial: Row, groups: Groups, pictures: dict[str, Image]) -> bytes:
    """A row of pictures for each of the largest clusters; a line where there is none."""
    from ledgerkit.imaging.contact import draw_sheet, stacked, to_png

    labels = one.swept.labels[:, _column(one, trial)]
    sheets = []
    for label, rows in groups:
        names = [str(one.swept.members[row]["subject_id"]) for row in rows]
        shown = [(name, pictures[name]) for name in names if name in pictures]
        size = int((labels == label).sum())
        title = f"Cluster {label}: {len(shown)} of {size} {one.swept.of}"
        sheets.append(draw_sheet(title, shown, label, cell=CELL, columns=MEMBERS))
    if not sheets:
        sheets = [draw_sheet("This trial has no cluster.", [], -1, cell=CELL, columns=MEMBERS)]
    return to_png(stacked(sheets))


def _map(one: CollectionData, trial: Row) -> bytes:
    import numpy as np

    from ledgerkit.plotting.canvas import to_picture
    from ledgerkit.plotting.chart import chart, grouped, middles

    points = np.array([(row["x"], row["y"]) for row in one.swept.members], dtype=np.float64)
    labels = one.swept.labels[:, _column(one, trial)].astype(np.int64)
    names = [None if number < 0 else f"{number}" for number in labels.tolist()]
    title = f"Trial {trial['trial']} of {one.swept.collection}: {trial['clusters']:,} clusters"
    marks = middles(points, labels)
    return to_picture(chart(points, grouped(names, "none"), title, marks=marks)).png


def _write_meta(found: Sequence[CollectionData], output: Listed) -> None:
    rows = [row for one in found for row in runs_of(one)]
    output.put("_meta/all_runs.csv", csv_table(COLUMNS, rows))
    winners = [row for row in rows if row["rank"] == 1]
    output.put("_meta/per_dataset_winners.csv", csv_table(COLUMNS, winners))
    board = csv_table(
        SIGNATURES, signature_table([row for row in rows if row["control"] == "false"])
    )
    output.put("_meta/robust_signature_leaderboard.csv", board)
