"""Curated clusters: slug, name, description, representative, and members grouped by a facet.

Source: workflow W2's curated type, whose facet is a country; here any label of the catalogue or
column of `plates` is one, and its name names the fields.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from ledgerkit.errors import UsageError
from ledgerkit.export.clustered import Clustered

COLUMNS = ("license", "slug", "title", "source_path", "download_url")
"""Columns of `plates` that can be a facet."""
UNKNOWN = ""
"""The code of members of which the facet says nothing."""


def types(found: Clustered, level: int, facet: str, all_named: bool) -> dict[str, Any]:
    """The document but for its basis: the facet, its field names, and one type per named cluster.

    With `all_named` names of a model or the rule count too. Raises `UsageError` for a facet that
    neither the catalogue nor `plates` has.
    """
    values = _values(found, facet)
    by_id = {one.subject_id: one for one in found.subjects}
    members = found.members(level)
    made: list[dict[str, Any]] = []
    slugs: set[str] = set()
    for row in found.of_level(level):
        if row["name"] is None or not (all_named or row["source"] == "person"):
            continue
        groups: dict[str, set[int]] = {}
        for subject in members.get(row["cluster_id"], []):
            plate = by_id[subject].plate_id
            for code in values.get(plate, [UNKNOWN]):
                groups.setdefault(code, set()).add(found.plates[plate]["plate_number"])
        shown = by_id[row["representative_id"]].plate_id
        one: dict[str, Any] = {
            "id": _slug(row["name"], slugs),
            "name": row["name"],
            "representativeImage": {
                facet: values.get(shown, [UNKNOWN])[0],
                "seq": found.plates[shown]["plate_number"],
            },
            plural(facet): [
                {"code": code, "images": sorted(numbers)}
                for code, numbers in sorted(groups.items())
            ],
            "cluster_id": row["cluster_id"],
        }
        if row["description"]:
            one["description"] = row["description"]
        made.append(one)
    return {"facet": facet, "facets": plural(facet), "types": made}


def _values(found: Clustered, facet: str) -> dict[str, list[str]]:
    """What the facet says of each plate, sorted."""
    values: dict[str, list[str]] = {}
    for one in found.subjects:
        said = sorted({label["value"] for label in one.labels if label["scheme"] == facet})
        if not said and facet in COLUMNS and found.plates[one.plate_id][facet]:
            said = [str(found.plates[one.plate_id][facet])]
        if said:
            values[one.plate_id] = said
    if not values:
        known = sorted({label["scheme"] for one in found.subjects for label in one.labels})
        raise UsageError(
            f"the catalogue says no {facet} of any member",
            f"Give --facet one of: {', '.join([*known, *COLUMNS])}",
        )
    return values


def plural(word: str) -> str:
    """The name of the list by a facet: countries, works, licenses."""
    if re.search("[^aeiou]y$", word):
        return f"{word[:-1]}ies"
    return f"{word}s"


def _slug(name: str, taken: set[str]) -> str:
    """A name in lower-case ASCII letters, digits and hyphens; numbered where it is taken."""
    folded = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    base = re.sub(r"[^a-z0-9]+", "-", folded).strip("-") or "cluster"
    slug, number = base, 1
    while slug in taken:
        number += 1
        slug = f"{base}-{number}"
    taken.add(slug)
    return slug
