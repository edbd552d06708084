"""Models for a task: names to pins and folders, checked before any work starts."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from ledgerkit.errors import MissingInput
from ledgerkit.records import Model
from ledgerkit.weights.store import ModelStore

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Pinned:
    """A model as a task is given it: the operation's name for it, its folder, its entry in the record."""

    name: str
    folder: str
    pin: Model


def take(names: Iterable[str]) -> tuple[Pinned, ...]:
    """The models of these names or digests, every byte compared. Raises what `ModelStore.pin` raises."""
    store = ModelStore()
    known = [(name, (_DIGEST.fullmatch(name) and store.known_as(name)) or name) for name in names]
    return tuple(Pinned(asked, str(store.folder(name)), store.pin(name)) for asked, name in known)


def by_digest(parameters: Any, models: tuple[Pinned, ...]) -> tuple[Any, tuple[Pinned, ...]]:
    """Parameters whose `model` is the SHA-256 of its weights and settings, and that model so called.

    What a store calls a model is no part of the work: the same weights under two names are one task.
    """
    named = getattr(parameters, "model", None)
    digest = next((one.pin.sha256 for one in models if one.name == named), None)
    if digest is None:
        return parameters, models
    return replace(parameters, model=digest), tuple(
        replace(one, name=digest) if one.name == named else one for one in models
    )


def take_again(names: Iterable[str], recorded: Iterable[Model]) -> tuple[Pinned, ...]:
    """The models that a record pins, under the names by which its operation knows them, in its order.

    The store may know them by other names now: only the digest counts. Raises `MissingInput` for one
    that it does not have, and what `ModelStore.pin` raises.
    """
    store = ModelStore()
    found = []
    for name, pin in zip(names, recorded, strict=True):
        known = store.known_as(pin.sha256, first=name)
        if known is None:
            raise MissingInput(
                f"the model {pin.id} at revision {pin.revision} is not in {store.root}",
                f"Add it again, its files have the digest {pin.sha256}: "
                "ledgerkit models add NAME --from ...",
            )
        _verify_once(str(store.root), known, _traits(store, known))
        found.append(Pinned(name, str(store.folder(known)), pin))
    return tuple(found)


@lru_cache(maxsize=64)
def _verify_once(root: str, name: str, traits: tuple[object, ...]) -> None:
    """Compare every byte, but not again for each of a thousand runs while nothing was touched."""
    ModelStore(root).pin(name)


def _traits(store: ModelStore, name: str) -> tuple[object, ...]:
    """What changes when somebody writes to a model's files: inode, size and time of each."""
    found: list[object] = [store.show(name).sha256]
    for above, _, names in sorted(os.walk(store.folder(name))):
        for one in sorted(names):
            status = Path(above, one).stat()
            found.append(
                (one, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            )
    return tuple(found)
