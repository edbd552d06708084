"""Open any image as a stream of pixels in bounded memory, or say why not.

libvips decodes and streams; `decoders.py` lists what it does not decode rightly and which library
does. Page 0 is the plate; page counts are in the header. Truncated or corrupt pixels are an
`UnreadableImage`, never grey: every decoder error counts, and for JPEG and tiled TIFF every warning
too (`_fail_on`). JPEG has no checksum: damage that still decodes, or leaves data over, passes
unnoticed, as do warnings inside the JPEG tiles of a TIFF. A source's digests prove it unchanged.

What no decoder can stream (progressive JPEG, interlaced PNG, GIF, WebP, AVIF, a compressed TIFF in
one strip, everything in `fallback.py`) is held in memory whole, up to `Limits.max_decode_bytes`.

Keeps out: repositories, records, and what to do with the pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from ledgerkit.errors import LimitExceeded, UnreadableImage
from ledgerkit.imaging import colour, fallback, geometry, samples
from ledgerkit.imaging.decoders import choose_decoder
from ledgerkit.imaging.facts import Facts, Header
from ledgerkit.imaging.geometry import Box
from ledgerkit.imaging.header import colour_bands, read_facts
from ledgerkit.imaging.limits import DEFAULT_LIMITS, Limits, memory_to_decode, refuse_over
from ledgerkit.imaging.resize import resize
from ledgerkit.imaging.vips import decoding, from_array, load_vips, open_source, reason, to_array

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


__all__ = [
    "DEFAULT_LIMITS",
    "Decoded",
    "Limits",
    "colour_count",
    "decode",
    "exact_load_shrink",
    "read_crop",
    "read_shrunk",
    "shrunk",
]


@dataclass(frozen=True, slots=True)
class Decoded:
    """An image whose pixels are computed as they are read.

    `image` is a pyvips image in stored orientation, uchar or ushort: the colour bands of `space`
    (`grey` 1, `rgb` 3, `cmyk` 4, `lab` 3), then one band of straight alpha if `alpha`. `maximum` is
    the value of white (255, 1023, 4095, 65535). `decoder` names the library. `profile` is the embedded
    ICC profile if it can be used; `profile_problem` says why it cannot.
    """

    image: Any
    facts: Facts
    space: str
    alpha: bool
    maximum: int
    decoder: str
    profile: bytes | None
    profile_problem: str | None

    @property
    def header(self) -> Header:
        return self.facts.header

    def colours(self) -> Any:
        """The image without its alpha band, in its own space and depth."""
        bands = colour_count(self.space)
        return self.image.extract_band(0, n=bands) if self.image.bands > bands else self.image

    def flat(self) -> Any:
        """The image laid on white, in its own space and depth, without alpha."""
        return colour.flatten(self.image, self.space, self.alpha, self.maximum)

    def to_srgb(self, image: Any) -> Any:
        """Pixels of this image's space and depth to 8-bit sRGB, or grey for a grey source."""
        return colour.to_srgb(image, self.space, self.maximum, self.profile)


def colour_count(space: str) -> int:
    """Bands of a colour space."""
    return {"grey": 1, "rgb": 3, "cmyk": 4, "lab": 3}[space]


def decode(
    file: BinaryIO, *, limits: Limits = DEFAULT_LIMITS, access: str = "sequential", shrink: int = 1
) -> Decoded:
    """Open page 0 of an image file. Pixels are decoded later, while they are read.

    `access` is libvips': `sequential` can be read once from top to bottom, `random` anywhere and is
    buffered by libvips. `shrink` (1, 2, 4, 8) lets a JPEG be decoded smaller, others ignore it.
    Raises `UnreadableImage`, and `LimitExceeded` naming the setting; errors while pixels are
    computed are named by `vips.decoding`.
    """
    facts = read_facts(file)
    header = facts.header
    if header.width * header.height > limits.max_pixels:
        raise LimitExceeded(
            f"the image has {header.width} x {header.height} pixels, more than "
            f"{limits.max_pixels} (setting: max_pixels)"
        )
    decoder = choose_decoder(facts)
    refuse_over(memory_to_decode(facts, decoder), limits, "decoded")
    if decoder == "libvips":
        image = _open_by_vips(file, facts, access, shrink)
    else:
        image = from_array(fallback.decode_whole(file, facts, decoder))
    return _describe(_settle(image, facts, decoder), facts, decoder)


