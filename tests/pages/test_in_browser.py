"""The atlas in a real browser, opened from the disk, by pointer and by keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ledgerkit.api import Repository
from ledgerkit.pages.atlas import AtlasView
from ledgerkit.testing.mapped import cluster_id

from .browsing import CONTRAST, UNNAMED, Opened, Page, until
from .conftest import HOSTILE


@pytest.fixture
def opened(browser: Any, atlas: tuple[Path, AtlasView]) -> Iterator[Opened]:
    """The atlas of all tests; no page of it may complain or ask for anything outside of its folder."""
    found = Opened(browser, atlas[0])
    yield found
    found.close()


def open_map(opened: Opened) -> Page:
    page = opened.open("map.html")
    until(page, "document.getElementById('count').textContent !== ''")
    return page


def count_of(page: Page) -> str:
    return str(page.inner_text("#count"))


def places(page: Page) -> list[list[float]]:
    """Where the points lie on the screen."""
    found: list[list[float]] = page.evaluate(
        """() => { const box = state.view.canvas.getBoundingClientRect();
        return [...state.map.x].map((x, at) =>
            [box.x + state.view.across(x), box.y + state.view.down(state.map.y[at])]); }"""
    )
    return found


@pytest.mark.parametrize(
    "address",
    [
        "index.html",
        "map.html",
        "plates.html",
        f"cluster.html#0/{cluster_id(1, 0)}",
        "plate.html#plate-002",
    ],
)
def test_a_page_opens_from_the_disk_and_can_be_read_by_all(opened: Opened, address: str) -> None:
    page = opened.open(address)
    page.wait_for_selector("[role=img], #viewer canvas")
    assert page.evaluate(UNNAMED) == []
    assert page.evaluate(CONTRAST) == []
    assert page.inner_text("h1").strip() != ""
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_hostile_title_is_text(opened: Opened) -> None:
    page = opened.open("plate.html#plate-002")
    page.wait_for_selector("h1")
    assert HOSTILE in page.inner_text("h1")
    page = opened.open("plates.html")
    page.fill("#words", "onerror")
    assert page.inner_text("#list li a").strip() == HOSTILE
    page = open_map(opened)
    page.select_option("#scheme", label="work")
    page.select_option("#value", label=HOSTILE)
    assert count_of(page).startswith("6 of 12")


def test_search_filters_and_levels_choose_what_is_shown(opened: Opened) -> None:
    page = open_map(opened)
    assert count_of(page) == "12 of 12 plates shown, 1 of them in no cluster."
    page.fill("#words", "Finch 1")
    assert count_of(page).startswith("4 of 12")
    page.fill("#words", "plate-003")
    assert count_of(page).startswith("1 of 12")
    page.fill("#words", "")
    page.uncheck("#noise")
    assert count_of(page).startswith("11 of 12")
    page.check("#noise")
    page.select_option("#scheme", label="colour")
    page.select_option("#value", label="ochre")
    assert count_of(page).startswith("3 of 12")
    page.select_option("#scheme", label="any")
    assert count_of(page).startswith("12 of 12")
    page.select_option("#cluster", label="Blob 0 of level 1 (6)")
    assert count_of(page).startswith("6 of 12")
    page.select_option("#level", label="2")
    options = page.eval_on_selector_all("#cluster option", "all => all.map(one => one.textContent)")
    assert [one for one in options if "level 2" in one] == [
        "Blob 0 of level 2 (3)",
        "Blob 1 of level 2 (3)",
        "Blob 2 of level 2 (2)",
        "Blob 3 of level 2 (3)",
    ]
    page.select_option("#cluster", label="Blob 3 of level 2 (3)")
    assert count_of(page).startswith("3 of 12")
    page.select_option("#cluster", label="in no cluster")
    assert count_of(page) == "1 of 12 plates shown, 1 of them in no cluster."
    assert page.inner_text("#list tbody td:nth-child(3)") == "none"


def test_a_lasso_selects_what_lies_in_it_and_saves_their_ids(opened: Opened) -> None:
    page = open_map(opened)
    points = places(page)
    wanted = points[0]
    page.click("#lasso")
    corners = [(-9, -9), (9, -9), (9, 9), (-9, 9)]
    page.mouse.move(wanted[0] - 9, wanted[1] - 9)
    page.mouse.down()
    for across, down in corners:
        page.mouse.move(wanted[0] + across, wanted[1] + down, steps=3)
    page.mouse.up()
    inside = [
        at for at, (x, y) in enumerate(points) if abs(x - wanted[0]) < 9 and abs(y - wanted[1]) < 9
    ]
    assert page.inner_text("#chosen") == f"{len(inside)} selected."
    assert page.inner_text("#listed") == "Points selected"
    with page.expect_download() as download:
        page.click("#save")
    lines = Path(download.value.path()).read_text().splitlines()
    assert lines[0] == "subject_id,plate_id,cluster_id"
    assert [line.split(",")[0] for line in lines[1:]] == [f"plate-{at + 1:03d}" for at in inside]
    assert lines[1] == f"plate-001,plate-001,{cluster_id(1, 0)}"
    page.click("#clear")
    assert page.inner_text("#chosen") == "Nothing is selected."


def test_islands_can_be_brought_nearer_with_their_order_kept(opened: Opened) -> None:
    page = open_map(opened)
    before = places(page)
    page.click("#take")
    page.check("#even")
    after = places(page)
    assert after != before
    for axis in (0, 1):
        order = sorted(range(len(before)), key=lambda at: before[at][axis])
        assert order == sorted(range(len(after)), key=lambda at: after[at][axis])
    assert page.inner_text("#chosen") == "12 selected."
    page.uncheck("#even")
    assert places(page) == before


def test_the_map_can_be_used_by_keys_alone(opened: Opened) -> None:
    page = open_map(opened)
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "canvas":
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    where = "[state.view.x, state.view.y, state.view.scale]"
    before = page.evaluate(where)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("+")
    x, y, scale = page.evaluate(where)
    assert x > before[0]
    assert y > before[1]
    assert scale > before[2]
    page.keyboard.press("0")
    assert page.evaluate(where) == before
    page.keyboard.press("n")
    page.keyboard.press("n")
    point = page.evaluate("state.view.point")
    title = page.evaluate("state.plates.titles[state.map.plates[state.view.point]]")
    assert title in page.inner_text("#card")
    page.keyboard.press("Space")
    assert page.inner_text("#chosen") == "1 selected."
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/plate.html#plate-{point + 1:03d}")


def test_the_pointer_moves_zooms_and_looks(opened: Opened) -> None:
    page = open_map(opened)
    x, y = places(page)[4]
    page.mouse.move(x, y)
    page.wait_for_selector("#card:not([hidden])")
    assert "Finch" in page.inner_text("#card") or "script" in page.inner_text("#card")
    scale = page.evaluate("state.view.scale")
    page.mouse.wheel(0, -200)
    until(page, f"state.view.scale > {scale}")
    after = places(page)[4]
    assert abs(after[0] - x) + abs(after[1] - y) < 2, "the point under the pointer stays there"
    page.mouse.down()
    page.mouse.move(x + 50, y + 30, steps=4)
    page.mouse.up()
    assert abs(places(page)[4][0] - after[0] - 50) < 2
    assert page.evaluate("state.view.drawn"), "few points are drawn as pictures"


def test_a_plate_is_shown_in_tiles_with_its_segments(opened: Opened) -> None:
    page = opened.open("plate.html#plate-001")
    until(page, "viewer && viewer.dragon.world.getItemCount() === 1")
    until(page, "viewer.dragon.world.getItemAt(0).getFullyLoaded()")
    kinds = page.eval_on_selector_all("#side input", "all => all.map(one => one.value)")
    assert "figure" in kinds
    path = page.locator(".outlines path.kind-figure").first
    assert path.is_visible()
    page.uncheck("#side input[value=figure]")
    assert not path.is_visible()
    page.check("#side input[value=figure]")
    page.locator("#side button.plain", has_text="figure").first.click()
    until(page, "viewer.dragon.world.getItemAt(0).getFullyLoaded()")
    box, outline = page.locator("#viewer").bounding_box(), path.bounding_box()
    assert outline["height"] > 0.5 * box["height"], "it was brought into view"
    assert page.locator(".outlines path.marked").count() == 1
    shown = {one.rpartition("/tiles/")[2] for one in opened.asked if "/tiles/" in one}
    assert any(one.startswith("plate-001/2/") for one in shown), "tiles of full resolution"
    assert "normalize" in page.inner_text("table.runs")


def test_a_plate_without_tiles_is_one_picture(opened: Opened) -> None:
    page = opened.open("plate.html#plate-004")
    until(page, "viewer && viewer.dragon.world.getItemCount() === 1")
    assert "No segments of this plate" in page.inner_text("#side")
    assert any("/images/" in one for one in opened.asked)


def test_a_cluster_shows_its_members_and_what_is_near(opened: Opened) -> None:
    page = opened.open(f"cluster.html#0/{cluster_id(1, 0)}")
    page.wait_for_selector("ul.grid")
    assert page.inner_text("h1") == "Blob 0 of level 1"
    first = page.locator("ul.grid").first
    assert first.locator("li").count() == 6
    assert first.locator("li.representative").count() == 1
    assert "representative" in first.locator("li").first.inner_text()
    text = page.inner_text("main")
    assert "Clusters within it" in text
    assert "cosine of centroids" in text
    row = page.locator("tr", has_text="madder")
    assert row.locator("td").nth(1).inner_text() == "3"
    named = opened.open(f"cluster.html#0/{cluster_id(1, 1)}")
    named.wait_for_selector("ul.grid")
    assert named.inner_text("h1") == HOSTILE
    facts = named.inner_text("dl.facts")
    assert "a person, A. Curator" in facts
    assert "Blob 1 of level 1" in facts
    assert f"Said of {HOSTILE}" in facts
    page.click("text=Show its members")
    page.wait_for_url("**/map.html**")
    until(page, "document.getElementById('count')?.textContent.startsWith('6 of 12')")


def test_an_address_that_names_nothing_is_answered_in_words(opened: Opened) -> None:
    for address in ("plate.html", "plate.html#plate-019", f"cluster.html#0/{cluster_id(3, 0)}"):
        page = opened.open(address)
        page.wait_for_selector("[role=alert]")
        assert "This page cannot be shown" in page.inner_text("[role=alert]")


def test_a_missing_picture_is_a_sentence(browser: Any, shown: Repository, tmp_path: Path) -> None:
    for path in shown.root.glob("plates_structured/plate-004/[cs]*/**/*.*"):
        if path.is_file():
            path.chmod(0o644)
            path.write_bytes(b"damaged")
    shown.atlas(tmp_path / "atlas")
    pages = Opened(browser, tmp_path / "atlas")
    for address in ("plates.html", "plate.html#plate-004", f"cluster.html#0/{cluster_id(1, 1)}"):
        page = pages.open(address)
        page.wait_for_selector(".no-picture")
        assert "is not the file that was recorded" in page.inner_text(".no-picture")
    page = open_map(pages)
    page.mouse.move(*places(page)[3])
    page.wait_for_selector("#card .no-picture")
    pages.context.close()
    assert pages.wrong == []
