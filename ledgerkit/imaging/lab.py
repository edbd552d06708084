"""sRGB pixels to CIELAB (D65), in one pass.

Colour only: no files, no profiles (decoding has brought the pixels to sRGB already).
Source: IEC 61966-2-1 (transfer curve), CIE 15:2004, 8.2.1 (CIELAB).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Real = TypeVar("Real", np.float32, np.float64)

RGB_TO_XYZ = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
WHITE = (0.95047, 1.0, 1.08883)


def to_lab(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """CIELAB of sRGB pixels: uint8 (..., 3) to float32 (..., 3), L 0..100, a and b about
    -110..110.
    """
    import numpy as np

    return _convert(rgb, np.float32)


def to_fine_lab(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The same in float64, for colours that are compared with a limit: rounding, which may differ
    between processors, then decides nothing.
    """
    import numpy as np

    return _convert(rgb, np.float64)


def _convert(rgb: NDArray[np.uint8], dtype: type[Real]) -> NDArray[Real]:
    import numpy as np

    levels = np.arange(256) / 255.0
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    matrix = (np.array(RGB_TO_XYZ) / np.array(WHITE)[:, None]).T.astype(dtype)
    xyz = linear.astype(dtype)[rgb] @ matrix
    root = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    light = 116 * root[..., 1] - 16
    green_red = 500 * (root[..., 0] - root[..., 1])
    blue_yellow = 200 * (root[..., 1] - root[..., 2])
    return np.stack([light, green_red, blue_yellow], axis=-1).astype(dtype)


def to_rgb(lab: NDArray[np.floating]) -> NDArray[np.uint8]:
    """sRGB of CIELAB colours: (..., 3) to uint8 (..., 3); colours outside sRGB are clipped."""
    import numpy as np

    middle = (lab[..., 0] + 16) / 116
    root = np.stack([middle + lab[..., 1] / 500, middle, middle - lab[..., 2] / 200], axis=-1)
    xyz = np.where(root > 6 / 29, root**3, (116 * root - 16) * 27 / 24389) * np.array(WHITE)
    linear = np.clip(xyz @ np.linalg.inv(np.array(RGB_TO_XYZ)).T, 0.0, 1.0)
    levels = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(np.round(levels * 255), dtype=np.uint8)
