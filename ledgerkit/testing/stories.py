"""Bring a repository through every phase, for tests of what comes out in the end."""

from __future__ import annotations

from ledgerkit.api import Repository


def whole_story(repository: Repository) -> Repository:
    """Headers to clusters under an accepted policy, consolidated; the same repository again."""
    for operation in ("headers", "measure", "hash", "propose"):
        repository.run(operation)
    repository.accept_policy("A. Curator", "keeps every plate at full size")
    for operation in ("normalize", "segment", "embed", "cluster"):
        repository.run(operation)
    repository.consolidate()
    return repository
