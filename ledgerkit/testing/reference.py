"""The reference pages `docs/findings.md` and `docs/ledgers.md`, made from what the code itself uses.

`python -m ledgerkit.testing.reference docs/` writes both; a test compares them with the code.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ledgerkit import schema
from ledgerkit.findings import CODES


def findings_page() -> str:
    """Every finding code with its severity, sentence and remedy."""
    lines = [
        "# Findings",
        "",
        "What `ingest`, `audit` and `verify` can find. Codes are stable and never renamed. An "
        "**error** means that something is lost, wrong or cannot be used: `audit` and `verify` then "
        "exit with 1, and `ingest` takes nothing in without `--partial`. A **warning** means that "
        "somebody should look; an **info** is true and harmless. `...` stands for what is found.",
        "",
        "| code | severity | what it says | what to do |",
        "| --- | --- | --- | --- |",
    ]
    for code, (severity, sentence, remedy) in CODES.items():
        said = sentence.replace("{detail}", "...").replace("....", "...")
        lines.append(f"| `{code}` | {severity} | {said} | {remedy} |")
    return "\n".join([*lines, "", _made()])


def ledgers_page() -> str:
    """Every ledger table with its key, its references and all its columns."""
    lines = [
        "# Ledgers",
        "",
        "The tables in `ledger/`: one Parquet file each, rebuilt byte for byte from manifests and "
        "records by `ledgerkit consolidate`. They are views: what decides lies in the records. "
        "[queries.md](queries.md) shows how to ask them, `ledgerkit query --schema` lists the same "
        "columns. `log_index` and `log_indexes` are null until the sealed log exists.",
    ]
    for name in schema.TABLES:
        table = schema.table(name)
        lines += ["", f"## {name}", "", table["description"], ""]
        lines.append("Key: " + ", ".join(f"`{column}`" for column in table["x-key"]) + ".")
        references = table.get("x-references", {})
        if references:
            listed = ", ".join(f"`{column}` in `{to}`" for column, to in references.items())
            lines.append(f"Refers to: {listed}.")
        lines += ["", "| column | type | meaning |", "| --- | --- | --- |"]
        for column, kind in schema.columns(name).items():
            meaning = _cell(kind["description"] + _rules(kind))
            lines.append(f"| `{column}` | {_type(kind)} | {meaning} |")
    return "\n".join([*lines, "", _made()])


def _type(kind: Mapping[str, Any]) -> str:
    return str(kind["x-arrow"]) + (", nullable" if schema.nullable(dict(kind)) else "")


def _rules(kind: Mapping[str, Any]) -> str:
    """Enumerations and bounds, in words."""
    values = [f"`{value}`" for value in kind.get("enum", ()) if value is not None]
    said = f"; one of {', '.join(values)}" if values else ""
    if "minimum" in kind and "maximum" in kind:
        return f"{said}; from {kind['minimum']} to {kind['maximum']}"
    if "minimum" in kind:
        return f"{said}; at least {kind['minimum']}"
    if "maximum" in kind:
        return f"{said}; at most {kind['maximum']}"
    return said


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _made() -> str:
    return "Made by `python -m ledgerkit.testing.reference docs/`.\n"


def write_pages(folder: Path) -> list[Path]:
    """Both pages into `folder`; the paths written."""
    pages = {"findings.md": findings_page(), "ledgers.md": ledgers_page()}
    for name, text in pages.items():
        (folder / name).write_text(text, "utf-8")
    return [folder / name for name in pages]


if __name__ == "__main__":
    write_pages(Path(sys.argv[1]))
