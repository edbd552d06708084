"""`export clusters`, `items`, `curated`, `embedding-atlas` and `csv`: a clustering for other tools."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from ledgerkit.cli.common import (
    common_options,
    note_behind,
    open_repository,
    output_option,
    print_json,
    size,
)


def _clustering(function: Callable[..., Any]) -> Callable[..., Any]:
    """Options of every export of a clustering: which, of which moment, and where to."""
    for option in (
        click.option(
            "--at",
            metavar="CHECKPOINT",
            help="As the ledgers were at a checkpoint: a file, or a number of entries.",
        ),
        click.option("--run", "run_id", metavar="RUN", help="This current run, not the newest."),
        click.option(
            "--of",
            type=click.Choice(("plates", "tiles", "segments")),
            default="plates",
            show_default=True,
            help="What was grouped.",
        ),
        output_option("file, or folder"),
    ):
        function = option(function)
    return common_options(function)


_level = click.option(
    "--level", default=1, show_default=True, help="Level of the clusters, 1 the coarsest."
)


@click.command()
@_level
@click.option("--category", help="What the file calls its category [default: what was grouped].")
@_clustering
def clusters(level: int, category: str | None, **common: Any) -> None:
    """Write clusters.json: each cluster with its representative and images, and the unclustered.

    \b
    Example:
      ledgerkit export clusters -o clusters.json
    """
    _export("clusters", common, level=level, category=category)


@click.command()
@_clustering
def items(**common: Any) -> None:
    """Write a folder with items.json and clusters.json: the map, all levels, names, categories.

    \b
    Example:
      ledgerkit export items -o visualizer/public/data
    """
    _export("items", common)


@click.command()
@_level
@click.option(
    "--facet",
    default="country",
    show_default=True,
    help="Field of the catalogue, or license, by which members are grouped.",
)
@click.option("--all", "all_named", is_flag=True, help="Also what no person named.")
@_clustering
def curated(level: int, facet: str, all_named: bool, **common: Any) -> None:
    """Write the named clusters with slug, description, representative, and members by a facet.

    \b
    Example:
      ledgerkit export curated --facet work -o types.json
    """
    _export("curated", common, level=level, facet=facet, all_named=all_named)


@click.command("embedding-atlas")
@click.option(
    "--thumbnails",
    "side",
    default=128,
    show_default=True,
    type=click.IntRange(0, 1024),
    help="Long side of the pictures in pixels; 0 for none.",
)
@click.option(
    "--neighbors",
    "neighbours",
    default=10,
    show_default=True,
    type=click.IntRange(0, 100),
    help="Neighbours listed of each subject; 0 for none.",
)
@_clustering
def embedding_atlas(side: int, neighbours: int, **common: Any) -> None:
    """Write a Parquet file that Apple's embedding-atlas opens with its map and neighbours.

    \b
    Example:
      ledgerkit export embedding-atlas -o plates.parquet
      embedding-atlas plates.parquet --x projection_x --y projection_y --neighbors neighbors
    """
    _export("embedding-atlas", common, side=side, neighbours=neighbours)


@click.command()
@_clustering
def csv(**common: Any) -> None:
    """Write a folder with clusters.csv and members.csv.

    \b
    Example:
      ledgerkit export csv -o clustering
    """
    _export("csv", common)


def _export(form: str, common: dict[str, Any], **chosen: Any) -> None:
    repository = open_repository(common.pop("path"))
    as_json, output = common.pop("as_json"), common.pop("output")
    view = repository.export_clusters(form, output, **common, **chosen)
    if as_json:
        print_json(view)
    else:
        click.echo(
            f"{view.clusters} clusters of {view.items} items by {view.clustering} in "
            f"{view.target}: {size(view.bytes)}, SHA-256 {view.sha256}"
        )
        click.echo(f"of {view.origin} at log size {view.log_size}, root {view.log_root}")
    if view.missing:
        click.echo(
            f"{view.missing} items have no picture: their images are gone or not as recorded. "
            "See: ledgerkit cache status, ledgerkit verify",
            err=True,
        )
    note_behind(repository, common["at"])
