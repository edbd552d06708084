"""What tests of pages share: a folder of pages in a browser, and what is held of every page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

Page = Any
CONTRAST = """() => {
  const parse = (text) => text.match(/[0-9.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (one) => {
    for (; one; one = one.parentElement) {
      const colour = parse(getComputedStyle(one).backgroundColor);
      if (colour.length === 3 || colour[3] > 0.5) return colour;
    }
    return [255, 255, 255];
  };
  const bad = [];
  for (const one of document.querySelectorAll("body *")) {
    const own = [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || one.disabled || !one.getClientRects().length) continue;
    const [high, low] = [light(parse(getComputedStyle(one).color)), light(ground(one))].sort((a, b) => b - a);
    if ((high + 0.05) / (low + 0.05) < 4.5) bad.push(one.outerHTML.slice(0, 80));
  }
  return bad;
}"""
"""Texts whose contrast to their ground is below 4.5 to 1. Source: WCAG 2.2, 1.4.3."""
UNNAMED = """() => [...document.querySelectorAll("img, [role=img], button, a, input, select, canvas")]
  .filter((one) => one.getClientRects().length && !one.closest("[aria-hidden]") && !(one.alt || one.ariaLabel
    || one.textContent.trim() || one.labels?.length || one.querySelector("[alt], [aria-label]")))
  .map((one) => one.outerHTML.slice(0, 80))"""
"""Pictures and controls without a name for those who do not see them."""


class Opened:
    """Pages of one folder; what they ask for and complain of is collected."""

    def __init__(self, browser: Any, folder: Path) -> None:
        self.folder = folder
        self.context = browser.new_context(
            viewport={"width": 1280, "height": 800}, reduced_motion="reduce", accept_downloads=True
        )
        self.context.set_default_timeout(20_000)
        self.wrong: list[str] = []
        self.asked: list[str] = []

    def open(self, address: str) -> Page:
        page = self.context.new_page()
        page.on("console", lambda one: self.wrong.append(one.text))
        page.on("pageerror", lambda one: self.wrong.append(str(one)))
        page.on("dialog", lambda one: self.wrong.append(f"dialog: {one.message}"))
        page.on("requestfailed", lambda one: self.wrong.append(f"failed: {one.url}"))
        page.on("request", lambda one: self.asked.append(one.url))
        page.goto(f"{self.folder.as_uri()}/{address}")
        until(page, "document.readyState === 'complete'")
        return page

    def close(self) -> None:
        """Close the pages; none of them may have complained or asked for anything outside."""
        self.context.close()
        assert self.wrong == []
        inside = (self.folder.as_uri(), "blob:", "data:")
        assert [one for one in self.asked if not one.startswith(inside)] == []


def until(page: Page, expression: str) -> None:
    """Wait for something; Playwright's own way evaluates text in the page, which its policy forbids."""
    for _ in range(400):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(25)
    pytest.fail(f"in vain: {expression}")
