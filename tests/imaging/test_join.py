"""Masks of tiles joined to objects: laws over random images, and cases with known answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgerkit.imaging.join import (
    Joined,
    JoinRule,
    Piece,
    Region,
    Window,
    join,
    nested,
    windows,
)
from ledgerkit.imaging.morphology import label
from ledgerkit.imaging.pieces import Bits, trim

PARTITION = JoinRule(partition=True)


def seen_on(truth: np.ndarray, tiles: list[Window], score: float = 0.5) -> list[Piece]:
    """What each tile shows of a mask of the frame: one piece for each connected component."""
    pieces = []
    for index, tile in enumerate(tiles):
        labels, count = label(truth[tile.y0 : tile.y1, tile.x0 : tile.x1])
        for number in range(1, count + 1):
            pieces.append(Piece(tile.x0, tile.y0, labels == number, score, index))
    return pieces


def painted(joined: Joined, shape: tuple[int, int]) -> list[np.ndarray]:
    """Each region on the frame."""
    masks = []
    for region in joined.regions:
        mask = np.zeros(shape, dtype=bool)
        mask[region.box.y0 : region.box.y1, region.box.x0 : region.box.x1] = region.mask
        masks.append(mask)
    return masks


def disk(shape: tuple[int, int], x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return np.asarray((rows - y) ** 2 + (columns - x) ** 2 <= radius**2)


@st.composite
def cut_images(draw: st.DrawFn) -> tuple[np.ndarray, list[Window]]:
    height, width = draw(st.integers(1, 32)), draw(st.integers(1, 32))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    share = draw(st.sampled_from([0.2, 0.4, 0.6, 0.9]))
    image = generator.random((height, width)) < share
    tiles = windows(width, height, draw(st.integers(5, 24)), draw(st.integers(1, 6)))
    return image, tiles


@st.composite
def placed_masks(draw: st.DrawFn) -> list[Piece]:
    """Up to 12 masks of up to 200 pixels a side, anywhere in a frame; some lie in others, some are alike."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    masks: list[Piece] = []
    for _ in range(draw(st.integers(2, 12))):
        height, width = generator.integers(1, 200, 2)
        x, y = (int(at) for at in generator.integers(0, 150, 2))
        mask = generator.random((height, width)) < generator.choice([0.02, 0.5, 0.97, 1.0])
        if masks and generator.random() < 0.5:
            inner = masks[generator.integers(len(masks))]
            x, y, mask = (
                inner.x0,
                inner.y0,
                inner.mask & (generator.random(inner.mask.shape) < 0.95),
            )
            mask = mask[: generator.integers(1, len(mask) + 1)]
        mask[0, 0] = True
        masks.append(Piece(x, y, mask))
    return masks


def on_frame(piece: Piece) -> np.ndarray:
    mask = np.zeros((400, 400), dtype=bool)
    mask[piece.y0 : piece.y0 + piece.mask.shape[0], piece.x0 : piece.x0 + piece.mask.shape[1]] = (
        piece.mask
    )
    return mask


@given(placed_masks())
def test_parents_are_those_that_whole_masks_give_compared_pixel_by_pixel(
    pieces: list[Piece],
) -> None:
    whole = sorted((on_frame(piece) for piece in pieces), key=lambda mask: -mask.sum())
    regions = []
    for place, mask in enumerate(whole):
        box, tight = trim(0, 0, mask)  # type: ignore[misc]
        told = ("", 0.5, (place,), (), None, "single", False, b"")
        regions.append(Region(box.x0, box.y0, tight, *told))
    expected: list[int | None] = []
    for small, mask in enumerate(whole):
        area = mask.sum()
        around = [
            large
            for large, other in enumerate(whole[:small])
            if area < 0.5 * other.sum() and (mask & other).sum() >= 0.9 * area
        ]
        expected.append(max(around, default=None))
    assert [region.parent for region in nested(regions, JoinRule())] == expected


@given(placed_masks())
def test_what_masks_share_is_counted_by_words_as_it_is_by_pixels(pieces: list[Piece]) -> None:
    bits = Bits(
        [Region(one.x0, one.y0, one.mask, "", 0.5, (), (), None, "", False, b"") for one in pieces]
    )
    for i, one in enumerate(pieces):
        for j, other in enumerate(pieces):
            shared = int((on_frame(one) & on_frame(other)).sum())
            assert bits.common(i, j) == shared
            least = 0.9 * min(one.mask.sum(), other.mask.sum())
            assert bits.least(i, j, 0.9) == (shared >= least)


@given(cut_images())
def test_components_cut_into_tiles_come_back_as_they_were(
    cut: tuple[np.ndarray, list[Window]],
) -> None:
    image, tiles = cut
    joined = join(seen_on(image, tiles), tiles, PARTITION)
    labels, count = label(image)
    assert len(joined.regions) == count
    for mask in painted(joined, image.shape):
        number = labels[mask][0]
        assert (mask == (labels == number)).all()
    assert joined.conservation.holds
    assert joined.conservation.coverage == 1.0


