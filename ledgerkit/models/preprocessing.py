"""What is done to a picture before a tower of a model sees it, as a declaration and as arithmetic.

Read from the model's own `preprocessor_config.json` (or the image part of `processor_config.json`),
or from a declaration of ours beside an ONNX file. The arithmetic is that of transformers' processors
on Pillow, number for number; DINOv3, whose processor needs torchvision, is rescaled before it is
resized, as there. Nothing of torchvision is needed.
Source: transformers 5, `image_processing_backends.PilBackend` and `DINOv3ViTImageProcessor`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledgerkit.canonical import canonical_bytes, parse_json, sha256_hex
from ledgerkit.errors import InvalidRecord, MissingInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Picture = NDArray[np.float32]

FILES = ("preprocessor_config.json", "processor_config.json")
KIND = "ledgerkit.image-tower.v1"
"""What `kind` says in a declaration of ours."""
RESIZES = ("none", "exact", "cover", "contain")
_MOST_BYTES = 1 << 20
_FILTERS = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
"""Pillow's numbers of its filters, which `resample` in the models' files uses."""
_CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
_DEFAULTS: dict[str, tuple[int, bool, int | None, int, Any]] = {
    "CLIP": (224, False, 224, 3, _CLIP),
    "Bit": (224, False, 224, 3, _CLIP),
    "Siglip": (224, True, None, 3, _HALF),
    "ViT": (224, True, None, 2, _HALF),
    "DINOv3ViT": (224, True, None, 2, _IMAGENET),
}
"""By processor, what its class takes where the file is silent: side, whether that is both sides,
side of the crop, filter, mean and deviation."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How a picture becomes the input of a tower."""

    resize: str
    """`exact` to `size`; `cover`: the short side to the lesser of `size`; `contain`: whole within
    `size`, the rest black; `none`."""
    size: tuple[int, int]
    """Height and width in pixels that `resize` aims at."""
    resample: str
    """Pillow's filter."""
    crop: tuple[int, int] | None
    """Height and width cut from the middle, black where the picture is smaller; None for no cut."""
    rescale: float
    """Factor of the samples 0..255; 1 for none."""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    """Taken off, and divided by, after `rescale`."""
    rescale_first: bool = False
    """Whether samples are rescaled, as floats, before the picture is resized (DINOv3)."""
    layout: str = "NCHW"
    """Order of a batch's axes: NCHW or NHWC."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of what comes out; pictures keep their own for `none` without a crop."""
        return self.crop or self.size

    @property
    def digest(self) -> str:
        """SHA-256 over everything that moves a sample."""
        return sha256_hex(canonical_bytes(asdict(self) | {"crop": list(self.crop or ())}))

    def apply(self, rgb: NDArray[np.uint8]) -> Picture:
        """A picture, uint8 sRGB (h, w, 3), as the tower's input without its batch axis, float32."""
        import numpy as np

        pixels: Any = _rescaled(rgb, self.rescale) if self.rescale_first else rgb
        if self.resize != "none":
            pixels = _resized(pixels, self._target(*rgb.shape[:2]), self.resample)
        if self.resize == "contain":
            pixels = _cropped(pixels, self.size)
        if self.crop is not None:
            pixels = _cropped(pixels, self.crop)
        floats = pixels if self.rescale_first else _rescaled(pixels, self.rescale)
        means, deviations = (np.array(one, dtype=np.float32) for one in (self.mean, self.std))
        made = (floats - means) / deviations
        made = made if self.layout == "NHWC" else made.transpose(2, 0, 1)
        return np.ascontiguousarray(made, dtype=np.float32)

    def blank(self) -> Picture:
        """The input that a black picture of `shape` gives, without its batch axis, float32."""
        import numpy as np

        return self.apply(np.zeros((*self.shape, 3), dtype=np.uint8))

    def _target(self, height: int, width: int) -> tuple[int, int]:
        """Height and width after resizing; lengths are rounded down, as transformers does."""
        if self.resize == "exact":
            return self.size
        if self.resize == "cover":
            short = min(self.size)
            long = int(short * max(height, width) / min(height, width))
            return (short, long) if height <= width else (long, short)
        scale = min(self.size[0] / height, self.size[1] / width)
        return max(1, round(height * scale)), max(1, round(width * scale))


def read(folder: Path) -> Preprocessing:
    """The preprocessing of a model in `folder`, as its own file declares it.

    Raises `MissingInput` where there is no such file, `InvalidRecord` for one that asks for what is
    not done here.
    """
    declared = declaration(folder)
    try:
        return from_declaration(declared) if "kind" in declared else from_processor(declared)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InvalidRecord(
            f"{folder.name}: its preprocessing cannot be read: {error!r}",
            "docs/embeddings.md says what a declaration must have.",
        ) from error


def declaration(folder: Path) -> dict[str, Any]:
    """The JSON object that declares preprocessing. Raises `MissingInput`, `InvalidRecord`."""
    for name in FILES:
        if (folder / name).is_file():
            value = parse_json((folder / name).read_bytes(), name, _MOST_BYTES)
            if not isinstance(value, dict):
                raise InvalidRecord(f"{folder.name}/{name} is no JSON object")
            nested = value.get("image_processor")
            return nested if isinstance(nested, dict) else value
    raise MissingInput(
        f"{folder.name} does not say how pictures are prepared: it has no {FILES[0]}",
        "Add it under another name with: ledgerkit models add NAME --from ... --preprocessing FILE",
    )


