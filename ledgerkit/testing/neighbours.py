"""Judge vectors by labels: do the neighbours of a picture show the same kind of thing?

    python -m ledgerkit.testing.neighbours FOLDER [LABELS.tsv] [--by COLUMN ...] [--apart COLUMN]
        [--model NAME ...]

FOLDER holds images; LABELS.tsv (by default FOLDER/SOURCES.tsv) has a column `file` and columns of
labels. For each kind of vector the table says, leave one out and by cosine: how often the majority of
the 5 nearest have the label of the picture itself, and how many of the 10 nearest have it. Images
without a label of the column are left out; with `--apart`, pictures with the same value of that column
(the same work) are no neighbours of each other. Kinds are the classical vector of `embed` at its
defaults, each of its blocks alone, without colours, without shape, that of `encode` for each model
named, which is looked for in the store of models, and the spaces that `fuse` derives from the first.
Those are fitted on all images of the folder, the judged one among them, as `fuse` is on all plates of
an archive; labels have no part in it.
Source: Manning, Raghavan & Schütze 2008, 8.4 (precision at k).
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ledgerkit.weights import ModelStore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

VOTERS, SHOWN = 5, 10
COLOUR, SHAPE = "colours", "shape"
SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")


def read_labels(path: Path, columns: Sequence[str]) -> dict[str, dict[str, str]]:
    """For each column the label by file name, rows without one left out.

    Raises `ValueError` for a column that is not there.
    """
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    known = set(rows[0]) if rows else set()
    lacking = sorted({"file", *columns} - known)
    if lacking:
        raise ValueError(f"{path} has no column {', '.join(lacking)}; it has {', '.join(known)}")
    return {column: {row["file"]: row[column] for row in rows if row[column]} for column in columns}


def parser_of(told: str) -> argparse.ArgumentParser:
    """A parser for FOLDER [LABELS.tsv] --by COLUMN ..., for a module whose docstring is `told`."""
    parser = argparse.ArgumentParser(description=told.partition("\n")[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("labels", type=Path, nargs="?", metavar="LABELS.tsv")
    parser.add_argument("--by", nargs="+", default=["work", "group"], metavar="COLUMN")
    return parser


def read_folder(given: argparse.Namespace) -> tuple[list[Path], dict[str, dict[str, str]]]:
    """Images of the folder by name, and by column the label of each file name."""
    labels = read_labels(given.labels or given.folder / "SOURCES.tsv", given.by)
    return [
        path for path in sorted(given.folder.iterdir()) if path.suffix.lower() in SUFFIXES
    ], labels


def counted(images: Sequence[Path], labels: Mapping[str, Mapping[str, str]]) -> str:
    """How many images have a label of each column, in how many classes."""
    counts = {
        scheme: (sum(path.name in named for path in images), len(set(named.values())))
        for scheme, named in labels.items()
    }
    told = "; ".join(f"{of} in {many} classes by {name}" for name, (of, many) in counts.items())
    return f"{len(images)} images: {told}"


def kinds_of(path: Path, models: Mapping[str, Path] | None = None) -> dict[str, Vectors]:
    """Vectors of one image by kind: the classical one, its blocks alone, and those of `models`,
    folders by name.
    """
    from ledgerkit.imaging.descriptor import blocks_of, describe
    from ledgerkit.operations import embed, encode

    parameters = embed.Parameters()
    with path.open("rb") as file:
        subject = embed.subject_of(file, parameters)
    whole, _ = describe(subject, embed.weights_of(parameters))
    blocks = {name: block.astype("float32") for name, block in blocks_of(subject).items()}
    found = {"classical": whole, **blocks}
    for name, weight in ((COLOUR, "colour"), (SHAPE, "shape")):
        weights = replace(embed.weights_of(parameters), **{weight: 0.0})
        found[f"classical without {name}"], _ = describe(subject, weights)
    for name, folder in (models or {}).items():
        with path.open("rb") as file:
            found[name] = encode.describe_image(file, encode.Parameters(model=name), folder)
    return found


def fused(classical: Vectors) -> dict[str, Vectors]:
    """Derived spaces of classical vectors (n, 2298) by name: at the defaults of `fuse`, and others."""
    from ledgerkit.clustering.fusion import joined
    from ledgerkit.operations import embed, fuse

    space = embed.space_id(embed.Parameters())
    settings = {
        "fused": fuse.Parameters(),
        **{
            f"fused, with {block}": fuse.Parameters(
                blocks=",".join([fuse.Parameters().blocks, block])
            )
            for block in (COLOUR, SHAPE)
        },
        "fused, 64 components": fuse.Parameters(components=fuse.MOST),
        "random projection": fuse.Parameters(method="random"),
    }
    found = {}
    for name, parameters in settings.items():
        chosen = fuse.names_of(parameters.blocks)
        blocks = fuse.blocks_of(classical, chosen, space)
        names = [str(row) for row in range(len(classical))]
        found[name] = joined(blocks, fuse.bases_of(blocks, parameters), names)[0]
    return found


def similarities(vectors: Vectors) -> Vectors:
    """Cosines of all pairs, float32 (n, n); each row's own is minus infinity. A zero row has 0."""
    import numpy as np

    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(lengths > 0, lengths, 1)
    found = unit @ unit.T
    np.fill_diagonal(found, -np.inf)
    return np.asarray(found, dtype=np.float32)


