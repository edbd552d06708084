"""The image encoder of SAM on one device, at the published sizes, in batches.

    python -m benchmarks.encoders --only sam --device cuda --peak-tflops 989 --profile kernels.txt

Random weights, 1024 x 1024 pixels that are on the device already. For each batch: images a second
with weights in bfloat16 (float32 on a processor), the work that is (TFLOP/s) and its share of the
device's peak as given; and images a second as `ledgerkit sam` runs it: weights in float32, under
autocast to bfloat16. Work of one image, multiply-adds times two, with T = (1024/16)^2 = 4096 tokens,
width d, MLP width 4d, L layers of which G attend to all tokens and the others within windows of
w = 14 (the 64 x 64 tokens padded to 70 x 70, so P = 4900):

    2 T 3 16^2 d  +  L 2 T 8 d^2                          patches, MLP
    + (G T + (L - G) P) 2 4 d^2                           projections of attention
    + G (4 T^2 d + 4 T 64 d) + (L - G) (4 P w^2 d + 4 P w d)   scores, sums, relative positions
    + 2 T (d 256 + 9 256^2)                               neck

Norms, biases, activations and softmax are left out. It needs numpy, torch and transformers alone.
The largest kernels by time, at the batch that was best, are appended to the file of `--profile`.
Towers of CLIP: `python -m benchmarks.towers`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.towers import begin, profile, rate

BATCHES = (1, 4, 8)
PATCH, WINDOW, NECK = 16, 14, 256


@dataclass(frozen=True)
class Size:
    """The measures of an encoder; the defaults of the published ones."""

    name: str
    width: int
    layers: int
    heads: int
    whole: tuple[int, ...]
    """Layers that attend to all tokens."""
    side: int = 1024

    @property
    def work(self) -> int:
        """Floating-point operations of one image: see the module's formula."""
        along = self.side // PATCH
        tokens, padded = along**2, (-(-along // WINDOW) * WINDOW) ** 2
        width, whole, inner = self.width, len(self.whole), self.layers - len(self.whole)
        work = 2 * tokens * 3 * PATCH**2 * width + self.layers * 2 * tokens * 8 * width**2
        work += (whole * tokens + inner * padded) * 2 * 4 * width**2
        work += whole * 4 * tokens * (tokens + along) * width
        work += inner * 4 * padded * (WINDOW**2 + WINDOW) * width
        return work + 2 * tokens * (width * NECK + 9 * NECK**2)


SIZES = {
    "vit_b": Size("SAM ViT-B", 768, 12, 12, (2, 5, 8, 11)),
    "vit_l": Size("SAM ViT-L", 1024, 24, 16, (5, 11, 17, 23)),
    "vit_h": Size("SAM ViT-H", 1280, 32, 16, (7, 15, 23, 31)),
    "tiny": Size("tiny", 64, 2, 2, (1,), 256),
}


def build_sam(size: Size) -> Any:
    """An encoder of random weights, float32, on the processor."""
    import torch
    from transformers import SamConfig, SamModel

    torch.manual_seed(0)
    vision = {
        "hidden_size": size.width,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "global_attn_indexes": list(size.whole),
        "image_size": size.side,
        "patch_size": PATCH,
        "window_size": WINDOW,
        "mlp_dim": 4 * size.width,
        "output_channels": NECK,
    }
    return SamModel(SamConfig(vision_config=vision)).vision_encoder.eval().requires_grad_(False)


def sam(given: argparse.Namespace) -> None:
    """Print a table for one size, and profile its best batch."""
    import torch

    size, device = SIZES[given.size], given.device
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    single = build_sam(size).to(device)
    half = build_sam(size).to(device, dtype)
    print(f"### {size.name}, {size.work / 1e9:.1f} GFLOP an image of {size.side} x {size.side}\n")
    print(f"| batch | images/s, weights {dtype} | TFLOP/s | of peak | images/s, autocast |")
    print("| --- | --- | --- | --- | --- |")
    best = (0.0, 1)
    with torch.inference_mode():
        for batch in given.batches:
            pixels = torch.randn(batch, 3, size.side, size.side, device=device)
            try:
                reached = rate(_step(half, pixels.to(dtype)), batch, device, given.seconds)
                mixed = rate(_mixed(single, pixels, device), batch, device, given.seconds)
            except torch.OutOfMemoryError:
                print(f"| {batch} | out of memory | | | |")
                break
            teraflops = reached * size.work / 1e12
            share = f"{teraflops / given.peak_tflops:.1%}" if given.peak_tflops else "-"
            print(
                f"| {batch} | {reached:.2f} | {teraflops:.2f} | {share} | {mixed:.2f} |", flush=True
            )
            best = max(best, (reached, batch))
        if given.profile:
            pixels = torch.randn(best[1], 3, size.side, size.side, device=device, dtype=dtype)
            title = f"{size.name}, batch {best[1]}, {device}"
            profile(_step(half, pixels), device, title, given.profile)
    print()


def _step(model: Any, pixels: Any) -> Callable[[], Any]:
    return lambda: model(pixels)


def _mixed(model: Any, pixels: Any, device: str) -> Callable[[], Any]:
    """A step as `ledgerkit sam` makes it."""
    import torch

    def step() -> Any:
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            return model(pixels)[0].float()

    return step


ENCODERS: dict[str, Callable[[argparse.Namespace], None]] = {"sam": sam}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the encoders that are asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=tuple(ENCODERS), default=list(ENCODERS))
    parser.add_argument("--size", choices=tuple(SIZES), default="vit_b")
    given = begin(parser, arguments, BATCHES)
    for name in given.only:
        ENCODERS[name](given)


if __name__ == "__main__":
    main()
