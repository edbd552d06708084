"""What is odd about the names in a folder, and about the paths that a record lists.

Names are looked at as they lie: nothing is opened, no link is followed. Keeps out: what the files
hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ledgerkit import layout
from ledgerkit.errors import UnsafePath
from ledgerkit.findings import Finding, finding
from ledgerkit.reading import Entry


def check_names(folder: str, entries: list[Entry]) -> Iterator[Finding]:
    """Links, special files, twins by Unicode form or case, and names that do not travel."""
    for entry in entries:
        path = f"{folder}/{entry.name}" if folder else entry.name
        if entry.is_link:
            yield finding("LINK_FOUND", path)
        elif entry.is_special:
            yield finding("SPECIAL_FILE", path)
        problem = layout.name_problem(entry.name)
        if problem == layout.NOT_UTF8:
            yield finding("NAME_NOT_UTF8", path, layout.shown(entry.name))
        elif problem:
            yield finding("NAME_UNPORTABLE", path, f"{layout.shown(entry.name)} {problem}")
    for same in layout.twins(entry.name for entry in entries):
        yield finding("NAME_COLLIDES", folder or ".", ", ".join(map(layout.shown, same)))


def check_paths(record: str, paths: Iterable[str]) -> Iterator[Finding]:
    """Paths of a record that lead out, that no file can have, or that cannot lie side by side."""
    good = []
    for path in paths:
        try:
            good.append(layout.contained_path(path))
        except UnsafePath as error:
            yield finding("PATH_UNSAFE", record, error.message)
    for same in layout.twins(dict.fromkeys(good)):
        yield finding("NAME_COLLIDES", record, ", ".join(map(layout.shown, same)))
    both = layout.inside_another(good)
    if both is not None:
        said = f"{layout.shown(both[0])} would be a file and the folder of {layout.shown(both[1])}"
        yield finding("PATH_UNSAFE", record, said)
