"""The spaces of the ledgers' vectors: which there are, who made them, and vectors of what lies outside.

An outside image is described by the operation that made the vectors of a space, with the parameters of
its runs and the weights that they pin, and is not taken in; so are words, where that model has a tower
of texts. Nothing is written.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledgerkit import operation
from ledgerkit.errors import LedgerkitError, MissingInput, UsageError
from ledgerkit.query import Ledgers
from ledgerkit.records import Model
from ledgerkit.weights import ModelStore
from ledgerkit.weights.pinned import take_again

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

IN_SQL = (
    "Ask for words in titles and labels in SQL: "
    "ledgerkit query \"SELECT plate_id, title FROM plates WHERE title ILIKE '%finch%'\""
)
_SPACES = """
    SELECT DISTINCT space_id FROM current_embeddings WHERE subject_kind = ? ORDER BY space_id"""
_MADE_BY = """
    SELECT r.operation, r.version, r.parameters, r.models FROM runs r
    WHERE r.run_id = (SELECT max(run_id) FROM current_embeddings WHERE space_id = ?)"""


def spaces_of(ledgers: Ledgers, kind: str) -> list[str]:
    """The spaces in which there are current vectors of `kind` (plates, tiles, segments, texts), sorted."""
    rows = ledgers.table(_SPACES, [kind.removesuffix("s")]).to_pylist()
    return [str(row["space_id"]) for row in rows]


def choose(spaces: list[str], wanted: str | None, said: str) -> str:
    """The wanted space, or the only one. Raises `UsageError` for one that is not there, and for several."""
    if wanted is not None and wanted not in spaces:
        raise UsageError(f"{said} in {', '.join(spaces)}, none in {wanted!r}")
    if wanted is None and len(set(spaces)) > 1:
        raise UsageError(
            f"{said} in {len(set(spaces))} spaces: {', '.join(spaces)}", "Name one with --space ID"
        )
    return wanted or spaces[0]


def only_space(ledgers: Ledgers, kind: str, space: str | None) -> str:
    """The space to search among `kind`. Raises `MissingInput` without vectors, `UsageError` as `choose`."""
    found = spaces_of(ledgers, kind)
    if not found:
        raise no_vectors(kind, "")
    return choose(found, space, f"there are vectors of {kind}")


def command_for(kind: str) -> str:
    """The command that makes vectors of a kind."""
    return "encode --model NAME --of texts" if kind == "texts" else f"embed --of {kind}"


def no_vectors(kind: str, where: str) -> MissingInput:
    """There are no vectors of a kind, and how they are made."""
    return MissingInput(
        f"the ledgers have no vectors of {kind}{where}",
        f"Make them with: ledgerkit {command_for(kind)}, then: ledgerkit consolidate",
    )


@dataclass(frozen=True)
class _Maker:
    """The operation that made the vectors of a space, with its parameters and the models it pins."""

    space: str
    loaded: operation.Operation
    version: str
    parameters: Any
    pins: list[Model]

    def describe(self, function: str, asked: Any) -> NDArray[np.float32]:
        """What the operation's `function` makes of `asked`, with the same weights.

        Raises `UsageError` for another version of the operation, `MissingInput` for weights that are
        not in the store.
        """
        name = self.loaded.name
        if self.version != self.loaded.version:
            raise UsageError(
                f"vectors of the space {self.space} were made by {name} {self.version}; "
                f"here is {self.loaded.version}, whose vectors cannot be compared with them",
                f"Make them again with: ledgerkit {name} --stale, then: ledgerkit consolidate",
            )
        models = take_again(self.loaded.models(self.parameters), self.pins)
        folders = [Path(given.folder) for given in models]
        vector: NDArray[np.float32] = getattr(self.loaded.module, function)(
            asked, self.parameters, *folders
        )
        return vector

    def speaks(self) -> bool | None:
        """Whether its model takes words; None where it is not in the store, which would say so."""
        if not hasattr(self.loaded.module, "describe_text"):
            return False
        store = ModelStore()
        names = [name for pin in self.pins if (name := store.known_as(pin.sha256))]
        if len(names) < len(self.pins):
            return None
        return all(self.loaded.module.speaks(store.folder(name)) for name in names)


def _maker(ledgers: Ledgers, space: str) -> _Maker | None:
    """Who made a space; None where no operation of today did."""
    row = ledgers.table(_MADE_BY, [space]).to_pylist()[0]
    name = str(row["operation"])
    if name not in operation.names():
        return None
    loaded = operation.load(name)
    return _Maker(
        space,
        loaded,
        str(row["version"]),
        loaded.make_parameters(json.loads(row["parameters"])),
        [Model(**pin) for pin in json.loads(row["models"])],
    )


def described(ledgers: Ledgers, image: Path, space: str) -> NDArray[np.float32]:
    """The vector of an outside image in `space`, made as the vectors there were made."""
    maker = _maker(ledgers, space)
    if maker is None or not hasattr(maker.loaded.module, "describe_image"):
        raise UsageError(
            f"what made the vectors of the space {space} describes no outside image",
            "Search by the id of a plate, or name another space with --space ID",
        )
    try:
        with image.open("rb") as file:
            return maker.describe("describe_image", file)
    except LedgerkitError as error:
        raise type(error)(f"{image}: {error.message}", error.hint) from error
    except OSError as error:
        raise UsageError(f"{image} cannot be read: {error.strerror or error}") from error


def of_words(
    ledgers: Ledgers, words: str, kind: str, space: str | None
) -> tuple[str, NDArray[np.float32]]:
    """Space and vector of words, in a space whose model takes words."""
    spaces = spaces_of(ledgers, kind)
    if not spaces:
        raise no_vectors(kind, "")
    if space is not None:
        spaces = [choose(spaces, space, f"there are vectors of {kind}")]
    found = [_maker(ledgers, one) for one in spaces]
    told = [(maker, maker.speaks()) for maker in found if maker is not None]
    makers = [maker for maker, speaks in told if speaks]
    makers = makers or [maker for maker, speaks in told if speaks is None]
    if not makers:
        raise UsageError(
            f"no model of words and pictures made the vectors of {kind} in {', '.join(spaces)}",
            f"Make some with a CLIP or SigLIP model: ledgerkit encode --model NAME --of {kind}, then: "
            f"ledgerkit consolidate. {IN_SQL}",
        )
    chosen = choose([maker.space for maker in makers], space, f"there are vectors of {kind}")
    maker = next(maker for maker in makers if maker.space == chosen)
    return chosen, maker.describe("describe_text", words)
