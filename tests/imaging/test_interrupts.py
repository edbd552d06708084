"""An interrupt by the user is never lost in a library, and a full disk is not the plate's fault."""

from __future__ import annotations

import errno
import io
import os
import signal
import tempfile
import threading
from typing import Any

import numpy as np
import pytest

from ledgerkit.errors import CommitFailed
from ledgerkit.imaging import encode
from ledgerkit.imaging.encode import Encoding, write_image
from ledgerkit.imaging.vips import from_array


class Kept:
    """An output that remembers how much it was given."""

    def __init__(self) -> None:
        self.size = 0

    def write(self, data: bytes | memoryview) -> int:
        self.size += len(data)
        return len(data)

    def pixels(self, sha256: str) -> None:
        pass


def noise(width: int, height: int) -> Any:
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    return from_array(pixels).copy(interpretation="srgb")


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff"])
def test_an_interrupt_while_an_image_is_written_is_an_interrupt(kind: str) -> None:
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012  (the timer must run meanwhile)
        timer.start()
        while True:
            write_image(noise(3000, 2000), Kept(), Encoding(kind, 90))
    timer.join()


@pytest.mark.parametrize("kind", ["png", "tiff"])
@pytest.mark.parametrize("verb", ["write", "seek"])
def test_a_full_temporary_disk_is_said_and_not_taken_for_a_bad_plate(
    kind: str, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            if verb == "write":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(data)

        def seek(self, offset: int, whence: int = 0) -> int:
            if verb == "seek" and self.tell() > 1000:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().seek(offset, whence)

    if kind == "png" and verb == "seek":
        pytest.skip("nothing goes back in a PNG before it is whole")
    monkeypatch.setattr(encode, "IN_MEMORY", 4096)
    monkeypatch.setattr(tempfile, "TemporaryFile", Full)
    with pytest.raises(
        CommitFailed, match=r"temporary file in .* cannot be written: No space left"
    ):
        write_image(noise(300, 200), Kept(), Encoding(kind, 90))
