"""The one door to libvips: loading it, naming its errors, giving it files, taking pixels out of it.

libvips keeps no cache of operations here, because its sources are open files that change hands; the
number of its threads is left to the caller (VIPS_CONCURRENCY).

Keeps out: formats, colours and geometry.
"""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from ledgerkit.errors import UnreadableImage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Value = TypeVar("Value")
DTYPES = {"uchar": "uint8", "ushort": "uint16", "float": "float32"}


def load_vips() -> Any:
    """The pyvips module, its cache of operations off. The first call takes about 0.1 s."""
    import logging

    import pyvips

    logging.getLogger("pyvips").setLevel(logging.ERROR)
    pyvips.cache_set_max(0)
    return pyvips


@contextmanager
def decoding() -> Iterator[None]:
    """Turn what libvips raises while pixels are computed into `UnreadableImage`."""
    pyvips = load_vips()
    try:
        yield
    except pyvips.Error as error:
        raise UnreadableImage(f"the pixels cannot be decoded: {reason(error)}") from error


def reason(error: Exception) -> str:
    """One line, without repeats, of what a library said."""
    lines: list[str] = []
    for line in str(error).splitlines():
        line = line.strip()
        if line and line not in lines and not line.startswith("unable to call"):
            lines.append(line)
    return "; ".join(lines)[:500] or type(error).__name__


def open_source(file: BinaryIO) -> Any:
    """A pyvips source over an open file, from its beginning.

    On Linux the source has a read position of its own, so that `file` stays usable meanwhile; where
    the kernel cannot reopen a descriptor it shares the position of `file`. A file without a
    descriptor is read into memory.
    """
    pyvips = load_vips()
    try:
        descriptor = file.fileno()
    except (AttributeError, io.UnsupportedOperation):
        file.seek(0)
        return pyvips.Source.new_from_memory(file.read())
    try:
        own = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        own = os.dup(descriptor)
    try:
        return pyvips.Source.new_from_descriptor(own)
    finally:
        os.close(own)


def from_array(array: NDArray[Any]) -> Any:
    """A pyvips image over an array (height, width, bands) of uint8, uint16 or float32; no copy."""
    import numpy as np

    height, width, bands = array.shape
    names = {dtype: name for name, dtype in DTYPES.items()}
    data = np.ascontiguousarray(array)
    return load_vips().Image.new_from_memory(
        data.data, width, height, bands, names[str(data.dtype)]
    )


def to_array(image: Any) -> NDArray[Any]:
    """All pixels as (height, width, bands) of the image's own type; computes the image."""
    import numpy as np

    with decoding():
        data = image.write_to_memory()
    array: NDArray[np.generic] = np.frombuffer(data, dtype=DTYPES[image.format])
    return array.reshape(image.height, image.width, image.bands)


def strips(image: Any, rows: int) -> Iterator[NDArray[Any]]:
    """The image from top to bottom in arrays (up to `rows`, width, bands), each computed once.

    The next strip is decoded on a thread of its own while the caller works on this one. Raises
    `UnreadableImage` where pixels are broken. One region reads all strips: a libvips sink for each
    would let go of the rows that a sequential source still holds, and fail on the next.
    """
    import numpy as np

    def fetch(top: int) -> NDArray[Any]:
        height = min(rows, image.height - top)
        with decoding():
            data = region.fetch(0, top, image.width, height)
        array: NDArray[np.generic] = np.frombuffer(data, dtype=DTYPES[image.format])
        return array.reshape(height, image.width, image.bands)

    with ThreadPoolExecutor(max_workers=1) as reader:
        region = reader.submit(load_vips().Region.new, image).result()
        waiting = reader.submit(fetch, 0)
        for top in range(rows, image.height, rows):
            strip = waiting.result()
            waiting = reader.submit(fetch, top)
            yield strip
        yield waiting.result()


def off_main_thread(function: Callable[[], Value]) -> Value:
    """Call a function on a thread of its own and wait for it.

    For calls of libvips that call back into Python: an interrupt by the user that arrives in such a
    callback on the main thread is printed by cffi and lost, or taken for a broken image.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(function).result()


def in_threads(
    function: Callable[..., Value], calls: Iterable[tuple[Any, ...]], most: int
) -> list[Value]:
    """What `function` gives for each tuple of arguments, in their order, on `threads()` threads.

    At most `most` tuples wait or are worked on before `calls` is asked for the next one, so that
    making them goes on meanwhile and few are held. The first exception is raised when those under
    way have ended.
    """
    found: list[Value] = []
    waiting: deque[Future[Value]] = deque()
    with ThreadPoolExecutor(threads()) as pool:
        for arguments in calls:
            waiting.append(pool.submit(function, *arguments))
            if len(waiting) > most:
                found.append(waiting.popleft().result())
        found += [future.result() for future in waiting]
    return found


def threads() -> int:
    """Threads that libvips works with: the processors, or what VIPS_CONCURRENCY says."""
    count: int = load_vips().concurrency_get()
    return count


def strip_rows(width: int, samples: int = 1 << 18) -> int:
    """How many rows of `width` pixels make about `samples` pixels; at least one."""
    return max(1, samples // max(1, width))
