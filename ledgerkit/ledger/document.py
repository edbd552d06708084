"""`ledger.json`: what the ledgers beside it were built from, for those who read them."""

from __future__ import annotations

from typing import Any

from ledgerkit import layout
from ledgerkit.canonical import parse_json
from ledgerkit.errors import LedgerkitError
from ledgerkit.reading import Tree

LEDGER_NAME = "ledger.json"
LEDGER_CHECKSUM = "ledger.sha256"
"""Digests of `ledger.json` and of all tables, as `sha256sum -c` takes them."""
LEDGER_FILE = f"{layout.LEDGER}/{LEDGER_NAME}"


def ledger_document(tree: Tree) -> dict[str, Any] | None:
    """The content of `ledger/ledger.json`; None when there is none of ours."""
    if tree.size(LEDGER_FILE) is None:
        return None
    try:
        document = parse_json(tree.read(LEDGER_FILE, max_bytes=1 << 20), LEDGER_FILE)
    except LedgerkitError:
        return None
    return document if _is_ledger_document(document) else None


def _is_ledger_document(document: Any) -> bool:
    """Whether it has what readers rely on; jsonschema is too slow to load for every query."""
    if not isinstance(document, dict) or document.get("schema_version") != "ledger.v1":
        return False
    counts = [document.get("manifests"), document.get("runs")]
    tables = document.get("tables")
    sealed = document.get("log_size"), document.get("log_root")
    if sealed != (None, None) and [type(one) for one in sealed] != [int, str]:
        return False
    document.setdefault("log_size", None)
    document.setdefault("log_root", None)
    if not isinstance(tables, dict) or not all(type(count) is int for count in counts):
        return False
    wanted = {"file": str, "rows": int, "bytes": int, "sha256": str}
    if type(document.get("log_size")) not in (int, type(None)):
        return False
    return all(
        isinstance(table, dict)
        and all(type(table.get(key)) is kind for key, kind in wanted.items())
        for table in tables.values()
    )
