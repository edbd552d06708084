"""`export`: segments, figures, clusterings and sweeps for other tools."""

from __future__ import annotations

from pathlib import Path

import click

from ledgerkit.cli.clusterings import clusters, csv, curated, embedding_atlas, items
from ledgerkit.cli.common import (
    beside_option,
    common_options,
    note_behind,
    note_missing,
    open_all,
    open_repository,
    output_option,
    print_json,
    said_sweeps,
    size,
)


@click.group()
def export() -> None:
    """Write what the ledgers say for other tools, outside of the repository.

    \b
    Example:
      ledgerkit export segments --format coco -o segments.coco.json
      ledgerkit export figures -o figures
      ledgerkit export clusters -o clusters.json
      ledgerkit export sweep -o sweeps
    """


@export.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(("coco", "geojson", "webannotation")),
    required=True,
    help="COCO JSON, GeoJSON in pixels, or W3C Web Annotations with IIIF manifests.",
)
@output_option("file; for webannotation a new folder")
@click.option("--plates", metavar="SELECTION", help="Only these: plate-001,plate-010..020")
@click.option("--kind", metavar="KINDS", help="Only these: figure,part,lettering,paper,background")
@click.option("--variant", help="Only what was made so: classical, or a whole variant of runs.")
@click.option(
    "--at",
    metavar="CHECKPOINT",
    help="As the ledgers were at a checkpoint: a file, or a number of entries.",
)
@click.option(
    "--base-uri",
    metavar="ADDRESS",
    help="For webannotation: where the folder will be served, as for pyramid "
    "[default: http://localhost:8000].",
)
@common_options
def segments(
    form: str,
    output: Path,
    plates: str | None,
    kind: str | None,
    variant: str | None,
    at: str | None,
    base_uri: str | None,
    path: Path | None,
    as_json: bool,
) -> None:
    """Write the current segments of the ledgers as COCO, GeoJSON or Web Annotations.

    The same ledgers and selection give the same bytes. The export names the checkpoint and the
    ledgers that it is a view of, so that it can be cited.

    \b
    Example:
      ledgerkit export segments --format coco --kind figure,part -o figures.coco.json
      ledgerkit export segments --format webannotation --base-uri https://plates.example.org/iiif -o annotations
    """
    repository = open_repository(path)
    view = repository.export(
        "segments",
        form,
        output,
        plates=plates,
        kinds=kind.split(",") if kind is not None else None,
        variant=variant,
        at=at,
        base_uri=base_uri,
    )
    if as_json:
        print_json(view)
    else:
        click.echo(
            f"{view.segments} segments of {view.plates} plates in {view.target}: "
            f"{size(view.bytes)}, SHA-256 {view.sha256}"
        )
        click.echo(f"of {view.origin} at log size {view.log_size}, root {view.log_root}")
    note_behind(repository, at)


@export.command()
@output_option("folder")
@click.option("--made-by", metavar="OPERATIONS", help="Only what these drew: plots,montage")
@click.option("--core", is_flag=True, help="Only the figures to look at first.")
@click.option(
    "--at",
    metavar="CHECKPOINT",
    help="As the ledgers were at a checkpoint: a file, or a number of entries.",
)
@common_options
def figures(
    output: Path,
    made_by: str | None,
    core: bool,
    at: str | None,
    path: Path | None,
    as_json: bool,
) -> None:
    """Copy the figures of the current runs into a folder, with an index as CSV and Parquet.

    viz_index has a row for each picture: stage, plot_id, title, path, tags, is_core, how it is read,
    what should make one doubt it, its digest and its run. Each picture is compared with its digest.

    \b
    Example:
      ledgerkit export figures -o figures
      ledgerkit export figures --core --made-by plots,montage -o core-figures
    """
    repository = open_repository(path)
    view = repository.export_figures(
        output,
        made_by=made_by.split(",") if made_by is not None else None,
        core=core,
        at=at,
    )
    if as_json:
        print_json(view)
    else:
        click.echo(
            f"{view.figures} figures of {view.runs} runs in {view.target}: "
            f"{size(view.bytes)}, SHA-256 of export.json {view.sha256}"
        )
        click.echo(f"of {view.origin} at log size {view.log_size}, root {view.log_root}")
    note_behind(repository, at)


@export.command()
@output_option("folder")
@beside_option
@click.option(
    "--vectors/--no-vectors", default=True, show_default=True, help="Whether X.npy is written."
)
@click.option(
    "--at",
    metavar="CHECKPOINT",
    help="As the ledgers were at a checkpoint: a file, or a number of entries.",
)
@common_options
def sweep(
    output: Path,
    beside: tuple[Path, ...],
    vectors: bool,
    at: str | None,
    path: Path | None,
    as_json: bool,
) -> None:
    """Write the current sweeps in files: vectors, paths, all trials, the best five with pictures.

    For each collection X.npy, paths.txt and optimize_results with runs.csv and rank_01 to rank_05;
    for several collections _meta with all runs, the winners, and the signatures over collections.

    \b
    Example:
      ledgerkit export sweep -o sweeps
      ledgerkit export sweep --beside ../other-archive -o sweeps
    """
    repository = open_repository(path)
    others = open_all(beside)
    view = repository.export_sweeps(output, beside=others, vectors=vectors, at=at)
    if as_json:
        print_json(view)
    else:
        click.echo(said_sweeps(view))
        for one in view.sources:
            click.echo(f"of {one['origin']} at log size {one['log_size']}, root {one['log_root']}")
    note_missing(view.missing)
    for swept in (repository, *others):
        note_behind(swept, at)


for _command in (clusters, items, curated, embedding_atlas, csv):
    export.add_command(_command)
