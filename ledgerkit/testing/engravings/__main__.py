"""`python -m ledgerkit.testing.engravings FOLDER --seed 7` writes a corpus."""

import argparse
from pathlib import Path

from ledgerkit.testing.engravings.corpus import write_corpus


def main() -> None:
    """Parse the command line and write the corpus."""
    parser = argparse.ArgumentParser(
        prog="python -m ledgerkit.testing.engravings",
        description="Draw a corpus of engraved plates with catalogue and truth.",
    )
    parser.add_argument("folder", type=Path, help="where scans/, data.json and truth.json go")
    parser.add_argument(
        "--seed", type=int, required=True, help="the same seed draws the same corpus"
    )
    parser.add_argument("--per-family", type=int, default=8, help="plates of each family (8)")
    parser.add_argument(
        "--plain", action="store_true", help="every plate an ordinary JPEG, no other formats"
    )
    arguments = parser.parse_args()
    entries = write_corpus(
        arguments.folder,
        seed=arguments.seed,
        per_family=arguments.per_family,
        sample_formats=not arguments.plain,
    )
    print(f"{len(entries)} plates in {arguments.folder}")


if __name__ == "__main__":
    main()
