"""The page of pairs in a real browser: answered by keys, stopped, killed, gone on with."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ledgerkit.api import Repository
from ledgerkit.review import looked_at
from ledgerkit.testing.reviewed import put_pairs

from .browsing import CONTRAST, UNNAMED, until
from .conftest import HOSTILE

PAIRS = 150


@pytest.fixture(scope="module")
def _plates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty small plates, the first with a title that is markup, and 150 pairs of them."""
    folder = tmp_path_factory.mktemp("reviewed")
    (folder / "scans").mkdir()
    entries = []
    for number in range(1, 21):
        size = 10 if number < 3 else 1  # the first two can be zoomed into
        pixels = np.full((60 * size, 80 * size, 3), 235, np.uint8)
        pixels[10:50, 10:60] = np.random.default_rng(number).integers(0, 200, 3)
        Image.fromarray(pixels).save(folder / "scans" / f"{number}.png")
        entry = {"plate": number, "name": f"Finch {number}", "slug": f"finch-{number}"}
        entry |= {"fileName": f"{number}.png", "download": f"https://example.org/{number}.png"}
        entries.append(entry)
    entries[0]["name"] = HOSTILE
    (folder / "data.json").write_text(json.dumps(entries))
    repository = Repository.init(folder / "archive")
    repository.ingest(folder / "data.json", folder / "scans")
    put_pairs(repository, PAIRS, collection="<b>birds</b>")
    return folder / "archive"


@pytest.fixture
def archive(_plates: Path, tmp_path: Path) -> Repository:
    shutil.copytree(_plates, tmp_path / "archive", symlinks=True)
    return Repository.open(tmp_path / "archive")


