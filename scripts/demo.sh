#!/usr/bin/env bash
# The whole story on the built-in corpus: scans and a catalogue go in, a ledger that answers SQL comes out.
set -euo pipefail
cd "$(dirname "$0")/.."
archive=${1:-demo-archive}
atlas=${TMPDIR:-/tmp}/ledgerkit-demo-atlas
say() { printf '\n$ %s\n' "$*"; "$@"; }

chmod -R u+w "$archive" 2>/dev/null || true
rm -rf "$archive" "$atlas"
mkdir -p "$archive/incoming/scans"
cp plates_structured/*/source/* "$archive/incoming/scans/"
cp data.json "$archive/incoming/"
chmod -R u+w "$archive/incoming"

say ledgerkit init "$archive"
export LEDGERKIT_REPOSITORY="$archive"
say ledgerkit ingest --catalogue "$archive/incoming/data.json" --images "$archive/incoming/scans"
say ledgerkit audit
say ledgerkit pyramid --plates plate-001,plate-003
scripts/phases.sh
say ledgerkit query "SELECT plate_id, title, format, mode, bit_depth, round(megapixels, 2) AS megapixels FROM plates ORDER BY megapixels DESC LIMIT 5"
say ledgerkit query "SELECT c.label AS cluster, l.value AS subject, count(*) AS plates FROM current_cluster_members c JOIN labels l ON l.subject_id = c.subject_id AND l.scheme = 'subject' WHERE c.level = 1 GROUP BY ALL ORDER BY 1, 3 DESC"
say ledgerkit lineage plate-001
say ledgerkit query "SELECT level, name, size FROM cluster_names ORDER BY level, size DESC LIMIT 6"
say ledgerkit search plate-001 -k 3
say ledgerkit duplicates
kept=$(mktemp -d)
trap 'rm -rf "$kept"' EXIT
say ledgerkit log checkpoint -o "$kept/checkpoint"
say ledgerkit log prove plate-001 -o "$kept/plate-001.tlog-proof"
say ledgerkit log verify "$kept/plate-001.tlog-proof" --checkpoint "$kept/checkpoint"
say ledgerkit verify --checkpoint "$kept/checkpoint"
say ledgerkit cite "SELECT count(*) AS plates, sum(source_bytes) AS bytes FROM plates"
say ledgerkit atlas -o "$atlas"
say ledgerkit status
printf '\nThe map and the montages of the clusters, for looking:\n'
ls "$archive"/runs/*/outputs/*.png
printf '\nThe atlas, for a browser: %s\n' "$atlas/index.html"
