"""What the members of a group share, in words: colours, form, texture, and words of their titles.

Pure: rows in, texts and the numbers behind them out. The same members give the same words in any
order. Source of the weighing of words: Monroe, Colaresi & Quinn 2008, "Fightin' Words" (log-odds
with an informative Dirichlet prior, as z-scores; equation 22).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

FUNCTION_WORDS = frozenset({
    "a", "an", "and", "at", "by", "de", "der", "des", "di", "die", "du", "from", "in", "la", "le",
    "les", "of", "on", "or", "the", "to", "und", "with",
})  # fmt: skip
COMMON = 0.5
"""Share of all members of all groups above which a word says nothing: a stop word of the collection."""
LEAST_Z = 1.0
"""Least z-score of a word in a name."""
WORDS, COLOURS = 2, 2
LEAST_COLOUR = 0.2
"""Least share of a colour in a name."""
_WORD = re.compile(r"[^\W\d_]{3,}")


@dataclass(frozen=True, slots=True)
class Subject:
    """What is known of one member; None and empty where nothing is."""

    title: str = ""
    colours: tuple[tuple[str, float], ...] = ()
    """Pairs of a word for a colour and its weight, the area that has it."""
    aspect: float | None = None
    """Width over height."""
    solidity: float | None = None
    """Area over area of the convex hull, 0..1."""
    share: float | None = None
    """Area over that of the plate, 0..1."""
    edges: float | None = None
    """Density of edges, 0..1."""


@dataclass(frozen=True, slots=True)
class Wording:
    """A name, a description, and the numbers that they come from."""

    name: str
    description: str
    evidence: dict[str, object]
    spare: list[str] = field(default_factory=list)
    """Further words, in the order in which they would tell this group from one of the same name."""


def words_of(title: str) -> set[str]:
    """Words of a title in lower case: letters only, three at least, no function words."""
    return {word.casefold() for word in _WORD.findall(title)} - FUNCTION_WORDS


def weigh(
    inside: Counter[str], outside: Counter[str], members: int, others: int
) -> dict[str, float]:
    """z-score of each word of `inside`: how much more members have it than others have.

    Both count the members that have a word; the prior is the words' frequency in both together.
    """
    found = {}
    for word, count in inside.items():
        prior = count + outside[word]
        total = members + others
        ours = math.log((count + prior / total) / (members - count + 1))
        theirs = math.log((outside[word] + prior / total) / (others - outside[word] + 1))
        variance = 1 / (count + prior / total) + 1 / (outside[word] + prior / total)
        found[word] = (ours - theirs) / math.sqrt(variance)
    return found


def describe_groups(groups: Mapping[str, Sequence[Subject]]) -> dict[str, Wording]:
    """A wording for each group by its key; no two have one name.

    `groups` are those of one level, in the order in which a number is given to the last resort.
    """
    everyone = [one for members in groups.values() for one in members]
    counted = {
        key: Counter(word for one in members for word in words_of(one.title))
        for key, members in groups.items()
    }
    total: Counter[str] = sum(counted.values(), Counter())
    stop = {word for word, count in total.items() if count > COMMON * len(everyone)}
    edges = sorted(one.edges for one in everyone if one.edges is not None)
    found = {}
    for key, members in groups.items():
        z = weigh(counted[key], total - counted[key], len(members), len(everyone) - len(members))
        spelled = _spelling(members)
        found[key] = _wording(members, counted[key], z, stop, spelled, edges)
    return _told_apart(found)


def _wording(
    members: Sequence[Subject],
    counted: Counter[str],
    z: Mapping[str, float],
    stop: set[str],
    spelled: Mapping[str, str],
    edges: list[float],
) -> Wording:
    ranked = sorted((w for w in z if w not in stop and counted[w] > 1), key=lambda w: (-z[w], w))
    telling = [word for word in ranked if z[word] >= LEAST_Z]
    colours = _colours(members)
    named = [word for word, share in colours if share >= LEAST_COLOUR][:COLOURS]
    form, texture = _form(members), _texture(members, edges)
    looks = [" and ".join(named), *form[:1], *texture]
    looks = [one for one in looks if one]
    words = ", ".join(spelled[word] for word in telling[:WORDS])
    name = f"{words}: {', '.join(looks)}" if words and looks else words or ", ".join(looks)
    spare = [*form[1:], *(spelled[word] for word in ranked[WORDS:])]
    spare += [word for word, _ in colours if word not in named]
    return Wording(
        _upper(name) or "Nothing in common",
        _sentences(members, counted, telling, spelled, colours, [*form, *texture]),
        {
            "members": len(members),
            "words": [
                {"word": word, "members": counted[word], "z": round(z[word], 4)}
                for word in ranked[:10]
            ],
            "colours": [{"word": word, "share": round(share, 4)} for word, share in colours],
            **{name: value for name, value in _medians(members).items() if value is not None},
        },
        spare,
    )


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _spelling(members: Sequence[Subject]) -> dict[str, str]:
    """How each word is written most often, the first in the order of the alphabet among equals."""
    seen: dict[str, Counter[str]] = {}
    for one in members:
        for word in _WORD.findall(one.title):
            seen.setdefault(word.casefold(), Counter())[word] += 1
    return {word: min(forms, key=lambda form: (-forms[form], form)) for word, forms in seen.items()}


def _colours(members: Sequence[Subject]) -> list[tuple[str, float]]:
    """Colour words and the share each has on average of a member that has colours, largest first."""
    shares: dict[str, float] = {}
    coloured = [one for one in members if one.colours]
    for one in coloured:
        whole = math.fsum(weight for _, weight in one.colours)
        for word, weight in one.colours:
            shares[word] = shares.get(word, 0.0) + weight / whole / len(coloured)
    return sorted(shares.items(), key=lambda item: (-round(item[1], 9), item[0]))


def _medians(members: Sequence[Subject]) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for name in ("aspect", "solidity", "share", "edges"):
        values = [value for one in members if (value := getattr(one, name)) is not None]
        found[name] = round(median(values), 4) if values else None
    return found


def _form(members: Sequence[Subject]) -> list[str]:
    """Words for the medians of aspect, size and solidity; none where they are middling."""
    medians = _medians(members)
    found = []
    for name, low, low_word, high, high_word in (
        ("aspect", 0.75, "tall", 1.33, "wide"),
        ("share", 0.1, "small", 0.5, "large"),
        ("solidity", 0.6, "branching", 0.9, "compact"),
    ):
        value = medians[name]
        if value is not None and value <= low:
            found.append(low_word)
        if value is not None and value >= high:
            found.append(high_word)
    return found


def _texture(members: Sequence[Subject], edges: list[float]) -> list[str]:
    """A word where the median density of edges lies in the outer quarters of all members'."""
    value = _medians(members)["edges"]
    if value is None or len(edges) < 8 or edges[0] == edges[-1]:
        return []
    if value >= edges[3 * len(edges) // 4]:
        return ["finely drawn"]
    return ["plain"] if value <= edges[len(edges) // 4] else []


def _sentences(
    members: Sequence[Subject],
    counted: Counter[str],
    telling: Sequence[str],
    spelled: Mapping[str, str],
    colours: Sequence[tuple[str, float]],
    looks: Sequence[str],
) -> str:
    many = len(members)
    said = [f"{many} member{'s' * (many != 1)}."]
    if telling:
        listed = ", ".join(f"{spelled[word]} ({counted[word]} of {many})" for word in telling[:5])
        said.append(f"Words in their titles more than elsewhere: {listed}.")
    if colours:
        listed = ", ".join(f"{word} {share:.0%}" for word, share in colours[:4])
        said.append(f"Colours: {listed}.")
    if looks:
        said.append(f"Mostly {', '.join(looks)}.")
    return " ".join(said)


def _told_apart(found: dict[str, Wording]) -> dict[str, Wording]:
    """Equal names get a further word each has and the others lack; where none is left, a number."""
    by_name: dict[str, list[str]] = {}
    for key, wording in found.items():
        by_name.setdefault(wording.name, []).append(key)
    taken = {name for name, keys in by_name.items() if len(keys) == 1}
    for name, keys in by_name.items():
        for place, key in enumerate(keys) if len(keys) > 1 else ():
            others = {word for other in keys if other != key for word in found[other].spare}
            own = [f"{name}, {word}" for word in found[key].spare if word not in others]
            numbered = (f"{name} ({number})" for number in range(place + 1, 2 * len(found) + 2))
            new = next(one for one in (*own, *numbered) if one not in taken)
            taken.add(new)
            found[key] = Wording(new, found[key].description, found[key].evidence)
    return found
