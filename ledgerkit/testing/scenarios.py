"""Small repositories to break: what a command is given, before a fault is put into it.

Each scenario is a repository and a command line over it; `build` makes those of a folder anew.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ledgerkit import cli, layout
from ledgerkit.merkle import TILE_WIDTH, parse_checkpoint
from ledgerkit.testing import strace


@dataclass(frozen=True)
class Scenario:
    """`start` is a repository that stays as it is; `given` is the command line for a copy of it.

    `piecewise`: what was done before an error may be kept by itself, as a batch of runs is.
    `finishes`: an intent lies there, so only the state after it is right, whatever happens.
    `reads`: also the calls that change nothing are worth a fault of their own.
    """

    name: str
    start: Path
    given: tuple[str, ...]
    piecewise: bool = False
    finishes: bool = False
    reads: bool = True

    def command(self, root: Path) -> Callable[[], int]:
        """The command over the repository at `root`."""
        return command(*self.given, *(() if self.given[0] == "init" else ("-C",)), str(root))


def command(*given: str) -> Callable[[], int]:
    """The command line with these arguments, as an action that answers its exit code."""

    def run() -> int:
        try:
            cli.main(list(given))
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else 0
        return 0

    return run


def quietly(*given: str) -> None:
    """Run a command in a child, so that no library has started threads here.

    Raises `AssertionError` when it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        ended = strace.untraced(command(*given), Path(folder) / "output")
    assert ended.code == 0, f"{given}: {ended.output}"


def build(folder: Path, only: str = "") -> list[Scenario]:
    """The scenarios with the words `only` in their name, with their repositories in `folder`."""
    tiny = folder / "tiny"
    quietly("init", str(tiny))
    quietly("ingest", "-C", str(tiny), *draw(folder / "scans", range(1, 4)))
    return [make(name, folder, tiny) for name, make in _MAKERS.items() if only in name]


def _batch(name: str, folder: Path, tiny: Path) -> Scenario:
    return Scenario(name, tiny, HEADERS, piecewise=True)


def _ingest(name: str, folder: Path, tiny: Path) -> Scenario:
    return Scenario(name, tiny, ("ingest", *draw(folder / "more", range(4, 6))))


def _adopted(name: str, folder: Path, tiny: Path) -> Scenario:
    adopt(folder / "adopted", folder / "scans" / "images")
    return Scenario(name, folder / "adopted", HEADERS, piecewise=True)


def _first_consolidation(name: str, folder: Path, tiny: Path) -> Scenario:
    done = _copied(tiny, folder / "done")
    _headers(done)
    return Scenario(name, done, CONSOLIDATE)


def _later_consolidation(name: str, folder: Path, tiny: Path) -> Scenario:
    both = _copied(tiny, folder / "both")
    quietly("consolidate", "-C", str(both))
    _headers(both)
    return Scenario(name, both, CONSOLIDATE)


def _over_the_border(name: str, folder: Path, tiny: Path) -> Scenario:
    """The log has one entry less than fill a tile, where there is a log."""
    border = _copied(tiny, folder / "border")
    _headers(border)
    checkpoint = border / layout.CHECKPOINT
    while checkpoint.is_file():
        left = TILE_WIDTH - 1 - parse_checkpoint(checkpoint.read_text()).size
        if not left:
            break
        _headers(border, "--force", "--plates", f"1..{min(left, 3)}")
    given = (*HEADERS, "--max-header-bytes", "1048576")
    return Scenario(name, border, given, piecewise=True, reads=False)


def _recovery(where: tuple[str, str]) -> Callable[[str, Path, Path], Scenario]:
    """What a batch leaves that was killed at the last call of this name on a path like this."""

    def make(name: str, folder: Path, tiny: Path) -> Scenario:
        dead = folder / f"dead-{name.replace(' ', '-')}"
        log = folder / "dead.log"
        batch = _batch(name, folder, tiny)
        calls = strace.calls(batch.command(_copied(tiny, dead)), dead, log)
        subprocess.run(["rm", "-rf", dead], check=True)
        chosen = [call for call in calls if call.name == where[0] and where[1] in call.line][-1]
        ended = strace.inject(batch.command(_copied(tiny, dead)), chosen, strace.KILL, dead, log)
        assert ended.injected, f"nothing was killed: {ended}"
        given = ("recover",) if "recover" in cli.COMMANDS else ("init",)
        return Scenario(name, dead, given, finishes=True)

    return make


def _copied(start: Path, target: Path) -> Path:
    subprocess.run(["cp", "-a", start, target], check=True)
    return target


HEADERS = ("headers", "--workers", "1", "--wait", "5")
CONSOLIDATE = ("consolidate", "--wait", "5")
_MAKERS: dict[str, Callable[[str, Path, Path], Scenario]] = {
    "a batch of runs": _batch,
    "an ingest": _ingest,
    "the first write to an adopted repository": _adopted,
    "the first consolidation": _first_consolidation,
    "a consolidation over former ledgers": _later_consolidation,
    "a batch over the border of a tile": _over_the_border,
    "a recovery before the commit point": _recovery(("rename", "intent.json")),
    "a recovery amid the moves": _recovery(("renameat2", "/staging/")),
    "a recovery before the intent is removed": _recovery(("unlink", "intent.json")),
}


def draw(folder: Path, numbers: range) -> tuple[str, ...]:
    """Scans of 16x16 pixels with a catalogue; the options of `ingest` that name them."""
    from PIL import Image

    (folder / "images").mkdir(parents=True)
    entries = []
    for number in numbers:
        name = f"{number}.png"
        Image.new("L", (16, 16), number).save(folder / "images" / name)
        entry = {"plate": number, "name": f"Plate {number}", "slug": f"plate-{number}"}
        entries.append(entry | {"fileName": name})
    (folder / "data.json").write_text(json.dumps(entries))
    return ("--catalogue", str(folder / "data.json"), "--images", str(folder / "images"))


def adopt(root: Path, images: Path) -> None:
    """A bootstrap repository made elsewhere: v1 manifests, sources, checksums; no marker."""
    for path in sorted(images.iterdir()):
        number = int(path.stem)
        folder = root / "plates_structured" / f"plate-{number:03d}"
        (folder / "source").mkdir(parents=True)
        source = folder / "source" / f"scan {number}.png"
        source.write_bytes(path.read_bytes())
        digest = hashlib.sha256(source.read_bytes()).hexdigest()
        (folder / "source.sha256").write_text(f"{digest}  source/{source.name}\n")
        manifest = {"plate_id": folder.name, "plate_number": number, "title": f"Plate {number}"}
        manifest |= {"slug": f"plate-{number}", "source_image": source.name}
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=2))


def _headers(root: Path, *options: str) -> None:
    quietly("headers", "--workers", "1", "-C", str(root), *options)
