"""Recall and precision of near-duplicate detection on copies made of the images of a folder.

    python -m ledgerkit.testing.duplicates FOLDER [--workers N]

Of each image five copies are made (`copies.py`), all are hashed and described as `hash` and `embed`
do, and every pair is judged by the rules of `ledgerkit duplicates` at its defaults. Recall: how many
of the pairs of an image and its copy are found, by what was done to it. Precision: how many of all
pairs found, copies among each other and strangers included, are of one image. Images of the folder
that are copies of each other count as strangers: look at the pairs that are printed.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
ORIGINAL = "original"
Stranger = tuple[str, str, int, float | None]
"""Two images and what was done to them, bits, cosine."""


@dataclass(frozen=True)
class Looked:
    """An image or a copy of it: its hashes as words, which there are, and its vector."""

    name: str
    made: str
    words: NDArray[np.uint64]
    known: NDArray[np.bool_]
    vector: NDArray[np.float32] | None


@dataclass(frozen=True)
class Judged:
    """Pairs found, of those there are, and strangers among them."""

    found: dict[str, int]
    there: dict[str, int]
    right: int
    all_right: int
    strangers: list[Stranger]

    @property
    def recall(self) -> float:
        """Of pairs of an image and its copy, those found; 0..1."""
        return sum(self.found.values()) / sum(self.there.values())

    @property
    def precision(self) -> float:
        """Of all pairs found, those of one image; 0..1."""
        return self.right / (self.right + len(self.strangers))


def look(
    path: Path, number: int, long_side: int = 1 << 20, *, vectors: bool = True
) -> list[Looked]:
    """An image and its copies, made of its pixels at `long_side` at most; hashed alone on request."""
    from PIL import Image

    from ledgerkit.imaging.decode import read_shrunk
    from ledgerkit.testing.copies import copies, encoded

    with path.open("rb") as file:
        image = Image.fromarray(read_shrunk(file, long_side))
    files = {ORIGINAL: encoded(image, 95), **copies(image, number)}
    return [described(path.name, made, data, vectors) for made, data in files.items()]


def described(name: str, made: str, data: bytes, vectors: bool) -> Looked:
    """Hashes and, where `vectors`, the vector of an image file."""
    import numpy as np

    from ledgerkit.operations import embed, hash

    found = hash.hash_image(io.BytesIO(data), hash.Parameters())
    known = np.array([row["tone"] is not None for row in found.values()])
    digits = [f"{row['tone'] or '0' * 32}{row['detail'] or '0' * 32}" for row in found.values()]
    words = np.array([np.frombuffer(bytes.fromhex(one), np.uint64) for one in digits])
    vector = embed.describe_image(io.BytesIO(data), embed.Parameters()) if vectors else None
    return Looked(name, made, words, known, vector)


def judge(looked: Sequence[Looked]) -> Judged:
    """Every pair by the rules of `duplicates`."""
    import numpy as np

    from ledgerkit.clustering.pairs import Hashed, distances
    from ledgerkit.duplicates import Thresholds

    hashed = Hashed(
        np.array([one.words for one in looked]), np.array([one.known for one in looked])
    )
    far = distances(hashed, hashed)
    thresholds = Thresholds()
    found: dict[str, int] = {}
    there: dict[str, int] = {}
    right, all_right = 0, 0
    strangers = []
    for first, one in enumerate(looked):
        for second in range(first + 1, len(looked)):
            other = looked[second]
            bits, cosine = int(far[first, second]), _cosine(one, other)
            near = thresholds.rule(bits if bits < hashed.none else None, cosine) is not None
            if one.name != other.name:
                if near:
                    strangers.append(
                        (f"{one.name} {one.made}", f"{other.name} {other.made}", bits, cosine)
                    )
                continue
            right += near
            all_right += 1
            if one.made == ORIGINAL:
                there[other.made] = there.get(other.made, 0) + 1
                found[other.made] = found.get(other.made, 0) + near
    return Judged(found, there, right, all_right, strangers)


def _cosine(one: Looked, other: Looked) -> float | None:
    if one.vector is None or other.vector is None:
        return None
    return float(one.vector @ other.vector)


def report(judged: Judged) -> list[str]:
    """Markdown lines."""
    lines = ["| copy | found | of | recall |", "| --- | --- | --- | --- |"]
    for made, of in judged.there.items():
        lines.append(f"| {made} | {judged.found[made]} | {of} | {judged.found[made] / of:.3f} |")
    lines += [
        "",
        f"recall {judged.recall:.4f}, precision {judged.precision:.4f}; among all pairs of one "
        f"image {judged.right} of {judged.all_right}; strangers: {len(judged.strangers)}",
    ]
    lines += [f"  {one} | {two} | {bits} bits | {cos}" for one, two, bits, cos in _few(judged)]
    return lines


def _few(judged: Judged) -> list[Stranger]:
    return sorted(judged.strangers, key=lambda pair: pair[2])[:20]


def _look(task: tuple[Path, int]) -> list[Looked]:
    return look(*task)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the copies, look at all, print the report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args(arguments)
    paths = sorted(path for path in given.folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    with get_context("spawn").Pool(given.workers) as pool:
        looked = [
            one
            for found in pool.imap(_look, [(path, number) for number, path in enumerate(paths)])
            for one in found
        ]
    print(f"{len(paths)} images, {len(looked) - len(paths)} copies\n")
    print("\n".join(report(judge(looked))))


if __name__ == "__main__":
    main()
