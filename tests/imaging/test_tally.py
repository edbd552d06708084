"""`imaging.tally` against the same counts written plainly in numpy, whoever counts them."""

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ledgerkit.errors import UnreadableImage
from ledgerkit.imaging import strip_kernel
from ledgerkit.imaging.tally import Counts, Frame, Sums, Tally

DEPTHS = {255: np.uint8, 4095: np.uint16, 65535: np.uint16}


def count_plainly(image: NDArray[Any], frame: Frame) -> Counts:
    """The reference: all counts of an image (height, width, bands) at once."""
    wide = image.astype(np.int64)
    light = wide[:, :, 0] if frame.bands == 1 else (wide @ (54, 183, 19) + 128) >> 8
    around = np.pad(light, 1, mode="edge")
    over_rows = around[:-2] + 2 * around[1:-1] + around[2:]
    over_columns = around[:, :-2] + 2 * around[:, 1:-1] + around[:, 2:]
    across = over_rows[:, 2:] - over_rows[:, :-2]
    down = over_columns[2:] - over_columns[:-2]
    laplacian = around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:]
    laplacian -= 4 * light
    bits = frame.maximum.bit_length()
    bins, size = light >> (bits - 8), 256
    if frame.bands == 3:
        bins, size = (wide >> (bits - 6)) @ (4096, 64, 1), 64**3
    rim = max(1, min(frame.width, frame.height) // 32)
    edge = np.ones(light.shape, bool)
    edge[rim : frame.height - rim, rim : frame.width - rim] = False
    return Counts(
        tones=np.bincount(light.ravel(), minlength=frame.maximum + 1),
        border=np.bincount(bins[edge], minlength=size),
        inner=np.bincount(bins[~edge], minlength=size),
        channels=[
            Sums(int(one.sum()), int((one**2).sum()), int(one.min()), int(one.max()))
            for one in np.moveaxis(wide, 2, 0)
        ],
        greys=int((np.ptp(wide, axis=2) <= frame.grey_limit).sum()),
        laplacian=int(laplacian.sum()),
        laplacian_squares=int((laplacian**2).sum()),
        edges=int((across**2 + down**2 > frame.edge_limit).sum()),
    )


def counted(image: NDArray[Any], frame: Frame, rows: int, threads: int) -> Counts:
    with Tally(frame, threads) as tally:
        for top in range(0, len(image), rows):
            tally.add(image[top : top + rows])
        return tally.finish()


def assert_same(first: Counts, second: Counts) -> None:
    for field in fields(Counts):
        one, other = getattr(first, field.name), getattr(second, field.name)
        assert np.array_equal(one, other), field.name


def drawn(width: int, height: int, bands: int, maximum: int, seed: int) -> NDArray[Any]:
    """Noise on flat areas, with both extremes."""
    rng = np.random.default_rng(seed)
    flat = rng.integers(0, maximum + 1, (height, width, bands)) // (1 + seed % 3 * 40)
    flat[rng.random((height, width)) < 0.1] = maximum
    flat[rng.random((height, width)) < 0.1] = 0
    return flat.astype(DEPTHS[maximum])


@given(
    width=st.one_of(st.integers(1, 80), st.integers(1000, 2100)),
    height=st.one_of(st.integers(1, 40), st.integers(64, 100)),
    bands=st.sampled_from([1, 3]),
    maximum=st.sampled_from(list(DEPTHS)),
    rows=st.integers(1, 45),
    threads=st.integers(1, 3),
    edge=st.floats(0, 1.5),
    seed=st.integers(0, 99),
)
def test_counts_are_those_of_plain_numpy(
    width: int,
    height: int,
    bands: int,
    maximum: int,
    rows: int,
    threads: int,
    edge: float,
    seed: int,
) -> None:
    image = drawn(width, height, bands, maximum, seed)
    limit = int((4 * edge * maximum) ** 2)
    frame = Frame(width, height, bands, maximum, limit, grey_limit=maximum // 5)
    assert_same(counted(image, frame, rows, threads), count_plainly(image, frame))


@pytest.mark.parametrize("maximum", [255, 65535])
def test_the_steepest_edges_do_not_overflow(maximum: int) -> None:
    image = np.zeros((66, 3000, 3), DEPTHS[maximum])
    image[::2, 1::2] = image[1::2, ::2] = maximum
    frame = Frame(3000, 66, 3, maximum, edge_limit=10**30, grey_limit=0)
    counts = counted(image, frame, 7, 2)
    assert_same(counts, count_plainly(image, Frame(3000, 66, 3, maximum, 2**60, 0)))
    assert counts.edges == 0
    assert counts.laplacian_squares > 2900 * 64 * (4 * maximum) ** 2


def test_a_sample_above_the_stated_depth_is_refused() -> None:
    for bands in (1, 3):
        image = np.full((3, 4, bands), 4096, np.uint16)
        with pytest.raises(
            UnreadableImage, match="a sample of 4096 is above 4095, the white of 12"
        ):
            counted(image, Frame(4, 3, bands, 4095, 0, 0), 2, 1)


def test_the_kernel_works_where_no_folder_can_keep_it() -> None:
    names: dict[str, Any] = {}
    exec(compile("def twice(value):\n    return 2 * value\n", "<nowhere>", "exec"), names)
    quick = strip_kernel.compiled(names["twice"])
    assert quick(21) == 42
    assert quick is not names["twice"]
