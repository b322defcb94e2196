#!/usr/bin/env bash
# Environment, demo data, training at 5 % labels, test, table and picture. See `--help`.
set -eo pipefail
cd "$(dirname "$0")/.."
START=$(date +%s)
# Small models on shared cores: a second thread waits more than it works.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
source tools/environment.sh
exec "$PYTHON" tools/quickstart.py --started "$START" "$@"