def judge(
    vectors: Vectors, labels: Sequence[str], apart: Sequence[str] | None = None
) -> tuple[float, float]:
    """5-NN accuracy and precision at 10, each 0..1, of float32 (n, d) with n > 10 labels.

    Rows with the same value of `apart` (n) are no neighbours. Raises `ValueError` where that leaves
    a row fewer than 10.
    """
    import numpy as np

    found = similarities(vectors)
    if apart is not None:
        values = np.array(apart)
        found[values[:, None] == values] = -np.inf
    if (np.isfinite(found).sum(axis=1) < SHOWN).any():
        raise ValueError(f"a picture has fewer than {SHOWN} that can be its neighbours")
    order = np.argsort(-found, axis=1, kind="stable")[:, :SHOWN]
    right, shared = 0, 0
    for own, row in zip(labels, order, strict=True):
        near = [labels[place] for place in row]
        right += majority(near[:VOTERS]) == own
        shared += near.count(own)
    return right / len(labels), shared / (SHOWN * len(labels))


def majority(votes: Sequence[str]) -> str:
    """The label with most of the votes, nearest first; of equals the one whose first is nearest."""
    # Counter keeps the order of first votes.
    return Counter(votes).most_common(1)[0][0]


def table(
    images: Mapping[str, Mapping[str, Vectors]],
    labels: Mapping[str, Mapping[str, str]],
    apart: Mapping[str, str] | None = None,
) -> list[str]:
    """Markdown lines: a row for each kind of vector, two columns for each scheme of labels.

    Images with the same value in `apart`, by file name, are no neighbours; those without are left
    out.
    """
    import numpy as np

    kinds = list(next(iter(images.values())))
    head = ["vector", "numbers"]
    for scheme in labels:
        head += [f"{VOTERS}-NN by {scheme}", f"P@{SHOWN} by {scheme}"]
    lines = [line_of(head), "|" + " --- |" * len(head)]
    for kind in kinds:
        cells = [kind, str(len(next(iter(images.values()))[kind]))]
        for named in labels.values():
            files = [name for name in images if name in named and (apart is None or name in apart)]
            vectors = np.array([images[name][kind] for name in files])
            shares = judge(
                vectors,
                [named[name] for name in files],
                None if apart is None else [apart[name] for name in files],
            )
            cells += [f"{share:.3f}" for share in shares]
        lines.append(line_of(cells))
    return lines


def line_of(cells: Iterable[str]) -> str:
    """One row of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Describe the images and print the table."""
    import numpy as np

    parser = parser_of(__doc__ or "")
    parser.add_argument("--model", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--apart", metavar="COLUMN")
    given = parser.parse_args(arguments)
    models = {name: ModelStore().path(name) for name in given.model}
    paths, labels = read_folder(given)
    source = given.labels or given.folder / "SOURCES.tsv"
    apart = read_labels(source, [given.apart])[given.apart] if given.apart else None
    images = {path.name: kinds_of(path, models) for path in paths}
    for kind, vectors in fused(np.array([kinds["classical"] for kinds in images.values()])).items():
        for kinds, vector in zip(images.values(), vectors, strict=True):
            kinds[kind] = vector
    print(f"{counted(paths, labels)}\n")
    print("\n".join(table(images, labels, apart)))


if __name__ == "__main__":
    main()
