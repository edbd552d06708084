"""`models`: add, list, show, path, verify, export-onnx, remove."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ledgerkit.cli.common import (
    columns,
    counting,
    print_findings,
    print_json,
    size,
    wait_option,
)
from ledgerkit.findings import writable

if TYPE_CHECKING:
    from ledgerkit.weights import ModelDocument, ModelStore


def _store_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--store`, `--json` and `--debug`."""
    function = click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks.")(
        function
    )
    function = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")(
        function
    )
    return click.option(
        "--store",
        "root",
        type=click.Path(path_type=Path),
        metavar="PATH",
        help="The store; else LEDGERKIT_MODELS, else ledgerkit/models in your data folder.",
    )(function)


def _store(root: Path | None) -> ModelStore:
    from ledgerkit.weights import ModelStore

    return ModelStore(root)


@click.group()
def models() -> None:
    """Keep weights for learned models, pinned by their digests, in a store outside repositories.

    \b
    Example:
      ledgerkit models add clip --from openai/clip-vit-base-patch32@main
      ledgerkit models add sam --from weights/sam_vit_b.pth --license Apache-2.0
      ledgerkit models list
      ledgerkit models verify
    """


@models.command()
@click.argument("name")
@click.option(
    "--from",
    "origin",
    required=True,
    metavar="FOLDER|FILE|HUB_ID@REVISION",
    help="Where it is: here, or on a hub at a branch, tag or commit.",
)
@click.option("--license", metavar="TEXT", help="The licence, where the hub does not state it.")
@click.option(
    "--preprocessing",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A JSON file that declares the preprocessing, where the model has none.",
)
@wait_option
@_store_options
def add(
    name: str,
    origin: str,
    license: str | None,
    preprocessing: Path | None,
    wait: float,
    root: Path | None,
    as_json: bool,
) -> None:
    """Take a model into the store, whole or not at all.

    Files are copied, digested and made read-only. Hidden files, code, other frameworks' weights and
    pickles beside safetensors are left out and named. Pickles alone (.bin, .pt, .pth, .ckpt) are
    kept, to be loaded with weights_only. A download that was cut goes on where it stopped.

    \b
    Example:
      ledgerkit models add clip --from openai/clip-vit-base-patch32@main
    """
    from ledgerkit.weights.adding import add as add_model

    with _bytes_progress(as_json) as progress:
        view = add_model(
            _store(root),
            name,
            origin,
            license=license,
            preprocessing=preprocessing,
            wait=wait,
            progress=progress,
        )
    if as_json:
        print_json(view)
        return
    model = view.model
    click.echo(
        f"{view.outcome} {name}: {len(model.files)} files, {size(model.bytes)}, "
        f"revision {writable(model.revision)}, licence {writable(model.license or 'not stated')}"
    )
    for left in model.left_out:
        click.echo(writable(f"  left out {left.path}: {left.reason}"))
    click.echo(f"  load it from {writable(view.path)}")


@models.command("list")
@_store_options
def list_models(root: Path | None, as_json: bool) -> None:
    """List all models, and whether their files are there with their sizes.

    \b
    Example:
      ledgerkit models list
    """
    store = _store(root)
    found = [store.show(name) for name in store.names()]
    state = [
        "there" if next(store.problems(one, full=False), None) is None else "DAMAGED"
        for one in found
    ]
    if as_json:
        rows = zip(found, state, strict=True)
        print_json([{"model": one, "sound": said == "there"} for one, said in rows])
        return
    click.echo(
        columns(
            [
                [
                    one.name,
                    one.architecture or one.family or "-",
                    writable(one.revision.removeprefix("sha256:")[:12]),
                    size(one.bytes),
                    writable(one.license or "licence not stated"),
                    said,
                ]
                for one, said in zip(found, state, strict=True)
            ],
            right=frozenset({3}),
        )
        or f"no models in {writable(str(store.root))}; add one with: ledgerkit models add"
    )


@models.command()
@click.argument("name")
@_store_options
def show(name: str, root: Path | None, as_json: bool) -> None:
    """Print all that is known of a model, and what a record would pin.

    \b
    Example:
      ledgerkit models show clip
    """
    found = _store(root).show(name)
    if as_json:
        print_json(found)
        return
    _print_document(found)


