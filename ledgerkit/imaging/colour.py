"""Colours to sRGB, Display P3 or grey, 8 or 16 bits a sample: every decision stated.

- An embedded ICC profile that fits: to the target (libvips' own profile), relative colorimetric, with
  black point compensation, 16 bits by way of CIEXYZ. One that is broken or of another colour space:
  as if there were none, and the caller is told why.
- RGB without profile is taken as sRGB (PNG's gAMA and cHRM are not used).
- Grey stays grey, one band; with a profile its tones are converted to those of sRGB.
- Colours become grey only where that is asked for: the luminance of the sRGB colours.
- CMYK and YCCK (the decoder undoes Adobe's inversion) without profile go through libvips' built-in
  CMYK profile.
- CIELAB goes from D50 through the profile connection space.
- 9 to 16 bits become 8 (or 16) by v / maximum * 255 (65535), rounded to nearest. 8 stay 8.
- Alpha is laid on white, in the source's own space, before anything else. Alpha that the colours of
  a TIFF are multiplied by is divided out before, and rounded down.
- Palettes and less than 8 bits are expanded to 8 by the decoder; unsigned 32 bits become 16 with
  white at 2^32 - 1; floating point and signed samples become 16 bits by the range that the file
  states (TIFF SMinSampleValue and SMaxSampleValue) and are refused without one (`samples.py`).

Keeps out: decoding and sizes.
Source: ICC.1:2022, annex D (intents); Adobe, Black Point Compensation (ISO 18619); IEC 61966-2-1.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ledgerkit.imaging.icc import profile_space
from ledgerkit.imaging.vips import load_vips

if TYPE_CHECKING:
    from numpy.typing import NDArray

SPACES = {"grey": ("GRAY", "L"), "rgb": ("RGB", "RGB"), "cmyk": ("CMYK", "CMYK")}
PROFILE_FIELD = "icc-profile-data"


def profile_problem(profile: bytes | None, space: str) -> str | None:
    """Why an embedded profile cannot be used for pixels of `space`; None when it can, or is absent.

    `space` is `grey`, `rgb`, `cmyk` or `lab`. The profile is tried in a transform to sRGB, because
    libvips itself would pass over a broken one without a word.
    """
    if profile is None:
        return None
    if space not in SPACES:
        return f"profiles are not used for {space} pixels"
    wanted, mode = SPACES[space]
    found = profile_space(profile)
    if found != wanted:
        return f"expected a profile of {wanted}, found {found or 'no ICC profile'}"
    try:
        _transform(profile, mode)
    except (OSError, ValueError, TypeError) as error:
        return f"the profile is broken: {error}"
    return None


def is_srgb(profile: bytes, space: str) -> bool:
    """Whether pixels mean the same with and without this profile, within one of 255 levels.

    Tried on 4913 colours (256 greys), not believed by name. The profile must be usable.
    """
    import numpy as np
    from PIL import Image, ImageCms

    if space not in ("rgb", "grey"):
        return False
    mode = SPACES[space][1]
    colours: NDArray[Any]
    if mode == "L":
        colours = np.arange(256, dtype=np.uint8).reshape(16, 16)
    else:
        levels = np.minimum(np.arange(17) * 16, 255).astype(np.uint8)
        colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(17, 289, 3)
    patch = Image.fromarray(colours)
    out = np.asarray(ImageCms.applyTransform(patch, _transform(profile, mode)))
    before = colours if mode == "RGB" else colours[:, :, None]
    return bool(np.abs(out.astype(np.int16) - before.astype(np.int16)).max() <= 1)


def _transform(profile: bytes, mode: str) -> Any:
    """A transform to sRGB, relative colorimetric with black point compensation."""
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except ImageCms.PyCMSError as error:
        raise ValueError(str(error)) from error


def flatten(image: Any, space: str, alpha: bool, maximum: int) -> Any:
    """An image with alpha laid on white, in its own space; without alpha it is returned as is."""
    if not alpha:
        return image
    white = {"grey": [maximum], "rgb": [maximum] * 3, "cmyk": [0] * 4}.get(space)
    if white is None:
        white = [maximum, (maximum + 1) // 2, (maximum + 1) // 2]
    flat = image.flatten(background=white, max_alpha=maximum)
    return flat.rint().cast(image.format) if flat.format != image.format else flat


def to_srgb(image: Any, space: str, maximum: int, profile: bytes | None) -> Any:
    """A pyvips image without alpha to 8-bit sRGB (3 bands), or grey (1 band) for a grey source.

    `maximum` is the sample value of white (255, 4095, 65535). `profile` must be usable
    (`profile_problem`) or None.
    """
    return deliver(image, space, maximum, profile, Delivery())


@dataclass(frozen=True, slots=True)
class Delivery:
    """What pixels are brought to: `colour_space` `srgb`, `display-p3` or `grey`; 8 or 16 bits.

    `srgb` and `display-p3` leave a grey source grey. 16 bits are given of sources that have more
    than 8. `grey` is the luminance of the sRGB colours, computed on linear light.
    """

    colour_space: str = "srgb"
    bit_depth: int = 8


def deliver(image: Any, space: str, maximum: int, profile: bytes | None, wanted: Delivery) -> Any:
    """A pyvips image without alpha, as `to_srgb` takes it, to what is `wanted`: 3 bands or 1."""
    depth = wanted.bit_depth if maximum > 255 else 8
    target = "p3" if wanted.colour_space == "display-p3" else "srgb"
    if space == "lab":
        shown = _lab_to_rgb(image, maximum, target, depth)
    elif _is_target(space, profile, target, image.format):
        shown = _to_depth(image, maximum, depth)
    else:
        shown = _by_profile(image, space, maximum, profile, target, depth)
    shown = _plain(shown, space)
    if wanted.colour_space == "grey" and shown.bands == 3:
        return shown.colourspace("b-w" if depth == 8 else "grey16")
    return shown


def _is_target(space: str, profile: bytes | None, target: str, kind: str) -> bool:
    """Whether the colours are those of the target already, so that only the depth may change."""
    if space == "cmyk" or (target != "srgb" and space != "grey"):
        return False
    return profile is None or (kind == "ushort" and is_srgb(profile, space))


def _by_profile(
    image: Any, space: str, maximum: int, profile: bytes | None, target: str, depth: int
) -> Any:
    """By the embedded profile, or by libvips' own of CMYK or sRGB where there is none."""
    wide = {"grey": "grey16", "rgb": "rgb16", "cmyk": "cmyk"}[space]
    narrow = {"grey": "b-w", "rgb": "srgb", "cmyk": "cmyk"}[space]
    if image.format == "ushort" and maximum != 65535:
        image = image.linear(65535 / maximum, 0).rint().cast("ushort")
    image = image.copy(interpretation=wide if image.format == "ushort" else narrow)
    options: dict[str, Any] = {"intent": "relative", "black_point_compensation": True}
    options["depth"] = depth
    if profile is None:
        options["input_profile"] = "cmyk" if space == "cmyk" else "srgb"
    else:
        image = image.copy()
        image.set_type(_blob_type(), PROFILE_FIELD, profile)
        options["embedded"] = True
    if image.format == "ushort" and space != "cmyk":
        converted = _through_xyz(image, target, options)
    else:
        converted = image.icc_transform(target, **options)
    return converted.extract_band(1) if space == "grey" else converted


