"""Invented names in the manner of the time: a title for each plate and a line below it."""

from dataclasses import dataclass

import numpy as np

Random = np.random.Generator


@dataclass(frozen=True)
class _Words:
    first: tuple[str, ...]
    second: tuple[str, ...]
    noun: tuple[str, ...]
    genus: tuple[str, ...]


_WORDS = {
    "bird": _Words(
        ("Banded", "Crested", "Lesser", "Great", "Pale", "Sooty", "Ruddy", "Painted"),
        ("Reed", "Marsh", "Wood", "Shore", "Meadow", "Cliff", "Orchard"),
        ("Warbler", "Thrush", "Finch", "Bunting", "Rail", "Wagtail", "Shrike"),
        ("Emberiza", "Turdus", "Sylvia", "Fringilla", "Lanius"),
    ),
    "shell": _Words(
        ("Ribbed", "Girdled", "Knobbed", "Smooth", "Royal", "Tawny", "Furrowed"),
        ("Tower", "Turban", "Spindle", "Harbour", "Coral", "Island"),
        ("Whelk", "Trumpet", "Top-shell", "Winkle", "Triton", "Screw-shell"),
        ("Buccinum", "Turbo", "Murex", "Trochus", "Voluta"),
    ),
    "butterfly": _Words(
        ("Eyed", "Clouded", "Scalloped", "Purple-edged", "Dusky", "Marbled", "Lunar"),
        ("Forest", "Nettle", "Heath", "Willow", "Bramble", "Garden"),
        ("Swallowtail", "Fritillary", "Ringlet", "Emperor", "Argus", "Sulphur"),
        ("Papilio", "Vanessa", "Hipparchia", "Argynnis"),
    ),
    "flower": _Words(
        ("Nodding", "Downy", "Upright", "Branching", "Toothed", "Silken", "Early"),
        ("Alpine", "Meadow-side", "Hedge", "Rock", "Water", "Vernal"),
        ("Anemone", "Primrose", "Campion", "Starwort", "Mallow", "Cinquefoil"),
        ("Anemone", "Silene", "Lychnis", "Potentilla", "Malva"),
    ),
    "radiolarian": _Words(
        ("Radiant", "Armed", "Latticed", "Thorny", "Crowned", "Sieve-like", "Stellate"),
        ("Ocean", "Abyssal", "Southern", "Glass", "Drifting", "Pelagic"),
        ("Spherule", "Star-globe", "Sun-animal", "Ray-sphere", "Net-shell", "Globelet"),
        ("Actinomma", "Heliosphaera", "Haliomma", "Thalassicolla"),
    ),
    "fish": _Words(
        ("Barred", "Spotted", "Golden", "Blunt-nosed", "Spiny", "Silver", "Striped"),
        ("River", "Lake", "Reef", "Brook", "Channel", "Estuary"),
        ("Perch", "Bream", "Wrasse", "Roach", "Gurnard", "Dace"),
        ("Perca", "Labrus", "Sparus", "Cyprinus", "Trigla"),
    ),
    "architecture": _Words(
        ("Old", "New", "Upper", "Ducal", "Northern", "Ruined", "Royal"),
        ("Harbour-side", "Market", "Library", "Mint", "College", "Garden-front"),
        ("Portico", "Exchange", "Temple", "Rotunda", "Guildhall", "Observatory"),
        ("Ordo Doricus", "Ordo Ionicus", "Ordo Tuscus", "Facies Orientalis"),
    ),
}
_EPITHETS = (
    "palustris",
    "elegans",
    "vulgaris",
    "pictus",
    "maritima",
    "regalis",
    "obscura",
    "minor",
)
_IMPRINTS = (
    "Drawn from Nature",
    "A. Vell del.",
    "Engraved by T. Marrow",
    "Coloured by hand",
    "J. Osk sc.",
)


def title(family: str, rng: Random) -> str:
    """A name such as "Banded Reed Warbler"."""
    words = _WORDS[family]
    return " ".join(
        part[int(rng.integers(len(part)))] for part in (words.first, words.second, words.noun)
    )


def imprint(family: str, rng: Random) -> str:
    """The small line below a title: a Latin name, or who drew and cut the plate."""
    genus = _WORDS[family].genus
    latin = genus[int(rng.integers(len(genus)))]
    if family != "architecture":
        latin = f"{latin} {_EPITHETS[int(rng.integers(len(_EPITHETS)))]}"
    credit = _IMPRINTS[int(rng.integers(len(_IMPRINTS)))]
    return (latin, credit, f"{latin}. {credit}")[int(rng.integers(3))]


def roman(number: int) -> str:
    """A whole number from 1 to 3999 in Roman numerals."""
    signs = ("M", "CM", "D", "CD", "C", "XC", "L", "XL", "X", "IX", "V", "IV", "I")
    worth = (1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1)
    written = ""
    for sign, value in zip(signs, worth, strict=True):
        while number >= value:
            written += sign
            number -= value
    return written