def read_shrunk(
    file: BinaryIO, long_side: int, *, limits: Limits = DEFAULT_LIMITS
) -> NDArray[np.uint8]:
    """The image upright in sRGB, shrunk while it streams: uint8 (height, width, 3).

    The long side is `long_side` pixels, or the image's own when that is smaller: never enlarged.
    Grey has three equal bands, alpha lies on white. Memory is bounded by the result and a few rows.
    Raises as `decode` does.
    """
    image, orientation = shrunk(file, long_side, limits=limits)
    return _finish(image, orientation)


def shrunk(file: BinaryIO, long_side: int, *, limits: Limits = DEFAULT_LIMITS) -> tuple[Any, int]:
    """The pixels of `read_shrunk` before they are read: a pyvips image of 1 or 3 bands in stored
    orientation, to be read once from top to bottom, and that orientation. Raises as `decode` does.
    """
    facts = read_facts(file)
    header = facts.header
    width, height = geometry.fit_long_side(header.width, header.height, long_side)
    decoded = decode(file, limits=limits, shrink=_load_shrink(facts, width, height))
    return decoded.to_srgb(resize(decoded.flat(), width, height)), header.orientation


def read_crop(
    file: BinaryIO, box: Box, *, long_side: int | None = None, limits: Limits = DEFAULT_LIMITS
) -> NDArray[np.uint8]:
    """What `box` (pixels of the upright image) shows, upright, in sRGB: uint8 (height, width, 3).

    Decodes from the top down to the end of the box. Shrunk to `long_side` when that is given.
    Raises as `decode` does, and `ValueError` for a box outside the image.
    """
    decoded = decode(file, limits=limits)
    header = decoded.header
    stored = geometry.to_stored(box, header.width, header.height, header.orientation)
    inside = 0 <= stored.x0 < stored.x1 <= header.width and 0 <= stored.y0 < stored.y1
    if not inside or stored.y1 > header.height:
        raise ValueError(f"expected a box inside the image, got {box}")
    part = decoded.flat().crop(stored.x0, stored.y0, stored.width, stored.height)
    size = geometry.fit_long_side(stored.width, stored.height, long_side or 2**31)
    return _finish(decoded.to_srgb(resize(part, *size)), header.orientation)


def _open_by_vips(file: BinaryIO, facts: Facts, access: str, shrink: int) -> Any:
    pyvips = load_vips()
    jpeg = facts.header.format in ("JPEG", "MPO")
    options: dict[str, Any] = {"access": access, "fail_on": _fail_on(facts)}
    if jpeg and shrink > 1:
        options["shrink"] = shrink
    try:
        image = pyvips.Image.new_from_source(open_source(file), "", **options)
    except pyvips.Error as error:
        raise UnreadableImage(f"the image cannot be opened: {reason(error)}") from error
    expected = (facts.header.width, facts.header.height)
    if shrink == 1 and (image.width, image.height) != expected:
        raise UnreadableImage(
            f"the header says {expected[0]} x {expected[1]} pixels, "
            f"the decoder says {image.width} x {image.height}"
        )
    return image


def _fail_on(facts: Facts) -> str:
    """From which severity on libvips must stop.

    Warnings matter where a decoder only warns when pixels are lost: libjpeg always, and libtiff's
    errors within tiles, which libvips passes on as black pixels unless warnings count (seen with
    truncated tiles, 8.18.7). Elsewhere a warning is about a tag or a later page.
    """
    tags = facts.directory
    if facts.header.format in ("JPEG", "MPO"):
        return "warning"
    if tags is not None and (322 in tags or facts.header.compression in ("jpeg", "packbits")):
        return "warning"
    return "error"


def _settle(image: Any, facts: Facts, decoder: str) -> Any:
    """The decoder's image in the conventions of `Decoded`, where it has others.

    libvips moves 10 and 12 bits of AVIF up to 16 and gives its grey in three bands. Of a TIFF with
    alpha that the colours are multiplied by (associated), libvips divides it out and rounds down;
    the same is done, by libvips, to what tifffile decodes.
    """
    header, tags = facts.header, facts.directory
    if header.format == "AVIF":
        if image.format == "ushort":
            image = image >> (16 - header.bit_depth)
        if header.bands <= 2 and image.bands >= 3:
            grey = image.extract_band(0)
            return grey.bandjoin(image.extract_band(3)) if header.bands == 2 else grey
    if decoder == "tifffile" and tags is not None and _has_alpha(facts):
        extra = tags.numbers(338)
        if extra and int(extra[0]) == 1 and header.mode.startswith(("RGB", "L")):
            white = samples.white_of(facts, image.format == "ushort")
            return image.unpremultiply(max_alpha=white).cast(image.format)
    return image


