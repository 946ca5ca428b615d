#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Measures gst-deim and its peers in turn on this machine, and prints a table of ratios: bench/peers.sh --help says more.
set -euo pipefail

cd "$(dirname "$0")/.."
exec python3 bench/peers "$@"
