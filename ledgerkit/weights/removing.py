"""Take a model out of the store, with all that no other model uses."""

from __future__ import annotations

import os
from dataclasses import dataclass

from ledgerkit.weights import document
from ledgerkit.weights.store import ModelStore
from ledgerkit.weights.writing import StoreWriter


@dataclass(frozen=True, slots=True)
class RemoveView:
    """What went with a model: items (blobs, folders, unfinished downloads) and their bytes."""

    name: str
    removed: int
    freed_bytes: int


def remove(store: ModelStore, name: str, *, wait: float = 60.0) -> RemoveView:
    """Remove a model, even one whose document is damaged, and all that no model names any more.

    Raises `UsageError` when there is no such model, and `InvalidRecord`, with nothing removed, when
    the document of another one cannot be read: nobody knows then which files it needs.
    """
    document.check_name(name)
    writer = StoreWriter(store)
    if not os.path.lexists(store.root / "models" / f"{name}.json"):
        store.show(name)
    with writer.locked(wait):
        for other in store.names():
            if other != name:
                store.show(other)
        writer.take_away(name)
        removed, freed = writer.sweep()
    return RemoveView(name, removed, freed)
