"""Columns that depend on other rows: which runs are current, a plate's newest header, who made a subject.

Everything else in the ledgers follows from one record or manifest alone. What is here is computed
over whole tables after they are put together, so building on top of former ledgers gives what a
rebuild gives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledgerkit.current import PROMPTED, SEGMENTATION, SEGMENTS
from ledgerkit.ledger.corrected import with_corrections, with_log_indexes
from ledgerkit.records import EVENTS

if TYPE_CHECKING:
    import polars as pl

Frames = dict[str, "pl.DataFrame"]
HEADER_COLUMNS = (
    "format",
    "width",
    "height",
    "megapixels",
    "mode",
    "bit_depth",
    "orientation",
    "icc_profile",
)


def derive(frames: Frames) -> None:
    """Fill in, in place, what rows say of each other."""
    frames["plates"] = with_corrections(frames["plates"], frames["runs"], frames["artifacts"])
    frames["runs"] = _with_current(frames)
    frames["plates"] = with_log_indexes(_with_headers(frames), frames["runs"])
    frames["embeddings"] = _with_makers(frames)
    if frames["cluster_members"].height:
        frames["cluster_members"] = _with_subject_runs(frames)


def _with_current(frames: Frames) -> pl.DataFrame:
    """`current`: for each subject, operation and variant the newest valid result, in log order.

    The same rule as `current.current_runs`, over the whole table.
    """
    import polars as pl

    runs = frames["runs"]
    valid = runs.filter(pl.col("status") != "failed")
    superseded = valid["supersedes"].drop_nulls()
    withdrawn = frames["plates"].filter("withdrawn").select("plate_id")
    valid = (
        valid.filter(
            ~pl.col("operation").is_in(list(EVENTS)),
            ~pl.col("run_id").is_in(superseded.implode()),
        )
        .join(_of_another_source(frames), on="run_id", how="anti")
        .join(withdrawn, on="plate_id", how="anti")
    )
    is_cut = pl.col("event_type") == SEGMENTATION
    policy = pl.col("variant").str.extract(r"^(policy-[0-9a-f]{8})")
    prompted = pl.col("variant").str.ends_with(PROMPTED)
    cuts = (
        valid.filter(is_cut)
        .group_by("plate_id", policy.alias("policy"), prompted.alias("prompted"))
        .agg(pl.col("log_index").max())
    )
    newest = (
        valid.filter(~is_cut)
        .join(_of_other_regions(frames, cuts), on="run_id", how="anti")
        .group_by("plate_id", "operation", "variant")
        .agg(pl.col("log_index").max())
    )
    current = pl.concat([cuts["log_index"], newest["log_index"]])
    return runs.with_columns(pl.col("log_index").is_in(current.implode()).alias("current"))


def _of_other_regions(frames: Frames, cuts: pl.DataFrame) -> pl.DataFrame:
    """Ids of runs on plates that read regions which are, byte for byte, none of those in force."""
    import polars as pl

    runs, tables = frames["runs"], frames["artifacts"].filter(pl.col("role") == SEGMENTS)
    in_force = (
        tables.filter(pl.col("direction") == "output")
        .join(runs.join(cuts, on="log_index", how="semi"), on="run_id")
        .select("plate_id", "sha256")
    )
    return (
        tables.filter(pl.col("direction") == "input")
        .join(runs.select("run_id", "plate_id").drop_nulls(), on="run_id")
        .join(in_force, on=["plate_id", "sha256"], how="anti")
        .select("run_id")
        .unique()
    )


def _of_another_source(frames: Frames) -> pl.DataFrame:
    """Ids of runs on plates that were made from a source which is not the plate's present one."""
    import polars as pl

    read = frames["artifacts"].filter(pl.col("direction") == "input", pl.col("role") == "source")
    present = frames["plates"].select("plate_id", pl.col("source_sha256").alias("present"))
    on_plates = (
        frames["runs"]
        .filter(~pl.col("operation").is_in(list(EVENTS)))
        .select("run_id", "plate_id")
        .drop_nulls()
    )
    found = newest = (
        read.select("run_id", "sha256")
        .join(on_plates, on="run_id")
        .join(present, on="plate_id", how="left")
        .filter(pl.col("sha256").ne_missing(pl.col("present")))
        .select("run_id")
        .unique()
    )
    while newest.height:  # what was made of their results, and of its results, and so on
        newest = (
            frames["artifacts"]
            .join(newest.select(pl.col("run_id").alias("made_by")), on="made_by", how="semi")
            .join(on_plates, on="run_id", how="semi")
            .join(found, on="run_id", how="anti")
            .select("run_id")
            .unique()
        )
        found = pl.concat([found, newest])
    return found


def _with_headers(frames: Frames) -> pl.DataFrame:
    """Plates with the facts of their current header run."""
    import polars as pl

    plates = frames["plates"]
    current = frames["runs"].filter("current").select("run_id")
    facts = (
        frames["headers"]
        .join(current, on="run_id", how="semi")
        .sort("log_index")
        .unique("plate_id", keep="last")
        .select(
            "plate_id",
            pl.col("run_id").alias("headers_run_id"),
            pl.col("media_type").alias("header_media_type"),
            *HEADER_COLUMNS,
        )
    )
    filled = [name for name in facts.columns if name in plates.columns and name != "plate_id"]
    return (
        plates.drop(filled)
        .join(facts, on="plate_id", how="left", maintain_order="left")
        .with_columns(pl.coalesce("header_media_type", "media_type").alias("media_type"))
        .select(plates.columns)
    )


def _with_makers(frames: Frames) -> pl.DataFrame:
    """Vectors with the run that made their region, where their own run read those of several."""
    import polars as pl

    vectors = frames["embeddings"]
    unknown = (pl.col("subject_kind") == "segment") & pl.col("subject_run_id").is_null()
    asked = vectors.filter(unknown).select("run_id", "subject_id")
    if not asked.height:
        return vectors
    read = (
        frames["artifacts"]
        .filter(pl.col("direction") == "input", pl.col("role") == SEGMENTS)
        .select("run_id", pl.col("made_by").alias("maker"))
    )
    regions = frames["segments"].select(
        pl.col("segment_id").alias("subject_id"), pl.col("run_id").alias("maker")
    )
    found = (
        asked.join(read, on="run_id")
        .join(regions, on=["subject_id", "maker"], how="semi")
        .group_by("run_id", "subject_id")
        .agg(pl.col("maker").min())
    )
    joined = vectors.join(found, on=["run_id", "subject_id"], how="left", maintain_order="left")
    return joined.with_columns(
        pl.coalesce("subject_run_id", "maker").alias("subject_run_id")
    ).select(vectors.columns)


def _with_subject_runs(frames: Frames) -> pl.DataFrame:
    """Members of clusters with the run that made their subject, from the vectors they cluster."""
    import polars as pl

    members = frames["cluster_members"]
    read = (
        frames["artifacts"]
        .filter(pl.col("direction") == "input", pl.col("role") == "table:embeddings")
        .select("run_id", pl.col("made_by").alias("embed_run"))
    )
    vectors = frames["embeddings"].select(
        "subject_id", pl.col("run_id").alias("embed_run"), pl.col("subject_run_id").alias("maker")
    )
    known = (
        read.join(vectors, on="embed_run")
        .select("run_id", "subject_id", "maker")
        .unique(["run_id", "subject_id"])
    )
    joined = members.join(known, on=["run_id", "subject_id"], how="left", maintain_order="left")
    return joined.with_columns(pl.col("maker").alias("subject_run_id")).select(members.columns)
