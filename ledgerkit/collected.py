"""What an audit has found so far: findings, counts, sizes."""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from ledgerkit.errors import UnsafePath
from ledgerkit.findings import Finding, finding, writable
from ledgerkit.views import Megapixels

WARNING_MEGAPIXELS = 90.0
"""Pillow warns of a decompression bomb above 89.48 megapixels (PIL.Image.MAX_IMAGE_PIXELS)."""


@dataclass
class Collected:
    """Findings and counts, gathered plate after plate."""

    findings: list[Finding] = field(default_factory=list)
    missing_manifests: int = 0
    source_issues: int = 0
    with_runs: int = 0
    plate_runs: int = 0
    operations: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    coverage: Counter[str] = field(default_factory=Counter)
    sizes: list[tuple[float, str]] = field(default_factory=list)
    unreadable: int = 0
    unprotected: int = 0
    seal_failures: dict[str, str] = field(default_factory=dict)
    evicted: set[str] = field(default_factory=set)

    def add(self, code: str, subject: str, detail: object = "") -> None:
        self.findings.append(finding(code, subject, detail))

    @contextlib.contextmanager
    def guarding(self, path: str) -> Iterator[None]:
        """What the system refuses to show is a finding, and the rest is looked at all the same."""
        try:
            yield
        except OSError as error:
            self.add("PATH_UNREADABLE", path, error.strerror or error)
        except UnsafePath as error:
            self.add("LINK_FOUND", path, error.message)

    def megapixels(self) -> Megapixels:
        """The sizes of all images that could be read, in millions of pixels."""
        sizes = [size for size, _ in self.sizes]
        over = sorted(
            ((size, path) for size, path in self.sizes if size > WARNING_MEGAPIXELS), reverse=True
        )
        return Megapixels(
            readable=len(sizes),
            unreadable=self.unreadable,
            minimum=min(sizes, default=None),
            maximum=max(sizes, default=None),
            mean=sum(sizes) / len(sizes) if sizes else None,
            over_warning_line=len(over),
            largest=[{"path": writable(path), "megapixels": size} for size, path in over],
        )
