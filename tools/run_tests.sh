#!/usr/bin/env bash
# Environment and tests: bash tools/run_tests.sh [pytest arguments]. FAMILY=onedl tests on the other toolbox,
# FAMILY=lowest with the lowest versions that are allowed.
set -eo pipefail
cd "$(dirname "$0")/.."
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
source tools/environment.sh
exec "$PYTHON" -m pytest "$@"
