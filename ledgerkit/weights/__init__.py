"""The store of models: weights under a name, pinned by their digests, outside every repository.

`ModelStore` reads it: `names`, `show`, `path` (the folder to load from), `pin` (what a record says).
`add`, `verify` and `remove` are in the modules `adding`, `checking` and `removing`. Nothing here
but `exporting` loads a model, and nothing but a hub's own client (`services/hub.py`), asked by `add` alone, uses
the network.
"""

from __future__ import annotations

from ledgerkit.weights.document import ModelDocument, ModelFile
from ledgerkit.weights.store import ModelStore, default_root

__all__ = ["ModelDocument", "ModelFile", "ModelStore", "default_root"]
