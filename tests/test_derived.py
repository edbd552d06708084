"""A derived space in a repository: found by its name, refused when outdated, without withdrawn plates."""

from __future__ import annotations

import pytest

from ledgerkit.api import Repository
from ledgerkit.errors import MissingInput, UsageError


def test_a_derived_space_is_searched_and_clustered_by_its_name(worked: Repository) -> None:
    assert not worked.run("fuse").failures
    worked.consolidate()
    spaces = worked.query("SELECT DISTINCT space_id FROM current_embeddings")["space_id"].to_list()
    (space,) = [name for name in spaces if name.startswith("whitened-")]
    with pytest.raises(UsageError, match=f"2 spaces: .*{space}"):
        worked.search("plate-001")
    assert worked.search("plate-001", space=space).searched == 3
    with pytest.raises(UsageError, match="taken together"):
        worked.run("cluster", space=space, plates="plate-001..003")
    with pytest.raises(UsageError, match=f"plates in 2 spaces: classical.*{space}"):
        worked.run("cluster")
    assert not worked.run("cluster", space=space).failures
    worked.consolidate()
    clustered = worked.query("SELECT DISTINCT space_id FROM current_clusters")
    assert space in clustered["space_id"].to_list()

    worked.withdraw("plate-002", by="A. Curator", reason="a test")
    worked.consolidate()
    assert {hit.plate_id for hit in worked.search("plate-001", space=space).hits} == {
        "plate-003",
        "plate-004",
    }
    with pytest.raises(MissingInput, match=r"outdated.*plate-002") as refused:
        worked.run("cluster", space=space, force=True)
    assert "ledgerkit fuse" in str(refused.value.hint)
    job = worked.run("fuse")
    assert (job.complete, job.withdrawn) == (1, 1)
