"""What a person calls a cluster, and which name each cluster bears.

A name is an event of its own with the clustering that was looked at as its input. Nothing that was
named before is touched; `cluster_names` says which name is in force, over re-runs too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledgerkit import cluster_names, schema
from ledgerkit.canonical import canonical_lines
from ledgerkit.corrections import read_rows
from ledgerkit.errors import MissingInput, UsageError
from ledgerkit.events import Event, staged_name
from ledgerkit.history import History
from ledgerkit.query import ask
from ledgerkit.records import FailedItem, Input, Run
from ledgerkit.repository import Archive
from ledgerkit.sealing import seal_new
from ledgerkit.staged import StagedRun, write_staged
from ledgerkit.staging import JSON_LINES, Artifact

if TYPE_CHECKING:
    import pyarrow as pa

LONGEST_NAME, LONGEST_DESCRIPTION = 200, 4000
EVENT_TYPE = "description"
FIELDS = ("cluster", "name", "description", "representative")
_SHORT = re.compile(r"L([1-9][0-9]*)_([0-9]+)")


@dataclass(frozen=True, slots=True)
class Naming:
    """What a person says of a cluster; an empty name takes back what was said before."""

    name: str
    description: str = ""
    representative_id: str | None = None


@dataclass(frozen=True)
class NamingView:
    """What was named: one run for each clustering that the clusters are of."""

    named: list[str]
    unchanged: list[str]
    run_ids: list[str]


@dataclass(frozen=True)
class LostView:
    """A person's name that no current cluster bears, and where the members are now.

    `kind` is split (most are in two clusters or more), merged (in one with many others), or gone.
    `now` has a current cluster and how many of the members are in it, most first.
    """

    name: str
    cluster_id: str
    named_by: str
    since_run_id: str
    size: int
    kind: str
    now: list[tuple[str, int]]


@dataclass(frozen=True)
class NamesView:
    """Names in force, as rows of the view `cluster_names`, and names that are in force nowhere."""

    names: list[dict[str, Any]]
    lost: list[LostView]


@dataclass(frozen=True)
class Clustering:
    """A run that made clusters: its clusters, their members, and the files to cite as inputs."""

    run: Run
    clusters: dict[str, dict[str, Any]]
    members: dict[str, list[str]]
    plates: dict[str, str]
    """The plate of each subject, noise included."""
    inputs: list[Input]


def read_namings(path: Path) -> dict[str, Naming]:
    """Names from JSON or CSV with the columns cluster, name, description, representative.

    Raises `UsageError` that lists every row that cannot be used, `InvalidRecord`.
    """
    found: dict[str, Naming] = {}
    wrong: list[str] = []
    for place, row in enumerate(read_rows(path), 1):
        surplus = sorted(set(row) - set(FIELDS)) if isinstance(row, dict) else []
        texts = isinstance(row, dict) and all(
            isinstance(value, str) or value is None for value in row.values()
        )
        cluster = row.get("cluster") if texts else None
        if not cluster or surplus or cluster in found:
            reason = f"unknown column {', '.join(map(str, surplus))}" if surplus else "no cluster"
            reason = f"{cluster} stands twice" if cluster in found else reason
            wrong.append(f"entry {place}: {reason}")
            continue
        given = {name: row.get(name) or "" for name in FIELDS}
        chosen = given["representative"] or None
        found[cluster] = Naming(given["name"], given["description"], chosen)
    if wrong or not found:
        raise UsageError(
            f"{path.name}: {'; '.join(wrong[:20]) or 'it names no cluster'}",
            f"Columns are: {', '.join(FIELDS)}.",
        )
    return found


def name_clusters(
    archive: Archive, given: Mapping[str, Naming], by: str, reason: str = "", wait: float = 60.0
) -> NamingView:
    """Name clusters, all in one commit; what is so named already is left.

    A cluster is its id, or `L{level}_{label}` of the newest clustering. Raises `UsageError` that
    lists everything that is wrong, before anything is written.
    """
    if not by.strip():
        raise UsageError("a cluster is named by somebody", 'Give: --by "A. Curator"')
    with archive.job(wait) as job:
        seal_new(archive, job)
        history = History(archive)
        placed = _placed(archive, history, given)
        said = _said_by_persons(archive, history.collection)
        staged: list[StagedRun] = []
        named: list[str] = []
        for clustering in {id(one): one for one, _ in placed.values()}.values():
            rows = [
                row(name, "person", **asdict(naming))
                for name, (of, naming) in sorted(placed.items())
                if of is clustering and said.get(name) != asdict(naming)
            ]
            if rows:
                event = Event("name", EVENT_TYPE, {"reason": reason})
                folder = job.item(staged_name("name"))
                staged.append(descriptions(archive, event, folder, clustering, rows, by))
                named += [one["cluster_id"] for one in rows]
        runs = archive.commit(job, staged, wait=wait) if staged else []
    unchanged = [name for name in placed if name not in named]
    return NamingView(named, unchanged, [run.run_id for run in runs])


def row(
    cluster: str,
    source: str,
    name: str,
    description: str,
    representative_id: str | None = None,
    *,
    category: str | None = None,
    strength: int | None = None,
    model: str | None = None,
) -> dict[str, Any]:
    """A row of `descriptions` as it is stored."""
    return {
        "cluster_id": cluster,
        "source": source,
        "name": name,
        "description": description,
        "category": category,
        "strength": strength,
        "representative_id": representative_id,
        "model": model,
    }


def descriptions(
    archive: Archive,
    event: Event,
    folder: str,
    clustering: Clustering,
    rows: list[dict[str, Any]],
    person: str | None,
    *,
    more_inputs: Sequence[Input] = (),
    more_artifacts: Sequence[Artifact] = (),
    failed_items: list[FailedItem] | None = None,
) -> StagedRun:
    """An event staged with its rows of `descriptions` and the clustering as its input."""
    data = canonical_lines(sorted(rows, key=lambda one: str(one["cluster_id"])))
    name = "outputs/descriptions.jsonl"
    artifact = write_staged(archive.store, folder, name, "table:descriptions", JSON_LINES, data)
    return event.staged(
        folder,
        inputs=[*clustering.inputs, *more_inputs],
        artifacts=[artifact, *more_artifacts],
        failed_items=failed_items,
        person=person,
    )


def clusterings(archive: Archive, runs: list[Run]) -> Iterator[Clustering]:
    """The clusterings among runs of the collection, newest first, each read when it is asked for."""
    for run in reversed(runs):
        if run.status == "failed":
            continue
        by_role = {output.role: output for output in archive.outputs(run)}
        tables = [by_role.get(f"table:{name}") for name in ("clusters", "cluster_members")]
        if tables[0] is None or tables[1] is None:
            continue
        clusters, members = (_table(archive, one.path, one.sha256) for one in tables if one)
        by_cluster: dict[str, list[str]] = {}
        for cluster, subject in zip(
            members["cluster_id"].to_pylist(), members["subject_id"].to_pylist(), strict=True
        ):
            if cluster is not None:
                by_cluster.setdefault(cluster, []).append(subject)
        inputs = [
            Input(one.path, one.role, one.bytes, one.sha256, run.run_id, "full")
            for one in tables
            if one
        ]
        rows = clusters.select(["cluster_id", "level", "label", "size"]).to_pylist()
        by_id = {one["cluster_id"]: one for one in rows}
        plates = dict(
            zip(members["subject_id"].to_pylist(), members["plate_id"].to_pylist(), strict=True)
        )
        yield Clustering(run, by_id, by_cluster, plates, inputs)


def _table(archive: Archive, path: str, sha256: str) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.read_table(pa.BufferReader(archive.tree.read_checked(path, sha256)))


def _placed(
    archive: Archive, history: History, given: Mapping[str, Naming]
) -> dict[str, tuple[Clustering, Naming]]:
    """Each named cluster by its id, with the newest clustering that has it. Raises `UsageError`."""
    known = list(clusterings(archive, history.collection))
    if not known:
        raise MissingInput("there are no clusters yet", "Make them with: ledgerkit cluster")
    found: dict[str, tuple[Clustering, Naming]] = {}
    wrong: list[str] = []
    for wanted, naming in given.items():
        name = _resolved(wanted, known[0])
        clustering = next((one for one in known if name in one.clusters), None)
        problem = _problem(naming)
        if clustering is None:
            problem = "no clustering has made it"
        elif name in found:
            problem = "it is named twice"
        elif naming.representative_id not in (None, *clustering.members[name]):
            problem = f"{naming.representative_id} is no member of it"
        if problem or clustering is None:
            wrong.append(f"{wanted}: {problem}")
        else:
            found[name] = (clustering, naming)
    if wrong:
        raise UsageError(
            f"nothing was named: {'; '.join(wrong[:20])}", "Clusters are listed by: ledgerkit names"
        )
    return found


def _resolved(wanted: str, newest: Clustering) -> str:
    """The id behind `L1_0`, a level and label of the newest clustering; any other name as it is."""
    short = _SHORT.fullmatch(wanted)
    if short is None:
        return wanted
    place = (int(short[1]), int(short[2]))
    for name, one in newest.clusters.items():
        if (one["level"], one["label"]) == place:
            return name
    return wanted


def _problem(naming: Naming) -> str | None:
    for what, text, most in (
        ("name", naming.name, LONGEST_NAME),
        ("description", naming.description, LONGEST_DESCRIPTION),
    ):
        if len(text) > most:
            return f"its {what} has more than {most} characters"
        if text != text.strip() or not text.replace("\n", " ").isprintable():
            return f"its {what} has blanks around it or control characters in it"
    if "\n" in naming.name:
        return "its name has more than one line"
    if not naming.name and (naming.description or naming.representative_id):
        return "it is described without a name"
    return None


def _said_by_persons(archive: Archive, runs: list[Run]) -> dict[str, dict[str, Any]]:
    """The newest word of a person on each cluster."""
    found: dict[str, dict[str, Any]] = {}
    for run in runs:
        if run.operation != "name" or run.status == "failed":
            continue
        for output in archive.outputs(run):
            if output.role == "table:descriptions":
                data = archive.tree.read_checked(output.path, output.sha256)
                for one in schema.decode_rows("descriptions", data, output.path):
                    found[one.cluster_id] = asdict(
                        Naming(one.name, one.description, one.representative_id)
                    )
    return found


def names(archive: Archive) -> NamesView:
    """The names in force by the ledgers, and those of persons that are in force nowhere."""
    view = "SELECT * FROM cluster_names ORDER BY run_id DESC, level, label"
    in_force, astray = ask(
        archive.tree,
        lambda ledgers: (
            ledgers.table(view).to_pylist(),
            ledgers.table(cluster_names.LOST).to_pylist(),
        ),
    )
    by_cluster: dict[str, list[dict[str, Any]]] = {}
    for one in astray:
        by_cluster.setdefault(one["cluster_id"], []).append(one)
    return NamesView(in_force, [_lost(rows) for rows in by_cluster.values()])


def _lost(rows: list[dict[str, Any]]) -> LostView:
    first = rows[0]
    newest = max((one["clustering"] for one in rows if one["clustering"]), default=None)
    here = [one for one in rows if newest is not None and one["clustering"] == newest]
    now = [(str(one["now"]), int(one["shared"])) for one in here]
    share = [count / first["size"] for _, count in now]
    kind = "gone"
    if share and share[0] > 0.5 and (len(share) < 2 or share[1] < 0.25):
        kind = "merged"
    elif len(share) > 1 and sum(share) > 0.5:
        kind = "split"
    return LostView(
        first["name"],
        first["cluster_id"],
        first["person"],
        first["run_id"],
        first["size"],
        kind,
        now,
    )
