"""Imports point one way, walls hold, nothing heavy is loaded for `--help`, modules stay small."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import ledgerkit

PACKAGE = Path(ledgerkit.__file__).parent
RANKS = {
    "errors": 0,
    "findings": 0,
    "software": 0,
    "canonical": 1,
    "layout": 1,
    "views": 1,
    "disk": 1,
    "merkle": 1,
    "memory": 1,
    "palette": 1,
    "handles": 1,
    "held": 1,
    "intent": 1.5,
    "note": 2,
    "schema": 2,
    "lists": 2,
    "labelling": 2,
    "titles": 2,
    "durable": 2,
    "kept": 2,
    "reading": 2,
    "backends": 2,
    "imaging": 2,
    "plotting": 2,
    "clustering": 2.5,
    "sweeping": 2.6,
    "models": 2,
    "services": 2,
    "names": 3,
    "cluster_names": 3,
    "records": 3,
    "jobs": 3,
    "current": 3.5,
    "overlay": 3.5,
    "refusal": 1,
    "staging": 3,
    "catalogue": 3,
    "verify": 3,
    "operations": 3,
    "log": 3,
    "weights": 4,
    "proof": 4,
    "answer_proof": 5,
    "proving": 6,
    "operation": 4,
    "staged": 4,
    "recording": 4.5,
    "differences": 4,
    "repository": 5,
    "worker": 5,
    "logged": 6,
    "events": 6,
    "history": 6,
    "collecting": 6.5,
    "collected": 6,
    "planning": 7,
    "again": 7,
    "sealing": 7,
    "evidence": 7,
    "relocation": 8,
    "leftovers": 9,
    "engine": 8,
    "ledger": 8,
    "trial": 8,
    "trials": 9,
    "opened": 9,
    "query": 9.5,
    "vectors": 9.6,
    "indexes": 9.7,
    "rerun": 10,
    "cache": 10,
    "ingest": 10,
    "policy": 10,
    "texts": 10,
    "asking": 10.5,
    "prompts": 10,
    "audit": 10,
    "asof": 10,
    "staleness": 9.5,
    "status": 10,
    "lineage": 10,
    "recover": 10,
    "quarantine": 10,
    "mending": 10.5,
    "spaces": 9.8,
    "search": 10,
    "duplicates": 10,
    "gates": 10,
    "looking": 10.5,
    "compare": 10,
    "restore": 10,
    "answers": 10,
    "export": 10.2,
    "pages": 10.4,
    "exporting": 10.5,
    "fixity": 10,
    "corrections": 10,
    "naming": 10.2,
    "describing": 10.3,
    "review": 10.3,
    "judging": 10.4,
    "pattern": 3,
    "freeze": 10,
    "decisions": 10.5,
    "api": 11,
    "testing": 13,
    "cli": 12,
    "__init__": 12,
    "__main__": 13,
}
"""A module may import what has a lower number, and what lies in its own package folder."""
HEAVY = frozenset(
    {"numpy", "numba", "polars", "duckdb", "PIL", "torch", "pyarrow", "cryptography", "matplotlib"}
    | {"urllib3", "http", "usearch", "graspologic_native", "optuna"}
)
ALONE = {
    "polars": ("ledger",),
    "duckdb": ("query",),
    "click": ("cli",),
    "rich": ("cli",),
    "torch": ("models",),
    "numba": ("imaging",),
    "pyvips": ("imaging", "operation"),
    "contourpy": ("imaging",),
    "cryptography": ("note",),
    "matplotlib": ("plotting",),
    "urllib3": ("services",),
    "usearch": ("indexes",),
    "graspologic_native": ("sweeping",),
    "optuna": ("sweeping",),
}
WALLED_OFF = ("repository", "records", "disk", "durable", "jobs", "staging", "staged")
WITNESS = frozenset(
    {"layout", "canonical", "merkle", "schema", "findings", "errors", "reading", "held"}
)
LONGEST_MODULE = 400
LONGEST_BODY = 40
FIELD_BY_FIELD = frozenset({"ledger.columns.runs_table", "recording.write_record"})
"""Functions that may be longer, for they do nothing but name every field of a record once."""


def module_paths() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    """`imaging.header` for `imaging/header.py`, `cli` for `cli/__init__.py`."""
    parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


NAMES = [name_of(path) for path in module_paths()]


@cache
def tree(name: str) -> ast.Module:
    path = PACKAGE / (name.replace(".", "/") + ".py")
    path = path if path.is_file() else PACKAGE / name.replace(".", "/") / "__init__.py"
    return ast.parse(path.read_text("utf-8"))


def imported(name: str, nodes: Iterator[ast.AST] | None = None) -> set[str]:
    """Dotted names that a module imports: `numpy.linalg`, and those of ours as `ledgerkit.x.y`."""
    found: set[str] = set()
    for node in ast.walk(tree(name)) if nodes is None else nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative import in line {node.lineno}"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                known = whole.removeprefix("ledgerkit.") in NAMES
                found.add(whole if known else str(node.module))
    return found


def ours(name: str, nodes: Iterator[ast.AST] | None = None) -> set[str]:
    """Modules of this package that a module imports, as `imaging.header`."""
    return {
        one.removeprefix("ledgerkit.").replace("ledgerkit", "__init__")
        for one in imported(name, nodes)
        if one.partition(".")[0] == "ledgerkit"
    }


def top(name: str) -> str:
    return name.partition(".")[0]


def libraries(name: str) -> set[str]:
    """Libraries that a module loads, sooner or later; those for type checkers do not count."""
    return {top(one) for one in imported(name, at_run_time(tree(name)))} - {"ledgerkit"}


def at_run_time(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those for type checkers."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)):
            yield child
            yield from at_run_time(child)


def when_loaded(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes that run when the module is imported: nothing in functions or for type checkers."""
    for child in ast.iter_child_nodes(node):
        typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
        if not typing_only and not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield child
            yield from when_loaded(child)


