"""Run all benchmarks, or those that are named on the command line: see NAMES."""

from __future__ import annotations

import importlib
import os
import platform
import sys

NAMES = (
    "startup",
    "headers",
    "measure",
    "derivatives",
    "pyramids",
    "segmentation",
    "fixity",
    "commits",
    "log",
    "proofs",
    "consolidation",
    "search",
    "clustering",
    "sweeps",
    "embedding",
    "atlas",
)


def main(names: list[str]) -> None:
    print(f"{platform.platform()}, {os.cpu_count()} processors, Python {platform.python_version()}")
    print(f"load before: {os.getloadavg()[0]:.2f}\n")
    for name in names or NAMES:
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main(sys.argv[1:])