@st.composite
def any_pieces(draw: st.DrawFn) -> tuple[list[Piece], list[Window], int]:
    """Disks and their parts seen badly on tiles and on the whole: some lost, ragged, doubled."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    tiles = windows(48, 40, 20, 6)
    pieces = []
    for index, tile in [*enumerate(tiles), (None, Window(0, 0, 48, 40, tiles[0].core))]:
        for _ in range(int(generator.integers(0, 4))):
            x, y = generator.integers(0, (48, 40))
            mask = disk((40, 48), x, y, generator.integers(3, 22))
            mask &= generator.random((40, 48)) < generator.choice([0.8, 1.0])
            seen = mask[tile.y0 : tile.y1, tile.x0 : tile.x1]
            score = generator.choice([0.3, 0.3, 0.9])
            if seen.any():
                pieces.append(Piece(tile.x0, tile.y0, seen, float(score), index))
    return pieces, tiles, draw(st.integers(0, 2**32))


@given(any_pieces())
def test_the_order_of_pieces_and_windows_changes_nothing(
    given_: tuple[list[Piece], list[Window], int],
) -> None:
    pieces, tiles, seed = given_
    generator = np.random.default_rng(seed)
    order, places = generator.permutation(len(pieces)), generator.permutation(len(tiles))
    moved_to = {int(old): new for new, old in enumerate(places)}
    shuffled = []
    for old in order:
        piece = pieces[old]
        window = None if piece.window_index is None else moved_to[piece.window_index]
        shuffled.append(Piece(piece.x0, piece.y0, piece.mask, piece.score, window))
    for rule in (JoinRule(), PARTITION):
        one = join(pieces, tiles, rule)
        other = join(shuffled, [tiles[old] for old in places], rule)
        assert one.conservation == other.conservation
        assert one.conservation.holds
        for a, b in zip(one.regions, other.regions, strict=True):
            assert (a.box, a.parent, a.rule, a.score, a.cut) == (
                b.box,
                b.parent,
                b.rule,
                b.score,
                b.cut,
            )
            assert (a.mask == b.mask).all()
            assert a.members == tuple(int(order[place]) for place in b.members)


@given(st.integers(1, 200), st.integers(1, 200), st.integers(10, 120), st.integers(0, 50))
def test_cores_divide_the_frame_and_windows_keep_inside_it(
    width: int, height: int, core: int, halo: int
) -> None:
    seen = np.zeros((height, width), dtype=int)
    for tile in windows(width, height, core, halo):
        assert 0 <= tile.x0 <= tile.core.x0 < tile.core.x1 <= tile.x1 <= width
        assert tile.core.width <= core
        assert tile.core.x0 - tile.x0 in (halo, tile.core.x0)
        seen[tile.core.y0 : tile.core.y1, tile.core.x0 : tile.core.x1] += 1
    assert (seen == 1).all()


def test_an_object_over_four_tiles_is_one() -> None:
    tiles = windows(200, 200, 100, 20)
    truth = disk((200, 200), 100, 100, 60)
    joined = join(seen_on(truth, tiles), tiles, JoinRule())
    (region,) = joined.regions
    assert (painted(joined, truth.shape)[0] == truth).all()
    assert (region.rule, len(region.members), region.score, region.cut) == ("join", 4, 0.5, False)


def test_a_chain_over_many_tiles_is_one() -> None:
    tiles = windows(1000, 60, 50, 8)
    truth = np.zeros((60, 1000), dtype=bool)
    truth[25:31, 3:990] = True
    joined = join(seen_on(truth, tiles), tiles, JoinRule())
    assert len(joined.regions) == 1
    assert (painted(joined, truth.shape)[0] == truth).all()


def test_an_object_that_a_tile_breaks_in_two_is_one() -> None:
    """Legs of an arch: the lower tile does not see where they meet."""
    truth = np.zeros((100, 50), dtype=bool)
    truth[10:90, 10:18] = truth[10:90, 40:48] = truth[10:18, 10:48] = True
    tiles = windows(50, 100, 50, 8)
    joined = join(seen_on(truth, tiles), tiles, JoinRule())
    assert len(joined.regions) == 1
    assert (painted(joined, truth.shape)[0] == truth).all()


def test_an_object_that_begins_in_the_overlap_is_seen_whole_by_one_tile() -> None:
    tiles = windows(200, 100, 100, 20)
    truth = disk((100, 200), 110, 50, 20)
    joined = join(seen_on(truth, tiles), tiles, JoinRule())
    assert [region.members for region in joined.regions] in ([(0, 1)], [(1, 0)])
    assert (painted(joined, truth.shape)[0] == truth).all()


def test_of_an_object_seen_whole_by_two_tiles_the_better_stays() -> None:
    tiles = windows(200, 100, 100, 30)
    good, bad = disk((100, 200), 100, 50, 12), disk((100, 200), 101, 50, 13)
    pieces = seen_on(good, tiles[:1], 0.9)
    pieces += [Piece(tiles[1].x0, 0, bad[:, tiles[1].x0 :], 0.6, 1)]
    joined = join(pieces, tiles, JoinRule())
    (region,) = joined.regions
    assert (region.members, region.suppressed, region.score) == ((0,), (1,), 0.9)
    assert (painted(joined, good.shape)[0] == good).all()


def test_a_part_in_a_figure_is_its_child_and_neither_is_lost() -> None:
    tiles = windows(200, 200, 100, 20)
    figure, part = disk((200, 200), 100, 100, 60), disk((200, 200), 100, 120, 18)
    joined = join([*seen_on(figure, tiles), *seen_on(part, tiles)], tiles, JoinRule())
    outer, inner = joined.regions
    assert (outer.parent, inner.parent) == (None, 0)
    masks = painted(joined, figure.shape)
    assert (masks[0] == figure).all()
    assert (masks[1] == part).all()


def test_two_objects_that_touch_in_the_overlap_stay_two() -> None:
    tiles = windows(200, 100, 100, 20)
    left, right = np.zeros((100, 200), dtype=bool), np.zeros((100, 200), dtype=bool)
    left[30:70, 40:100] = True
    right[30:70, 100:160] = True
    joined = join([*seen_on(left, tiles), *seen_on(right, tiles)], tiles, JoinRule())
    assert len(joined.regions) == 2
    found = painted(joined, left.shape)
    assert any((mask == left).all() for mask in found)
    assert any((mask == right).all() for mask in found)


def test_a_large_object_keeps_the_extent_of_the_whole_pass_and_the_borders_of_tiles() -> None:
    """A tile in its middle sees nothing; the whole pass has coarse borders."""
    tiles = windows(304, 304, 102, 16)
    truth = disk((304, 304), 150, 150, 120)
    coarse = truth[4::8, 4::8].repeat(8, axis=0).repeat(8, axis=1)
    pieces = [piece for piece in seen_on(truth, tiles) if piece.window_index != 4]
    (alone, *_) = join(pieces, tiles, JoinRule()).regions
    assert not alone.mask[110, 110]
    joined = join([*pieces, Piece(0, 0, coarse, 0.9)], tiles, JoinRule())
    (region,) = joined.regions
    assert region.rule == "refine"
    mask = painted(joined, truth.shape)[0]
    assert mask[150, 150]
    assert (mask & truth).sum() / (mask | truth).sum() > 0.995
    assert (coarse & truth).sum() / (coarse | truth).sum() < 0.98


def test_a_small_object_of_the_whole_pass_gives_way_to_the_tile_or_stays_where_no_tile_saw_it() -> (
    None
):
    tiles = windows(200, 200, 100, 16)
    one, other = disk((200, 200), 50, 50, 15), disk((200, 200), 150, 150, 15)
    pieces = [*seen_on(one, tiles), Piece(0, 0, np.roll(one, 2, axis=1), 0.9), Piece(0, 0, other)]
    joined = join(pieces, tiles, JoinRule())
    masks = painted(joined, one.shape)
    assert len(masks) == 2
    assert any((mask == one).all() for mask in masks)
    assert any((mask == other).all() for mask in masks)


def test_only_pieces_of_one_kind_meet() -> None:
    tiles = windows(100, 100, 100, 0)
    mask = disk((100, 100), 50, 50, 20)
    pieces = [Piece(0, 0, mask, 0.9, 0, "figure"), Piece(0, 0, mask, 0.8, 0, "lettering")]
    assert len(join(pieces, tiles, JoinRule()).regions) == 2


def test_what_nothing_continues_is_kept_and_said_to_be_cut() -> None:
    tiles = windows(200, 100, 100, 20)
    truth = disk((100, 200), 100, 50, 60)
    joined = join(seen_on(truth, tiles[:1]), tiles, JoinRule())
    assert [region.cut for region in joined.regions] == [True]


@pytest.mark.parametrize(
    ("piece", "told"),
    [
        (Piece(0, 0, np.zeros((3, 3), dtype=bool), 1.0, 0), "has no pixel"),
        (Piece(8, 0, np.ones((3, 3), dtype=bool), 1.0, 0), "reaches out of its window"),
        (Piece(0, 0, np.ones((3, 3), dtype=bool), 1.0, 1), "there are 1"),
    ],
)
def test_refuses_pieces_that_cannot_be(piece: Piece, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        join([piece], windows(10, 10, 10, 0), JoinRule())


def test_windows_that_show_the_same_are_still_two() -> None:
    tiles = windows(6, 6, 5, 6)
    assert len({(tile.x0, tile.x1) for tile in tiles}) == 1
    truth = np.ones((6, 6), dtype=bool)
    for rule in (JoinRule(), PARTITION):
        assert len(join(seen_on(truth, tiles), tiles, rule).regions) == 1


def test_nothing_joined_is_nothing() -> None:
    joined = join([], windows(10, 10, 10, 0), JoinRule())
    assert joined.regions == ()
    assert joined.conservation.holds
