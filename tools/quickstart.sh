#!/usr/bin/env bash
# Environment, demo data, training at 5 % labels, test, table and picture. See `--help`.
set -eo pipefail
cd "$(dirname "$0")/.."
START=$(date +%s)
source tools/environment.sh
exec "$PYTHON" tools/quickstart.py --started "$START" "$@"
