"""Shares and former ledgers to whole tables: sorted, derived, keys unique, every reference resolved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledgerkit import schema
from ledgerkit.errors import LedgerRefused
from ledgerkit.ledger.derive import Frames, derive
from ledgerkit.ledger.former import Former

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa


def put_together(
    shares: list[dict[str, pa.Table]], former: Former | None
) -> tuple[Frames, set[str]]:
    """All tables, and the names of those that are as they were in the former ledgers.

    Raises `LedgerRefused` for a key that is not unique or a reference that leads nowhere.
    """
    import polars as pl
    import pyarrow as pa

    new: Frames = {}
    for name in schema.TABLES:
        frame = pl.from_arrow(pa.concat_tables([share.pop(name) for share in shares]))
        assert isinstance(frame, pl.DataFrame)
        new[name] = frame
    frames = {name: _on_top(name, frame, former) for name, frame in new.items()}
    derive(frames)
    untouched = set()
    for name, frame in frames.items():
        if former and not new[name].height and frame.equals(former.frames[name]):
            untouched.add(name)
            continue
        key = schema.table(name)["x-key"]
        frames[name] = frame.sort(key, nulls_last=False, maintain_order=True).rechunk()
        _check_key(name, frames[name], key)
    _check_references(frames, untouched)
    return frames, untouched


def _on_top(name: str, new: pl.DataFrame, former: Former | None) -> pl.DataFrame:
    """Former rows and new ones; a plate that was read again has its new row only."""
    import polars as pl

    if former is None:
        return new
    old = former.frames[name]
    if not new.height:
        return old
    if name == "plates":
        old = old.join(new.select("plate_id"), on="plate_id", how="anti", maintain_order="left")
    return pl.concat([old, new.cast(old.schema)])


def _check_key(name: str, frame: pl.DataFrame, key: list[str]) -> None:
    """The frame is sorted by its key: equal keys stand next to each other."""
    import polars as pl

    same = pl.all_horizontal(pl.col(key).eq_missing(pl.col(key).shift(1)))
    if not frame.select(same.slice(1).any()).item():
        return
    counted = frame.group_by(key).len("times").filter(pl.col("times") > 1).sort(key)
    *values, times = counted.row(0)
    named = ", ".join(f"{column} {value}" for column, value in zip(key, values, strict=True))
    raise LedgerRefused(
        f"ledger {name}: the key {', '.join(key)} is not unique: {named} stands {times} times",
        "Two records say they are the same: the former ledgers stay.",
    )


def _check_references(frames: Frames, untouched: set[str]) -> None:
    import polars as pl

    for name, frame in frames.items():
        if name in untouched:
            continue
        for column, target in schema.table(name).get("x-references", {}).items():
            table, _, wanted = target.partition(".")
            given = frame.select(pl.col(column).alias(wanted)).drop_nulls().unique()
            lost = given.join(frames[table].select(wanted), on=wanted, how="anti")
            if lost.height:
                raise LedgerRefused(
                    f"ledger {name}: {column} {lost[wanted].sort()[0]} is not in {target}",
                    "A record names something that the repository does not hold: restore it "
                    "from a replica. The former ledgers stay.",
                )
