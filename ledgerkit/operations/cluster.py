"""Group plates, tiles or segments by their vectors, in levels, and lay them out on a map.

Many settings of UMAP and HDBSCAN are tried over one neighbour graph; those with two clusters and at
most so much noise qualify. By named rules their consensus is the first level, and the one with the
greatest cosine silhouette of the original vectors is the map. Rows of `trials` hold them all. Where nothing qualifies KMeans takes over, where UMAP cannot run principal
components do, and a gate says so. Clusters lie in levels; noise stays noise. With --onto the map
keeps the points of an earlier run, and `cluster_matches` says what became of its clusters.
Source: McInnes, Healy & Melville 2018; Campello, Moulavi & Sander 2013; Fred & Jain 2005; workflows
W0 and W4.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from ledgerkit.clustering.chart import Chart, Former
    from ledgerkit.clustering.critic import Report
    from ledgerkit.clustering.gates import Limits
    from ledgerkit.clustering.grid import Grid, Setting
    from ledgerkit.clustering.grouping import Grouping
    from ledgerkit.clustering.vectors import Vectors
    from ledgerkit.handles import Inputs, Outputs

VERSION = "5"
EVENT_TYPE = "clustering"
SUBJECT = "collection"
ONE_SPACE = True
LIBRARIES = (
    "numpy",
    "scipy",
    "scikit-learn",
    "umap-learn",
    "pynndescent",
    "numba",
    "hdbscan",
    "networkx",
    "graspologic-native",
    "pyarrow",
)
MAKES = ("clusters", "cluster_members", "trials", "cluster_matches")
SEARCH = (
    "whiten",
    "sweep",
    "neighbours",
    "min_dist",
    "min_cluster_size",
    "min_samples",
    "grow_from",
    "choose",
    "k",
)
"""Parameters of the search that one given setting takes the place of."""
DECIDED = ("setting", "settings_sha256", "components", *SEARCH)
DECIDED_BY = ("settings", "sweep recommend")
FORMER = ("cluster_members", "clustering")
"""What is read of an earlier run."""


def _whole(default: int, least: int, text: str, unit: str = "1") -> Any:
    """A parameter that is a number from `least` on."""
    return field(default=default, metadata={"minimum": least, "help": text, "unit": unit})


def _share(default: float, text: str, least: float = 0.0) -> Any:
    """A parameter from `least` to 1."""
    bounds = {"minimum": least, "maximum": 1, "help": text, "unit": "1"}
    return field(default=default, metadata=bounds)


def _text(default: str, text: str, *choices: str) -> Any:
    """A parameter that is a text, one of `choices` if there are any."""
    return field(default=default, metadata={"help": text, "unit": "", "choices": choices or None})


@dataclass(frozen=True, slots=True)
class Parameters:
    """Settings of `cluster`."""

    of: str = _text("plates", "What is grouped", "plates", "tiles", "segments")
    space: str = _text("", "Vector space; needed where there are several")
    components: int = _whole(32, 0, "Principal components taken before UMAP; 0 for none")
    whiten: bool = field(
        default=False,
        metadata={"help": "Bring the principal components to equal variance", "unit": ""},
    )
    sweep: str = _text(
        "auto",
        "Settings tried: all of the grid, one (safe), or (auto) all from 100 rows on or of a given grid",
        "auto",
        "grid",
        "safe",
    )
    neighbours: str = _text("10,20,50", "Grid: neighbours of a point in UMAP, itself included")
    min_dist: str = _text("0.0,0.1,0.3", "Grid: least distances of points in the layout")
    min_cluster_size: str = _text("5,8,10,15", "Grid: least members of a cluster")
    min_samples: str = _text(
        "none,5,10", "Grid: HDBSCAN min_samples; none for the least members, at most 50"
    )
    grow_from: int = _whole(
        2000, 0, "Rows beyond which least members grow in proportion; 0 for never"
    )
    dimensions: int = _whole(2, 2, "Dimensions in which clusters are found")
    selection: str = _text("eom", "How HDBSCAN picks clusters", "eom", "leaf")
    levels: str = _text(
        "nested",
        "Levels: the sweep's rule again inside each cluster, workflow W4's rule, or one level",
        "nested",
        "w4",
        "flat",
    )
    choose: str = _text(
        "consensus",
        "First level: what the trials that qualify agree on, or the best of them alone",
        "consensus",
        "best",
    )
    setting: str = _text("", "One setting in place of all, as JSON; --settings FILE gives it")
    settings_sha256: str = _text("", "Digest of the file that the setting came from")
    label: str = _text(
        "", "Check: field of the catalogue that serves as label; empty for the best, as in plots"
    )
    k: int = _whole(9, 1, "Clusters of the KMeans fall-back, at most")
    onto: str = _text("", "Run of an earlier clustering whose map and clusters this one follows")
    map: str = _text(
        "keep",
        "With --onto: keep its points and place new ones, or turn a new map",
        "keep",
        "refit",
    )
    strict: bool = field(
        default=False, metadata={"help": "Stop when a severe check fails", "unit": ""}
    )
    min_rows: int = _whole(0, 0, "Check: least rows; 0 for 100, or 10 with --sweep safe")
    max_noise: float = _share(0.4, "Greatest share of noise, of a trial and of the result")
    min_silhouette: float = _share(0.0, "Check: least mean silhouette", -1.0)
    max_share: float = _share(0.95, "Check: share of the rows that no cluster may reach")
    max_gini: float = _share(0.6, "Check: greatest imbalance of cluster sizes (Gini)")
    max_residual: float = _share(0.5, "Check: greatest residual of a map that was turned")
    seed: int = field(
        default=1337,
        metadata={
            "minimum": 0,
            "maximum": 4294967295,
            "help": "Seed of everything random",
            "unit": "1",
        },
    )

    def __post_init__(self) -> None:
        from ledgerkit.errors import UsageError

        _grid(self)
        if self.settings_sha256 and not (
            self.setting and re.fullmatch("[0-9a-f]{64}", self.settings_sha256)
        ):
            raise UsageError(
                f"settings_sha256 is {self.settings_sha256!r}: it is the digest of a file that a setting "
                "came from",
                "Give the file itself: --settings FILE",
            )
        if self.setting:
            from ledgerkit.sweeping.given import parse

            parse(self.setting)
            default = {one.name: one.default for one in fields(self)}
            beside = [name for name in SEARCH if getattr(self, name) != default[name]]
            if beside:
                raise UsageError(
                    f"a setting decides {', '.join(beside)}", "Leave the one or the others away."
                )
            if self.levels == "w4":
                raise UsageError("levels is w4, which takes no setting", "Leave one of them away.")


def takes(parameters: Parameters) -> tuple[str, ...]:
    """Vectors, the manifests for labels, and what an earlier run said if one is named."""
    pinned = FORMER if parameters.onto else ()
    return ("embeddings", "manifest?", *(f"{name}@{parameters.onto}" for name in pinned))


def variant(parameters: Parameters) -> str:
    """What is grouped, in which space if one is named, and the rule of levels."""
    return "-".join(part for part in (parameters.of, parameters.space, parameters.levels) if part)


def run(inputs: Inputs, parameters: Parameters, outputs: Outputs) -> None:
    """Write the four tables, what was chosen, and the critic's reports.

    Raises `MissingInput` when there is no vector at all, `UsageError` for an earlier run that cannot
    be followed, `GateFailed` under `strict`.
    """
    from ledgerkit.clustering.chart import former_of
    from ledgerkit.clustering.gates import checkpoint, methods, postflight
    from ledgerkit.clustering.reduce import directions, normalise
    from ledgerkit.clustering.summary import clusters_of, noise_of
    from ledgerkit.clustering.tables import clusters_table, members_table
    from ledgerkit.clustering.vectors import gather

    vectors = gather(inputs.tables("embeddings"), parameters.of, parameters.space)
    former = former_of(inputs, parameters.onto, vectors.kind) if parameters.onto else None
    settings = _settings(parameters, len(vectors.subjects))
    limits = _limits(parameters)
    _close(_preflight(inputs, vectors, settings, limits, parameters), parameters, outputs)
    unit = normalise(vectors.matrix)
    reduced = directions(unit, parameters.components, parameters.whiten)
    found = _group(unit, reduced, settings, parameters)
    chart = _chart(vectors, reduced, found, former, parameters)
    levels = [
        (level, clusters_of(vectors.matrix, unit, level.labels, vectors.subjects, number))
        for number, level in enumerate(found.levels, 1)
    ]
    members = members_table(vectors, unit, levels, chart.points)
    _close(checkpoint(members, limits), parameters, outputs)
    outputs.table("clusters", clusters_table(levels, vectors.space))
    outputs.table("cluster_members", members)
    outputs.rows("trials", found.rows)
    if former:
        _match(members, former, vectors.kind, outputs)
    document = _document(found, chart, parameters, vectors)
    document["noise"] = noise_of(unit, [level.labels for level in found.levels])
    outputs.document("clustering.json", "clustering", document)
    for check, passed, value, told in methods(found, chart):
        outputs.gate("method", check, passed, value, told)
    _close(postflight(found, chart, limits), parameters, outputs)


def _grid(parameters: Parameters) -> Grid:
    from ledgerkit.clustering.grid import grid_of

    return grid_of(
        parameters.neighbours,
        parameters.min_dist,
        parameters.min_cluster_size,
        parameters.min_samples,
    )


def _settings(parameters: Parameters, rows: int) -> list[Setting]:
    """What is tried for so many rows: of few only one setting, unless a grid was given."""
    from dataclasses import replace

    from ledgerkit.clustering.grid import SAFE, SMALL, settings_of
    from ledgerkit.clustering.partition import least_size

    grid = _grid(parameters)
    if parameters.sweep == "safe" or parameters.levels == "w4" or parameters.setting:
        grid = SAFE
    elif parameters.sweep == "auto" and rows < SMALL and grid == _grid(Parameters()):
        grid = replace(SAFE, min_cluster_size=(least_size(rows),))
    return settings_of(grid, rows, parameters.grow_from)


def _limits(parameters: Parameters) -> Limits:
    from ledgerkit.clustering.gates import Limits

    return Limits(
        parameters.of,
        parameters.min_rows or (10 if parameters.sweep == "safe" else 100),
        parameters.max_noise,
        parameters.min_silhouette,
        parameters.max_share,
        parameters.max_gini,
        parameters.max_residual,
        parameters.levels,
    )


def _preflight(
    inputs: Inputs,
    vectors: Vectors,
    settings: list[Setting],
    limits: Limits,
    parameters: Parameters,
) -> Report:
    """What is checked before the work; of labels only warnings come."""
    from ledgerkit.clustering.composition import said_of
    from ledgerkit.clustering.gates import preflight
    from ledgerkit.clustering.levels import w4_least
    from ledgerkit.clustering.shown import judge_labels, labelled, manifests

    rows = len(vectors.subjects)
    least = w4_least(rows) if parameters.levels == "w4" else None
    report = preflight(vectors, settings, least, limits)
    entries = manifests(inputs)
    schemes = said_of({plate: entry.get("metadata") for plate, entry in entries.items()})
    scheme, labels = labelled(schemes, parameters.label, vectors.plates)
    for check, passed, value, told in judge_labels(scheme, labels, f"{rows:,} {parameters.of}"):
        report.add(f"labels {check}", passed, value, told, severe=False)
    return report


def _close(report: Report, parameters: Parameters, outputs: Outputs) -> None:
    """Write a report; stop where it says so and that was asked for."""
    from ledgerkit.errors import GateFailed

    report.write(outputs)
    if parameters.strict and report.failed:
        told = "; ".join(f"{one.check}: {one.message}" for one in report.failed)
        raise GateFailed(
            f"{report.gate}: {told}", "Run it without --strict, or with other thresholds"
        )


def _group(
    unit: NDArray[np.float32],
    reduced: NDArray[np.float32],
    settings: list[Setting],
    parameters: Parameters,
) -> Grouping:
    from ledgerkit.clustering.grouping import How, group, group_w4

    how = How(
        settings,
        parameters.dimensions,
        parameters.selection,
        parameters.levels,
        parameters.choose,
        parameters.max_noise,
        parameters.k,
        parameters.seed,
    )
    if parameters.setting:
        from ledgerkit.sweeping.given import group_given

        return group_given(unit, reduced, parameters.setting, parameters.components, how)
    return (group_w4 if parameters.levels == "w4" else group)(unit, reduced, how)


def _chart(
    vectors: Vectors,
    reduced: NDArray[np.float32],
    found: Grouping,
    former: Former | None,
    parameters: Parameters,
) -> Chart:
    from ledgerkit.clustering.chart import draw, keep, turned

    if former and parameters.map == "keep":
        return keep(reduced, vectors, former, parameters.seed)
    chart = draw(reduced, found.swept, found.setting, parameters.seed)
    return turned(chart, vectors.subjects, former) if former else chart


def _match(members: pa.Table, former: Former, kind: str, outputs: Outputs) -> None:
    """Rows of `cluster_matches`, level by level."""
    from ledgerkit.clustering.identity import match, members_by_level
    from ledgerkit.clustering.tables import match_rows

    now = members_by_level([members], kind)
    for level in sorted(now.keys() | former.members.keys()):
        matches = match(now.get(level, {}), former.members.get(level, {}))
        outputs.rows("cluster_matches", match_rows(level, former.run_id, matches))


def _document(
    found: Grouping, chart: Chart, parameters: Parameters, vectors: Vectors
) -> dict[str, Any]:
    """`clustering.v1`: what was chosen, by which rule, and where the map is from."""
    return {
        "schema_version": "clustering.v1",
        "of": parameters.of,
        "space_id": vectors.space,
        "rows": len(vectors.subjects),
        "rule": found.rule,
        "method": found.method,
        "reason": found.reason,
        "trial": found.trial if found.method == "hdbscan" else None,
        "levels": {
            "rule": parameters.levels,
            "clusters": [level.clusters for level in found.levels],
        },
        "map": chart.document(parameters.onto, found.trial),
    }
