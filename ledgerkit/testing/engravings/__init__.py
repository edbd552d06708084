"""Plates like old hand-coloured engravings, drawn from a seed, with their truth.

Tests measure segmentation and clustering against it; the example corpus is drawn by it.
`draw` makes one plate, `write_corpus` a folder of scans with catalogue and truth.
"""

from ledgerkit.testing.engravings.corpus import (
    CorpusEntry,
    decode_runs,
    encode_runs,
    write_corpus,
)
from ledgerkit.testing.engravings.plates import FAMILIES, GAP, Plate, Shape, draw

__all__ = [
    "FAMILIES",
    "GAP",
    "CorpusEntry",
    "Plate",
    "Shape",
    "decode_runs",
    "draw",
    "encode_runs",
    "write_corpus",
]