class Sitting:
    """A server and a tab of a browser; what the tab complains of is collected."""

    def __init__(self, browser: Any, root: Path) -> None:
        self.root = root
        self.context = browser.new_context(
            viewport={"width": 1280, "height": 800}, reduced_motion="reduce"
        )
        self.context.set_default_timeout(20_000)
        self.wrong: list[str] = []
        self.asked: list[str] = []
        self.start()
        self.page = self.context.new_page()
        self.page.on("console", lambda one: self.wrong.append(one.text))
        self.page.on("pageerror", lambda one: self.wrong.append(str(one)))
        self.page.on("dialog", lambda one: self.wrong.append(f"dialog: {one.message}"))
        self.page.on("request", lambda one: self.asked.append(one.url))

    def start(self) -> None:
        given = [sys.executable, "-m", "ledgerkit", "review", "-C", str(self.root)]
        self.process = subprocess.Popen(given, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stderr is not None
        words = self.process.stderr.readline().decode().split()
        self.address = next(word for word in words if word.startswith("http://"))

    def end(self, how: signal.Signals = signal.SIGKILL) -> None:
        self.process.send_signal(how)
        self.process.communicate(timeout=30)

    def open(self) -> Any:
        self.page.goto(self.address)
        until(self.page, "!document.getElementById('asking').hidden || state.shown || state.by")
        return self.page

    def name(self, who: str) -> None:
        self.page.fill("#name", who)
        self.page.keyboard.press("Enter")
        until(self.page, f"state.by === {json.dumps(who)} && state.turn > 0 && !state.busy")

    def press(self, key: str, count: int) -> None:
        """Press a key and wait until `count` answers are on record."""
        self.page.keyboard.press(key)
        until(self.page, f"state.answers.size === {count} && !state.busy")


@pytest.fixture
def sitting(browser: Any, archive: Repository) -> Iterator[Sitting]:
    found = Sitting(browser, archive.root)
    yield found
    found.context.close()
    if found.process.poll() is None:
        found.end()
    assert found.wrong == []
    assert all(one.startswith(("http://127.0.0.1:", "blob:", "data:")) for one in found.asked)


def answers(archive: Repository, by: str) -> dict[str, str]:
    return {pair: one.answer for pair, one in looked_at(archive._archive).answers(by).items()}


def shown(page: Any) -> None:
    """Wait until both pictures are there."""
    until(
        page,
        "state.viewers.length === 2 && state.viewers.every(v => v.dragon.world.getItemCount() === 1)",
    )


CUT_OFF = {
    "ERR_CONNECTION_REFUSED",
    "ERR_CONNECTION_RESET",
    "ERR_CONTENT_LENGTH_MISMATCH",
    "ERR_EMPTY_RESPONSE",
}
"""What Chromium says of questions, and of pictures on their way, when a server is killed."""


def test_all_pairs_are_answered_by_keys_over_a_reload_and_a_kill(
    sitting: Sitting, archive: Repository
) -> None:
    pairs = [one.pair_id for one in looked_at(archive._archive).pairs()[1]]
    page = sitting.open()
    assert page.evaluate("document.activeElement.id") == "name"
    sitting.name("A. Curator")
    keys = ("s", "2", "ArrowDown", "d", "1", "u", "ArrowRight", "ArrowLeft", "3")
    said = (
        "same",
        "different",
        "unsure",
        "different",
        "same",
        "unsure",
        "different",
        "same",
        "unsure",
    )
    wanted: dict[str, str] = {}
    for place in range(PAIRS):
        if place == 20:
            page.reload()
            until(page, "state.answers.size === 20 && state.shown !== null && !state.busy")
        if place == 40:
            sitting.end()
            page.keyboard.press("s")
            until(page, "byId('trouble').textContent.includes('does not answer')")
            assert page.inner_text("#progress") == f"40 of {PAIRS} answered"
            assert all(one.rpartition("::")[2] in CUT_OFF for one in sitting.wrong)
            sitting.wrong.clear()
            sitting.start()
            sitting.open()
            sitting.name("A. Curator")
        assert page.inner_text("#question").startswith(f"Pair {place + 1} of {PAIRS}. ")
        sitting.press(keys[place % len(keys)], place + 1)
        wanted[pairs[place]] = said[place % len(said)]
        if place in (0, 30):
            assert answers(archive, "A. Curator") == wanted
    assert page.inner_text("#progress") == f"{PAIRS} of {PAIRS} answered"
    assert page.is_visible("#thanks")
    assert answers(archive, "A. Curator") == wanted
    runs = archive._archive.runs("collection")
    assert sum(run.operation == "review" for run in runs) == PAIRS
    page.click("#other")
    sitting.name("B. Reader")
    assert page.inner_text("#progress") == f"0 of {PAIRS} answered"
    sitting.press("d", 1)
    assert answers(archive, "B. Reader") == {pairs[0]: "different"}
    sitting.end(signal.SIGINT)
    assert sitting.process.returncode == 0


def test_undo_goes_back_pair_by_pair_and_a_held_key_is_one_answer(
    sitting: Sitting, archive: Repository
) -> None:
    page = sitting.open()
    sitting.name("A")
    for count, key in enumerate("sdu", start=1):
        sitting.press(key, count)
    first = list(answers(archive, "A"))
    sitting.press("Backspace", 2)
    assert page.inner_text("#question").startswith(f"Pair 3 of {PAIRS}. ")
    page.reload()
    until(page, "state.answers.size === 2 && state.shown !== null && !state.busy")
    sitting.press("z", 1)
    assert page.inner_text("#question").startswith(f"Pair 2 of {PAIRS}. ")
    assert answers(archive, "A") == {first[0]: "same"}
    page.evaluate("""() => { for (const repeat of [false, true, true, true])
      document.dispatchEvent(new KeyboardEvent('keydown', { key: 's', repeat, bubbles: true, cancelable: true })); }""")
    until(page, "state.answers.size === 2 && !state.busy")
    page.click("text=Undo the last answer")
    until(page, "state.answers.size === 1 && !state.busy")
    page.click("button[data-answer=unsure]")
    until(page, "state.answers.size === 2 && !state.busy")
    assert answers(archive, "A") == {first[0]: "same", first[1]: "unsure"}


def test_pictures_can_be_zoomed_alone_and_hostile_titles_are_text(sitting: Sitting) -> None:
    page = sitting.open()
    sitting.name(HOSTILE)
    assert page.inner_text("#person") == HOSTILE
    assert page.inner_text("#collection") == "<b>birds</b>"
    shown(page)
    assert HOSTILE in page.inner_text("#left figcaption")
    assert page.inner_text("#right figcaption").startswith("Finch 2")
    zoom = "state.viewers.map(v => v.dragon.viewport.getZoom())"
    before = page.evaluate(zoom)
    place = page.evaluate("state.viewers.findIndex(v => v.dragon.element.closest('#left'))")
    page.click("#left button[aria-label='Zoom in (left)']")
    after = page.evaluate(zoom)
    assert after[place] > before[place]
    assert after[1 - place] == before[1 - place]
    page.focus("#left .openseadragon-canvas")
    page.keyboard.press("ArrowLeft")  # moves the picture, and is no answer
    page.keyboard.press("Control+s")
    assert page.evaluate("state.answers.size") == 0
    sitting.press("s", 1)


def test_everything_can_be_reached_read_and_named(sitting: Sitting) -> None:
    page = sitting.open()
    assert page.evaluate(CONTRAST) == []
    assert page.evaluate(UNNAMED) == []
    sitting.name("A")
    shown(page)
    if target := os.environ.get("LEDGERKIT_SCREENSHOT"):
        page.screenshot(path=target)
    assert page.evaluate(CONTRAST) == []
    assert page.evaluate(UNNAMED) == []
    assert page.get_attribute("#progress", "aria-live") == "polite"
    assert page.evaluate("document.activeElement.id") == "question"
    reached = set()
    for _ in range(16):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "document.activeElement.dataset.answer || document.activeElement.ariaLabel"
            )
        )
    assert {"same", "different", "unsure", "Zoom in (left)", "Zoom in (right)"} <= reached
    page.focus("button[data-answer=different]")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    sitting.press("Enter", 1)
    assert page.evaluate("document.activeElement.id") == "question"
    page.set_viewport_size({"width": 360, "height": 640})
    assert page.evaluate("document.documentElement.scrollWidth <= 360")


def test_a_missing_picture_is_a_sentence_and_the_pair_can_be_answered(
    sitting: Sitting, archive: Repository
) -> None:
    source = archive.root / str(archive.plates()[0].source_path)
    source.chmod(0o644)
    source.write_bytes(b"damaged")
    page = sitting.open()
    sitting.name("A")
    page.wait_for_selector("#left .no-picture")
    assert "is not the file that was recorded" in page.inner_text("#left .no-picture")
    page.keyboard.press("u")
    until(page, "state.answers.size === 1 && !state.busy")
    page.close()
    assert sitting.wrong
    assert all("status of 500" in one for one in sitting.wrong)
    sitting.wrong.clear()
