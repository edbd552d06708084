"""The title of a plate as it is now: its manifest's, unless a later record amends it.

For operations that take `manifest` and `amendments`; the ledgers and plans ask `overlay`, which needs
records. A test holds that both say the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ledgerkit.canonical import parse_json

if TYPE_CHECKING:
    from ledgerkit.handles import InputFile, Inputs

MAX_BYTES = 1 << 24


def titles(inputs: Inputs) -> dict[str, str]:
    """The title by plate of all manifests among the inputs. Raises `InvalidRecord`."""
    found = {}
    for file in inputs.files("manifest"):
        manifest = _read(file)
        found[str(manifest["plate_id"])] = str(manifest["title"])
    # Ids of runs sort by time.
    for record in sorted(map(_read, inputs.files("amendment")), key=lambda one: str(one["run_id"])):
        title = record["parameters"]["fields"].get("title")
        if title is not None:
            found[str(record["subject"])] = str(title)
    return found


def _read(file: InputFile) -> Any:
    with file.open() as stream:
        return parse_json(stream.read(MAX_BYTES + 1), file.path, MAX_BYTES)