def _print_document(found: ModelDocument) -> None:
    facts = {
        "id": found.id,
        "revision": found.revision,
        "sha256": found.sha256,
        "licence": found.license or "not stated",
        "from": f"{found.source.kind} {found.source.name}",
        "family": found.family or "not stated",
        "architecture": found.architecture or "not stated",
        "added": f"{found.added_at} by {found.software}",
    }
    for label, value in facts.items():
        click.echo(writable(f"  {label}: {value}"))
    for name, value in (found.preprocessing or {}).items():
        click.echo(writable(f"  preprocessing {name}: {value}"))
    if found.preprocessing is None:
        click.echo("  preprocessing: not declared")
    rows = [
        [writable(one.path), one.role, size(one.bytes), one.sha256, one.loads or ""]
        for one in found.files
    ]
    click.echo(columns(rows, right=frozenset({2})))
    for left in found.left_out:
        click.echo(writable(f"  left out {left.path}: {left.reason}"))


@models.command()
@click.argument("name")
@_store_options
def path(name: str, root: Path | None, as_json: bool) -> None:
    """Print the folder to load a model from, its files there with their sizes.

    \b
    Example:
      ledgerkit models path clip
    """
    found = _store(root).path(name)
    print_json({"path": str(found)}) if as_json else click.echo(str(found))


@models.command()
@click.argument("names", nargs=-1)
@_store_options
def verify(names: tuple[str, ...], root: Path | None, as_json: bool) -> int:
    """Read every byte of all models, or of those named, and say what is not as it was added.

    Exits with 1 when something is missing or wrong. It writes nothing.

    \b
    Example:
      ledgerkit models verify
    """
    from ledgerkit.weights.checking import verify as verify_models

    with counting("models", as_json) as progress:
        view = verify_models(_store(root), list(names) or None, progress)
    if as_json:
        print_json(view)
    else:
        print_findings(view.findings)
        said = "all as they were added" if view.sound else "not all as they were added"
        click.echo(
            f"models verify: {view.models} models, {view.files} files, {size(view.bytes)}: {said}"
        )
    return 0 if view.sound else 1


@models.command("export-onnx")
@click.argument("name")
@click.option("--as", "new_name", required=True, metavar="NAME", help="The name it gets.")
@click.option(
    "--image",
    "images",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="An image to compare both on; several may be given. By default three photographs.",
)
@wait_option
@_store_options
def export_onnx(
    name: str,
    new_name: str,
    images: tuple[Path, ...],
    wait: float,
    root: Path | None,
    as_json: bool,
) -> None:
    """Export the image tower of a model as ONNX, and add it to the store under a new name.

    Its vectors are compared with torch's on noise and on real images. Where one is farther than a
    cosine distance of 1e-5, nothing is added. It needs no torch to run: onnxruntime alone. Vectors of
    both lie in spaces of their own.

    \b
    Example:
      ledgerkit models export-onnx clip --as clip-onnx
    """
    from ledgerkit.weights.exporting import export_onnx as export

    view = export(_store(root), name, new_name, images=images, wait=wait)
    if as_json:
        print_json(view)
        return
    proof = view.proof
    click.echo(
        f"{view.added.outcome} {new_name}: the image tower of {name}, "
        f"{size(view.added.model.bytes)}"
    )
    click.echo(
        f"  proof on {proof.random} pictures of noise and {proof.real} real ones: cosine distances "
        f"up to {proof.most_cosine:.1e} ({proof.tolerance:.0e} allowed), components differ by up to "
        f"{proof.most_difference:.1e}"
    )


@models.command()
@click.argument("name")
@wait_option
@_store_options
def remove(name: str, wait: float, root: Path | None, as_json: bool) -> None:
    """Take a model out of the store, with the files that no other model uses.

    Records that pin it stay as they are; to re-run them, the same weights must be added again.

    \b
    Example:
      ledgerkit models remove clip
    """
    from ledgerkit.weights.removing import remove as remove_model

    view = remove_model(_store(root), name, wait=wait)
    if as_json:
        print_json(view)
        return
    click.echo(f"removed {name}: {view.removed} items, {size(view.freed_bytes)} freed")


@contextlib.contextmanager
def _bytes_progress(quiet: bool) -> Iterator[Callable[[str, int, int], None] | None]:
    """Files and bytes as they come in, on a terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    shown = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Bar(*shown, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("models", total=None)

        def update(path: str, done: int, total: int) -> None:
            bar.update(task, description=writable(path[-40:]), completed=done, total=total)

        yield update
