#!/usr/bin/env bash
# Phases 1 to 6 on the repository that LEDGERKIT_REPOSITORY names; arguments go to `policy propose`.
set -euo pipefail
say() { printf '\n$ %s\n' "$*"; "$@"; }

say ledgerkit headers
say ledgerkit measure
say ledgerkit hash
say ledgerkit policy propose "$@"
say ledgerkit policy show --proposed
say ledgerkit policy accept --by "A. Curator" --reason "demonstration: the proposal as it stands"
say ledgerkit normalize
say ledgerkit segment
say ledgerkit embed
say ledgerkit cluster
say ledgerkit describe
say ledgerkit montage
say ledgerkit plots
say ledgerkit consolidate
