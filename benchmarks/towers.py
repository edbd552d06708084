"""Image towers of the sizes of CLIP ViT-B/32 and ViT-L/14 on one device, at growing batches.

    python -m benchmarks.towers --device cuda --peak-tflops 989 --profile kernels.txt

Random weights, bfloat16 on a GPU and float32 on a processor, 224 x 224 pixels. For each batch:
pictures a second with prepared pictures already on the device, and with them coming from the host
as float32 and the vectors going back, as `encode` does; the work that is (TFLOP/s), and its share of
the device's peak as given. Work of one picture, in multiply-adds times two, with T = (224/p)^2 + 1
tokens, width d, MLP width 4d and L layers:

    2 * (T - 1) * 3 * p^2 * d  +  L * (2 * T * 12 * d^2  +  4 * T^2 * d)  +  2 * d * projection

(12 d^2 for the four projections of attention and the two of the MLP, 4 T^2 d for its scores and
sums; norms, biases and softmax are left out). It needs numpy, torch and transformers alone. The
largest kernels by time, at the batch that was best, are written to the file of `--profile`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

SIDE = 224
BATCHES = (1, 8, 32, 64, 128, 256, 512, 1024)
KERNELS = 25


@dataclass(frozen=True)
class Size:
    """The measures of an image tower."""

    name: str
    patch: int
    width: int
    layers: int
    heads: int
    projection: int

    @property
    def work(self) -> int:
        """Floating-point operations of one picture: see the module's formula."""
        patches = (SIDE // self.patch) ** 2
        tokens, width = patches + 1, self.width
        layer = 2 * tokens * 12 * width**2 + 4 * tokens**2 * width
        embedding = 2 * patches * 3 * self.patch**2 * width
        return embedding + self.layers * layer + 2 * width * self.projection


SIZES = {
    "b32": Size("ViT-B/32", 32, 768, 12, 12, 512),
    "l14": Size("ViT-L/14", 14, 1024, 24, 16, 768),
    "tiny": Size("tiny", 32, 64, 2, 2, 32),
}


def build(size: Size, device: str, dtype: Any) -> Any:
    """A tower of random weights."""
    import torch
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    torch.manual_seed(0)
    config = CLIPVisionConfig(
        hidden_size=size.width,
        intermediate_size=4 * size.width,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        patch_size=size.patch,
        image_size=SIDE,
        projection_dim=size.projection,
    )
    return CLIPVisionModelWithProjection(config).eval().to(device, dtype)


def rate(step: Callable[[], Any], batch: int, device: str, seconds: float) -> float:
    """Pictures a second of `step` over at least `seconds`, after two calls that warm up."""
    import torch

    def settle() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    step(), step()
    settle()
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        for _ in range(4 if device == "cuda" else 1):
            step()
            done += batch
        settle()
    return done / (time.perf_counter() - began)


def measure(size: Size, given: argparse.Namespace) -> None:
    """Print a table for one size, and profile its best batch."""
    import numpy as np
    import torch

    device = given.device
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    model = build(size, device, dtype)
    print(f"### {size.name}, {size.work / 1e9:.2f} GFLOP a picture, {dtype}\n")
    print("| batch | pictures/s on the device | TFLOP/s | of peak | pictures/s from the host |")
    print("| --- | --- | --- | --- | --- |")
    best = (0.0, 1)
    with torch.inference_mode():
        for batch in given.batches:
            pixels = np.random.default_rng(0).standard_normal((batch, 3, SIDE, SIDE), np.float32)
            try:
                there = torch.from_numpy(pixels).to(device, dtype)
                resident = rate(
                    lambda there=there: model(pixel_values=there), batch, device, given.seconds
                )
                moved = rate(
                    lambda pixels=pixels: (
                        model(pixel_values=torch.from_numpy(pixels).to(device, dtype))
                        .image_embeds.float()
                        .cpu()
                        .numpy()
                    ),
                    batch,
                    device,
                    given.seconds,
                )
            except torch.OutOfMemoryError:
                print(f"| {batch} | out of memory | | | |")
                break
            reached = resident * size.work / 1e12
            share = f"{reached / given.peak_tflops:.1%}" if given.peak_tflops else "-"
            print(
                f"| {batch} | {resident:.1f} | {reached:.2f} | {share} | {moved:.1f} |", flush=True
            )
            best = max(best, (resident, batch))
        print()
        if given.profile:
            _profile(model, size, best[1], given)


def _profile(model: Any, size: Size, batch: int, given: argparse.Namespace) -> None:
    import torch

    dtype = torch.bfloat16 if given.device == "cuda" else torch.float32
    pixels = torch.randn(batch, 3, SIDE, SIDE, device=given.device, dtype=dtype)
    title = f"{size.name}, batch {batch}, {given.device}"
    profile(lambda: model(pixel_values=pixels), given.device, title, given.profile)


def profile(step: Callable[[], Any], device: str, title: str, path: str) -> None:
    """Append the largest kernels of three calls of `step` to a file."""
    import torch
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiled

    on_gpu = device == "cuda"
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profiled(activities=kinds) as seen:
        for _ in range(3):
            step()
        if on_gpu:
            torch.cuda.synchronize()
    key = "self_cuda_time_total" if on_gpu else "self_cpu_time_total"
    lines = seen.key_averages().table(sort_by=key, row_limit=KERNELS, max_name_column_width=80)
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"{title}\n{lines}\n\n")


def begin(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None, batches: Sequence[int]
) -> argparse.Namespace:
    """The arguments, with those of every such benchmark; says on what it runs."""
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--batches", nargs="+", type=int, default=list(batches))
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--peak-tflops", type=float, help="of the device, dense, in that precision")
    parser.add_argument("--profile", metavar="FILE")
    given = parser.parse_args(arguments)
    import torch
    import transformers

    card = torch.cuda.get_device_name() if given.device == "cuda" else "processor"
    print(f"{card}, torch {torch.__version__}, transformers {transformers.__version__}\n")
    return given


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the sizes that are asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=tuple(SIZES), default=["b32", "l14"])
    given = begin(parser, arguments, BATCHES)
    for name in given.only:
        measure(SIZES[name], given)


if __name__ == "__main__":
    main()