def _through_xyz(image: Any, target: str, options: dict[str, Any]) -> Any:
    """16 bits through CIEXYZ in floating point.

    In one step Little CMS puts 16-bit transforms into a coarse table: up to 7 of 255 levels wrong
    near the border of the gamut (Adobe RGB scans), where this is within 1.5. It is ten times slower
    (6 megapixels a second on two cores).
    """
    into = {name: value for name, value in options.items() if name != "depth"}
    out = {name: options[name] for name in ("intent", "black_point_compensation", "depth")}
    return image.icc_import(pcs="xyz", **into).icc_export(output_profile=target, pcs="xyz", **out)


def _to_depth(image: Any, maximum: int, depth: int) -> Any:
    """Samples 0..maximum to 0..255 or 0..65535, rounded to nearest; the colours are left alone."""
    white = (1 << depth) - 1
    if maximum == white:
        return image
    kind = "uchar" if depth == 8 else "ushort"
    return image.linear(white / maximum, 0).rint().cast(kind)


def _lab_to_rgb(image: Any, maximum: int, target: str, depth: int) -> Any:
    """CIELAB with unsigned a and b (see `fallback.py`) to sRGB or Display P3."""
    step = (maximum + 1) / 256
    scaled = image.linear([100 / maximum, 1 / step, 1 / step], [0, -128, -128])
    lab = scaled.cast("float").copy(interpretation="lab")
    options: dict[str, Any] = {"intent": "relative", "black_point_compensation": True}
    return lab.icc_export(output_profile=target, pcs="lab", depth=depth, **options)


def _plain(image: Any, space: str) -> Any:
    """The image with its true interpretation and without a profile, which it no longer has."""
    deep = image.format == "ushort"
    grey, colour = ("grey16", "rgb16") if deep else ("b-w", "srgb")
    image = image.copy(interpretation=grey if space == "grey" else colour)
    if image.get_typeof(PROFILE_FIELD):
        image.remove(PROFILE_FIELD)
    return image


def _blob_type() -> int:
    kind: int = load_vips().GValue.blob_type
    return kind