@pytest.mark.parametrize("name", NAMES)
def test_imports_only_lower_ranks(name: str) -> None:
    assert top(name) in RANKS, f"give {name} a rank"
    own = RANKS[top(name)]
    wrong = {one for one in ours(name) if top(one) != top(name) and RANKS[top(one)] >= own}
    assert not wrong, f"{name} (rank {own}) imports {sorted(wrong)}"


def test_every_rank_belongs_to_a_module_or_to_the_models_to_come() -> None:
    assert set(RANKS) - {top(name) for name in NAMES} <= {"models"}


def test_no_package_folder_has_a_cycle() -> None:
    graph = {
        name: {one for one in ours(name, when_loaded(tree(name))) if top(one) == top(name)}
        for name in NAMES
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"these import each other: {error.args[1]}")


@pytest.mark.parametrize(
    "name", [name for name in NAMES if top(name) in ("operations", "imaging", "clustering")]
)
def test_operations_and_their_tools_know_no_repository(name: str) -> None:
    assert not {top(one) for one in ours(name)} & set(WALLED_OFF)


def test_verification_shares_no_code_with_what_writes() -> None:
    modules = [name for name in NAMES if top(name) == "verify"]
    assert len(modules) > 1
    for name in modules:
        assert {top(one) for one in ours(name)} <= WITNESS | {"verify"}, name


@pytest.mark.parametrize("library", ALONE)
def test_library_is_used_in_its_place_only(library: str) -> None:
    users = {top(name) for name in NAMES if library in libraries(name) and top(name) != "testing"}
    assert users <= set(ALONE[library])


@pytest.mark.parametrize(
    "statement",
    [
        "import ledgerkit",
        "import ledgerkit.api",
        "from ledgerkit.cli import cli; cli.main(['--help'], standalone_mode=False)",
        "from ledgerkit.cli import cli; cli.main(['--version'], standalone_mode=False)",
    ],
)
def test_nothing_heavy_is_loaded_before_it_is_needed(statement: str) -> None:
    program = f"{statement}\nimport sys\nprint('\\nloaded', *sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.splitlines()[-1].split()[1:])
    assert "ledgerkit" in loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize("name", NAMES)
def test_module_can_be_read_in_one_sitting(name: str) -> None:
    document = ast.get_docstring(tree(name))
    assert document, "the first lines say what a module does"
    last = max((getattr(node, "end_lineno", 0) or 0) for node in ast.walk(tree(name)))
    assert last <= LONGEST_MODULE
    long = {}
    for node in ast.walk(tree(name)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = body_lines(node)
            if length > LONGEST_BODY and f"{name}.{node.name}" not in FIELD_BY_FIELD:
                long[node.name] = length
    assert not long, f"function bodies of more than {LONGEST_BODY} lines: {long}"


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function's body without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