def _describe(image: Any, facts: Facts, decoder: str) -> Decoded:
    """Say what the bands are, and leave out those that are neither colour nor alpha."""
    if image.format not in ("uchar", "ushort"):
        raise UnreadableImage(
            f"samples of type {image.format} have no stated white and are refused"
        )
    space = _space(facts, image.bands)
    bands = colour_count(space)
    if image.bands < bands:
        raise UnreadableImage(f"expected {bands} bands of {space}, the decoder gives {image.bands}")
    alpha = image.bands > bands and _has_alpha(facts)
    if image.bands > bands + alpha:
        image = image.extract_band(0, n=bands + alpha)
    maximum = samples.white_of(facts, image.format == "ushort")
    problem = colour.profile_problem(facts.profile, space)
    profile = None if problem else facts.profile
    return Decoded(image, facts, space, alpha, maximum, decoder, profile, problem)


def _space(facts: Facts, bands: int) -> str:
    mode = facts.header.mode
    if mode.startswith("CMYK"):
        return "cmyk"
    if mode.startswith("LAB"):
        return "lab"
    if mode.startswith(("RGB", "YCbCr", "P")) and bands >= 3:
        return "rgb"
    if bands >= 3 and facts.header.bands <= 2:
        return "rgb"  # libvips gives a grey GIF or AVIF as three equal bands
    return "grey" if bands <= 2 or mode.startswith(("1", "L", "I")) else "rgb"


def _has_alpha(facts: Facts) -> bool:
    """Whether the band behind the colours is opacity: said so, or (TIFF) not said at all.

    JPEG 2000 says it in its channel definitions, which the header has read.
    """
    tags = facts.directory
    if facts.header.format == "JPEG2000":
        return facts.header.mode.endswith("A")
    if tags is None:
        return True
    if facts.header.bands <= colour_bands(tags.number(262, 1)):
        return False
    extra = tags.numbers(338)
    return not extra or int(extra[0]) in (1, 2)


def _load_shrink(facts: Facts, width: int, height: int) -> int:
    """How much smaller a JPEG may be decoded without a visible difference: 1, 2, 4 or 8.

    At least half of the shrinking is left to the resampler. A side that the factor does not divide
    is rounded up by the decoder; at these factors that moves nothing by an eighth of a pixel.
    """
    header = facts.header
    if header.format not in ("JPEG", "MPO"):
        return 1
    factor = min(header.width / width, header.height / height)
    roomy = [shrink for shrink in (8, 4, 2) if factor >= max(2 * shrink, 8 * (shrink - 1))]
    return max([exact_load_shrink(facts, width, height), *roomy])


def exact_load_shrink(facts: Facts, width: int, height: int) -> int:
    """How much smaller a JPEG may be decoded with its geometry exact: 1, 2, 4 or 8.

    At least half of the shrinking to `width` x `height` (stored orientation) is left to the
    resampler, and the factor must divide both sides, because decoders round up.
    """
    header = facts.header
    if header.format not in ("JPEG", "MPO"):
        return 1
    factor = min(header.width / width, header.height / height)
    for shrink in (8, 4, 2):
        if factor >= 2 * shrink and header.width % shrink == 0 and header.height % shrink == 0:
            return shrink
    return 1


def _finish(image: Any, orientation: int) -> NDArray[np.uint8]:
    with decoding():
        return rgb_of(geometry.upright(image.copy_memory(), orientation))


def rgb_of(image: Any) -> NDArray[np.uint8]:
    """The pixels of an 8-bit pyvips image as uint8 (height, width, 3); grey has three equal bands."""
    import numpy as np

    array = to_array(image)
    if array.shape[2] == 1:
        array = np.repeat(array, 3, axis=2)
    result: NDArray[np.uint8] = np.ascontiguousarray(array[:, :, :3])
    return result
