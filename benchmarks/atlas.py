"""The atlas at 10^3, 10^4 and 10^5 plates: time and memory to write it, and how it is in a browser.

The ledgers are written with a made-up map (`ledgerkit.testing.mapped`); the plates show 40 drawn images
by turns, so that images are decoded once each, as the atlas does with equal images. Building is the
command in a process of its own. In the browser: seconds from asking for `map.html` until its count
stands there; milliseconds that the script takes to draw all points, and to draw a part with pictures,
both the median of 20; milliseconds from frame to frame while all points move, the median of 60 (no
less than 16.7, a screen's own); milliseconds to search a title. The browser draws in software where there is no graphics card.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

from benchmarks.measuring import BIN, EXAMPLE, peak, scratch, table

SIZES = (1_000, 10_000, 100_000)
IMAGES = 40
CLUSTERS = 60
BROWSER = os.environ.get("LEDGERKIT_BROWSER") or shutil.which("chromium")
_DRAWING = """(zoom) => {
  const view = state.view, times = [];
  view.fit();
  if (zoom) { view.x = view.map.x[0]; view.y = view.map.y[0]; view.scale = 60 / view.spacing; }
  for (let round = 0; round < 20; round++) {
    const began = performance.now();
    view.move(1, 0);
    view.draw();
    times.push(performance.now() - began);
  }
  return times.sort((one, two) => one - two)[10];
}"""
_FRAMES = """() => new Promise((resolve) => {
  const times = [];
  let before = performance.now();
  state.view.fit();
  const step = (now) => {
    times.push(now - before);
    before = now;
    state.view.move(times.length % 2 ? 3 : -3, 0);
    if (times.length < 60) requestAnimationFrame(step);
    else resolve(times.sort((one, two) => one - two)[30]);
  };
  requestAnimationFrame(step);
})"""
_SEARCHING = """() => {
  const began = performance.now();
  document.getElementById("words").value = "99";
  choose();
  return performance.now() - began;
}"""


def main() -> None:
    rows = []
    for size in SIZES:
        with scratch() as folder:
            root, target = folder / "archive", folder / "atlas"
            _repository(folder, root, size)
            reading = peak(
                [str(BIN / "ledgerkit"), "atlas", "-C", str(root), "-o", str(target)], EXAMPLE
            )
            files = [path for path in target.rglob("*") if path.is_file()]
            shown = _shown(target) if BROWSER else ["no browser"] * 5
            rows.append(
                [
                    f"{size:,}",
                    f"{reading.seconds:.1f}",
                    f"{reading.megabytes:.0f}",
                    f"{len(files):,}",
                    f"{sum(path.stat().st_size for path in files) / 1e6:.1f}",
                    *shown,
                ]
            )
    table(
        "An atlas of plates on one map",
        [
            "plates",
            "build s",
            "peak MB",
            "files",
            "MB",
            "load s",
            "draw ms",
            "with pictures ms",
            "frame ms",
            "search ms",
        ],
        rows,
    )


def _repository(folder: Path, root: Path, size: int) -> None:
    """A repository of `IMAGES` plates whose ledgers speak of `size`."""
    import numpy as np
    from PIL import Image

    from ledgerkit.api import Repository
    from ledgerkit.testing.mapped import put_map

    scans = folder / "scans"
    scans.mkdir()
    entries = []
    for number in range(1, IMAGES + 1):
        cells = np.random.default_rng(number).integers(0, 256, (15, 12, 3), np.uint8)
        Image.fromarray(cells).resize((960, 1200)).save(scans / f"{number}.jpg")
        entry = {"plate": number, "name": f"Plate {number}", "slug": f"plate-{number}"}
        entries.append(entry | {"fileName": f"{number}.jpg", "download": "https://example.org/"})
    (folder / "data.json").write_text(json.dumps(entries))
    repository = Repository.init(root)
    repository.ingest(folder / "data.json", scans)
    repository.consolidate()
    put_map(root, size, CLUSTERS)


def _shown(target: Path) -> list[str]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page: Any = browser.new_page(viewport={"width": 1280, "height": 800})
        began = time.perf_counter()
        page.goto(f"{target.as_uri()}/map.html")
        while not page.evaluate("document.getElementById('count').textContent"):
            page.wait_for_timeout(10)
        seconds = time.perf_counter() - began
        page.wait_for_timeout(500)
        page.evaluate(_DRAWING, True)
        page.wait_for_timeout(1000)  # sheets of pictures are loaded meanwhile
        found = [
            page.evaluate(_DRAWING, False),
            page.evaluate(_DRAWING, True),
            page.evaluate(_FRAMES),
            page.evaluate(_SEARCHING),
        ]
        browser.close()
    return [f"{seconds:.1f}", *(f"{one:.1f}" for one in found)]


if __name__ == "__main__":
    main()
