#!/usr/bin/env bash
# Draw the example repository at the top of the project anew, whole, and run every phase on it.
set -euo pipefail
cd "$(dirname "$0")/.."
drawn=$(mktemp -d)
trap 'rm -rf "$drawn"' EXIT

chmod -R u+w plates_structured runs .ledgerkit 2>/dev/null || true
rm -rf plates_structured runs ledger log .ledgerkit data.json repository.json
python -m ledgerkit.testing.engravings "$drawn" --seed 1827 --per-family 8
ledgerkit init .
export LEDGERKIT_REPOSITORY=.
ledgerkit ingest --catalogue "$drawn/data.json" --images "$drawn/scans"
python - "$drawn/truth.json" <<'PYTHON'
import json, sys
truth = json.load(open(sys.argv[1]))
slim = [{"plate": one["plate"], "family": one["family"], "figures": [shape["box"] for shape in one["shapes"] if shape["kind"] == "figure"]} for one in truth]
json.dump(slim, open("tests/example-truth.json", "w"), indent=1)
PYTHON
scripts/phases.sh --downscale-long-side 2048 --tile-size 1536 --tile-overlap 128 --quality 75
ledgerkit verify