def from_processor(config: Mapping[str, Any]) -> Preprocessing:
    """From the file of a transformers image processor; what it leaves out is its class's default.

    Raises `InvalidRecord` for a processor, or a step, that is not known here.
    """
    stated = str(config.get("image_processor_type", config.get("feature_extractor_type", "")))
    kind = stated.removesuffix("Pil").removesuffix("Fast")
    kind = kind.removesuffix("ImageProcessor").removesuffix("FeatureExtractor")
    if kind not in _DEFAULTS:
        raise InvalidRecord(
            f"preprocessing by {stated or 'no named processor'} is not known here",
            f"Known are image processors of {', '.join(_DEFAULTS)}; or declare it: "
            "docs/embeddings.md",
        )
    if config.get("do_pad"):
        raise InvalidRecord("preprocessing asks for padding (do_pad), which is not done here")
    side, square, crop_side, resample, (mean, std) = _DEFAULTS[kind]
    resize, size = "none", (side, side)
    if config.get("do_resize", True):
        resize, size = _size(config.get("size", side), square)
    crop = None
    if config.get("do_center_crop", crop_side is not None):
        crop = _size(config.get("crop_size", crop_side or side), True)[1]
    rescale = float(config.get("rescale_factor", 1 / 255)) if config.get("do_rescale", True) else 1
    if not config.get("do_normalize", True):
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    else:
        mean, std = _three(config.get("image_mean", mean)), _three(config.get("image_std", std))
    number = int(config.get("resample", resample))
    first = kind == "DINOv3ViT"
    return Preprocessing(resize, size, _FILTERS[number], crop, rescale, mean, std, first)


def from_declaration(config: Mapping[str, Any]) -> Preprocessing:
    """From a declaration of ours (`KIND`). Raises `InvalidRecord`, `KeyError`, `ValueError`."""
    if config["kind"] != KIND:
        raise InvalidRecord(f"preprocessing of the kind {config['kind']!r} is not known here")
    resize, resample, layout = config["resize"], config["resample"], config.get("layout", "NCHW")
    if resize not in RESIZES or resample not in _FILTERS or layout not in ("NCHW", "NHWC"):
        raise InvalidRecord(
            f"resize {resize!r}, resample {resample!r} or layout {layout!r} is not known here",
            f"Known: {', '.join(RESIZES)}; {', '.join(_FILTERS)}; NCHW, NHWC.",
        )
    return Preprocessing(
        resize,
        _size(config["size"], True)[1],
        resample,
        _size(config["crop"], True)[1] if config.get("crop") else None,
        float(config["rescale"]),
        _three(config["mean"]),
        _three(config["std"]),
        bool(config.get("rescale_first", False)),
        layout,
    )


def to_declaration(preprocessing: Preprocessing) -> dict[str, Any]:
    """The declaration that `from_declaration` reads back."""
    values = asdict(preprocessing)
    lists = {name: list(one) for name, one in values.items() if isinstance(one, tuple)}
    return {"kind": KIND, **values, **lists}


def _size(size: Any, square: bool) -> tuple[str, tuple[int, int]]:
    """How to resize, and height and width, of one of the ways in which files say it."""
    if isinstance(size, (list, tuple)):
        found = "exact", (int(size[0]), int(size[1]))
    elif not isinstance(size, Mapping):
        found = "exact" if square else "cover", (int(size), int(size))
    elif set(size) == {"shortest_edge"}:
        found = "cover", (int(size["shortest_edge"]),) * 2
    elif set(size) == {"height", "width"}:
        found = "exact", (int(size["height"]), int(size["width"]))
    else:
        raise InvalidRecord(f"a size given as {sorted(size)} is not known here")
    if min(found[1]) < 1:
        raise InvalidRecord(f"a size of {found[1]} pixels")
    return found


def _three(values: Any) -> tuple[float, float, float]:
    listed = [float(one) for one in values] if isinstance(values, (list, tuple)) else [values] * 3
    if len(listed) != 3:
        raise InvalidRecord(f"expected a number for each of 3 channels, got {len(listed)}")
    return listed[0], listed[1], listed[2]


def _rescaled(pixels: Any, factor: float) -> Any:
    """Samples times `factor`, multiplied in float64 as transformers does, then float32."""
    import numpy as np

    return (pixels.astype(np.float64) * factor).astype(np.float32)


def _resized(pixels: Any, size: tuple[int, int], resample: str) -> Any:
    """Resized by Pillow, 8-bit as one image, floats band by band; the same dtype."""
    import numpy as np
    from PIL import Image

    method = Image.Resampling[resample.upper()]
    if pixels.dtype == np.uint8:
        return np.asarray(Image.fromarray(pixels).resize(size[::-1], method))
    bands = [
        Image.fromarray(np.ascontiguousarray(pixels[..., band])).resize(size[::-1], method)
        for band in range(pixels.shape[2])
    ]
    return np.stack([np.asarray(band) for band in bands], axis=-1)


def _cropped(pixels: Any, size: tuple[int, int]) -> Any:
    """The middle of a picture, on black where it is smaller, rounded as transformers does."""
    import numpy as np

    for axis, wanted in enumerate(size):
        lacking = wanted - pixels.shape[axis]
        if lacking > 0:
            before = -(-lacking // 2)
            widths = [(0, 0)] * 3
            widths[axis] = (before, lacking - before)
            pixels = np.pad(pixels, widths)
        start = (pixels.shape[axis] - wanted) // 2
        pixels = np.take(pixels, range(start, start + wanted), axis=axis)
    return pixels
