"""Documentation cannot fall behind: commands, findings, ledgers, operations and schemas."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from ledgerkit import operation, schema
from ledgerkit.cli import COMMANDS, cli
from ledgerkit.findings import CODES
from ledgerkit.plotting.captions import CAPTIONS
from ledgerkit.testing.reference import findings_page, ledgers_page, write_pages

DOCS = Path(__file__).parent.parent / "docs"
FORMULAS = frozenset(
    {"measure", "normalize", "segment", "embed", "cluster", "propose", "pyramid", "hash", "fuse"}
    | {"describe"}
)
"""Operations that compute something by a published formula or method."""


def commands(group: click.Group = cli, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        found.append((*path, name))
        if isinstance(command, click.Group):
            found += commands(command, (*path, name))
    return found


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_every_command_has_help_with_an_example_of_itself(path: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(cli, [*path, "--help"])
    assert shown.exit_code == 0
    example = shown.output.partition("Example:\n")[2]
    assert re.search(rf"^ +ledgerkit {' '.join(path)}\b", example, re.MULTILINE), shown.output
    command: Any = cli
    for name in path:
        command = command.get_command(click.Context(command), name)
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{parameter.opts} has no help"


def test_help_lists_every_command_with_its_first_sentence() -> None:
    shown = "".join(CliRunner().invoke(cli, ["--help"]).output.split())
    listed = {name: text for name, (_, text) in COMMANDS.items()}
    listed |= {
        name: operation.summary(name) for name in operation.names() if name not in operation.PLACED
    }
    for name, text in listed.items():
        assert name + "".join(text.split()) in shown


@pytest.mark.parametrize(("page", "made"), [("findings", findings_page), ("ledgers", ledgers_page)])
def test_reference_pages_are_those_of_the_code(page: str, made: Any) -> None:
    kept = (DOCS / f"{page}.md").read_text("utf-8")
    assert kept == made(), "run: python -m ledgerkit.testing.reference docs/"


def test_the_pages_hold_every_code_and_every_column() -> None:
    for code, (severity, _, remedy) in CODES.items():
        assert f"| `{code}` | {severity} | " in findings_page()
        assert remedy in findings_page()
    for name in schema.TABLES:
        section = ledgers_page().partition(f"## {name}\n")[2].partition("\n## ")[0]
        for column, kind in schema.columns(name).items():
            assert f"| `{column}` | " in section
            assert kind["description"].replace("|", "\\|") in section


def test_writing_the_pages_gives_what_is_compared(tmp_path: Path) -> None:
    assert {path.name: path.read_text("utf-8") for path in write_pages(tmp_path)} == {
        "findings.md": findings_page(),
        "ledgers.md": ledgers_page(),
    }


@pytest.mark.parametrize("code", CODES)
def test_findings_are_full_sentences_with_a_remedy(code: str) -> None:
    severity, sentence, remedy = CODES[code]
    assert re.fullmatch(r"[A-Z][A-Z0-9_]*", code)
    assert severity in ("error", "warning", "info")
    assert sentence.endswith(".")
    assert remedy.endswith(".") or "ledgerkit " in remedy or "chmod" in remedy


@pytest.mark.parametrize("name", operation.names())
def test_every_operation_says_what_it_does_and_where_its_formula_is_from(name: str) -> None:
    path = Path(operation.__file__).parent / "operations" / f"{name}.py"
    document = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    first, second = [*document.splitlines(), ""][:2]
    assert re.search(r"[a-z)]\.$", first), f"the first line is its help: {first!r}"
    assert second == ""
    assert len(first) <= 100
    if name in FORMULAS:
        assert "Source: " in document
    for parameter in operation.load(name).parameters():
        assert parameter.help, f"{name}: {parameter.name} has no help"


def test_the_page_of_figures_has_every_caption_in_the_words_of_the_ledger() -> None:
    page = (DOCS / "figures.md").read_text("utf-8")
    for name, caption in CAPTIONS.items():
        section = page.partition(f"\n### {name}\n")[2].partition("\n### ")[0]
        assert caption.interpretation in section
        assert caption.warning_signs in section
        assert f"Tags: {', '.join(caption.tags)}." in section
        assert ("Not core" in section) is not caption.is_core


def unexplained(value: Any, path: str = "$") -> list[str]:
    """Paths of properties in a schema that are open or have no description."""
    found: list[str] = []
    if isinstance(value, dict):
        if value.get("type") == "object" and value.get("additionalProperties", True) is True:
            found.append(f"{path} is open")
        for name, kind in value.get("properties", {}).items():
            if "description" not in kind and "$ref" not in kind:
                found.append(f"{path}.{name} has no description")
        for name, below in value.items():
            found += unexplained(below, f"{path}.{name}")
    return found


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in schema.names()
        if name.startswith(("audit.", "findings.", "ledger.", "model.", "verify."))
    ],
)
def test_schemas_are_closed_and_say_what_every_field_is(name: str) -> None:
    document = json.loads((schema.folder() / name).read_bytes())
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert document["$id"] == f"https://ledgerkit.invalid/schemas/{name}"
    assert document["description"]
    assert unexplained(document) == []
    references = re.findall(r'"\$ref": "([^"#]*)', (schema.folder() / name).read_text())
    assert all(one == "" or one in schema.names() for one in references)


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
        assert (DOCS / link).is_file(), link


def test_the_page_of_the_architecture_names_every_module() -> None:
    page = (DOCS / "architecture.md").read_text("utf-8")
    package = Path(operation.__file__).parent
    modules = {path.stem for path in package.glob("[!_]*.py")}
    folders = {path.parent.name for path in package.glob("*/__init__.py")}
    lacking = [name for name in modules | folders if not re.search(rf"`{name}/?`", page)]
    assert not lacking


def test_the_page_of_workflows_names_tests_and_headings_that_are_there() -> None:
    text = (DOCS / "workflows.md").read_text("utf-8")
    tests = re.findall(r"`(tests/[a-z_/]+\.py)::(test_[a-z0-9_]+)`", text)
    assert len(tests) == text.count("`tests/")
    for path, name in tests:
        assert f"def {name}(" in (DOCS.parent / path).read_text("utf-8"), f"{path}: {name}"
    for page, heading in re.findall(r"\]\(([a-z-]+\.md)#([^)]+)\)", text):
        lines = (DOCS / page).read_text("utf-8").splitlines()
        headings = {
            line.lstrip("# ").lower().replace(" ", "-") for line in lines if line[:1] == "#"
        }
        assert heading in headings, f"{page}: {heading}"
